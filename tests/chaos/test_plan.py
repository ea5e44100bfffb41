"""A plan of chaos follows from its seed, so that a round that was lost can be played again."""

from __future__ import annotations

from chaos.plan import STEADY, draw_round

ROUNDS = [draw_round(seed, number, length_s=30) for seed in range(20) for number in range(5)]


def test_the_same_seed_and_round_always_give_the_same_plan() -> None:
    assert draw_round(7, 3, length_s=30) == draw_round(7, 3, length_s=30)
    assert draw_round(7, 3, length_s=30) != draw_round(7, 4, length_s=30)


def test_at_most_one_instance_of_the_steady_model_is_struck_in_a_round() -> None:
    for plan in ROUNDS:
        assert sum(whom in STEADY for fault in plan.faults for whom in fault.whom) <= 1


def test_every_kind_of_fault_and_two_at_once_come_up() -> None:
    struck = {(fault.how, whom) for plan in ROUNDS for fault in plan.faults for whom in fault.whom}
    assert {("kill", "haproxy"), ("kill", "uv"), ("", "tree"), ("", "nats-deleted"), ("kill", "supervisor")} <= struck
    assert ("pause", "database") in struck
    assert any(len(fault.whom) == 2 for plan in ROUNDS for fault in plan.faults)


def test_only_the_faults_that_are_asked_for_are_drawn() -> None:
    plan = draw_round(1, 1, length_s=10, only=("api", "nats-emptied"))
    assert {fault.whom for fault in plan.faults} == {("api",), ("nats-emptied",)}
