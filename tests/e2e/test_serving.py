"""Under constant load on `latest` and `prod`, through two routers, whatever is changed or killed: no request fails."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from chaos.processes import kill
from services.embedded.home import open_home
from services.embedded.ports import kept_ports
from services.embedded.ready import checks
from tests.e2e.model import STOPPED, Model, model_of
from tests.e2e.platform import Platform
from tests.e2e.serving import LABELS, TIMEOUT_S, Serving
from tests.load.load import calling, lane
from tests.parts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SCRIPT = "import time\n\n\ndef predict(x):\n    time.sleep(0.02)\n    return x\n"
QUIET_S = 3.0
RATE = 15.0  # calls a second, of each label at each router
CONTROL_PLANE = ("deployer", "router", "router-2", "monitor", "api", "nats", "database")


@pytest.fixture(scope="module")
def serving(platform: Platform) -> Iterator[Serving]:
    """Version 1 is `prod` and version 2 is `latest`."""
    with model_of(platform, SCRIPT, routingMode="advanced", replicas=2, requestTimeoutSeconds=TIMEOUT_S) as model:
        model.promote(1)
        model.until_answers(1, "prod")
        second = model.publish(SCRIPT)
        model.until_whole(second)
        model.until_answers(second)
        lanes = [
            lane(f"{label} {router}", model.endpoint(label, router), model.token, model.body, per_second=RATE)
            for label in LABELS
            for router in range(len(model.urls))
        ]
        with calling(*lanes) as load:
            load.settle(0.0)
            with load.during("nothing") as part:
                part.until(lambda so_far: len(so_far.calls) > QUIET_S * RATE * len(lanes))
            serving = Serving(platform, model, load, part.ended)
            assert part.ended.failed == []
            yield serving


def test_a_publish_moves_latest_and_nothing_else(serving: Serving) -> None:
    model, old, prod = serving.model, serving.number("latest"), serving.number("prod")
    with serving.unharmed("a publish") as part:
        new = model.publish(SCRIPT)
        part.until(lambda so_far: new in so_far.versions(), what="the new version answers")
        model.until(old, STOPPED)
        stopped_at = time.monotonic()
        model.until_whole(new)
        receipts = _receipts(model, new)
    assert {each["routerId"] for each in receipts} == {"router-1", "router-2"}
    assert {(each["kind"], each["label"], each["replacedVersionNumber"]) for each in receipts} == {
        ("switch", "latest", old)
    }
    assert {(each["isComplete"], each["failures"]) for each in receipts} == {(True, 0)}
    assert set(part.ended.of("prod").versions()) == {prod}
    assert set(part.ended.of("latest").versions()) == {old, new}
    assert set(part.ended.sent_after(stopped_at).of("latest").versions()) == {new}


def _receipts(model: Model, number: int) -> list[dict[str, Any]]:
    """Of both routers, for what brought `number` where it is."""

    def of_it() -> list[dict[str, Any]]:
        return [each for each in model.rollouts() if each["versionNumber"] == number]

    wait_for(lambda: len(of_it()) >= len(model.urls), 30, what="both routers have told what it cost")
    return of_it()


def test_scaling_up_and_down_again(serving: Serving) -> None:
    with serving.unharmed("1, then 8, then 2 instances, of two versions"):
        for instances in (1, 8, 2):
            serving.model.change(replicas=instances)
            serving.until_whole(instances)
            for label in LABELS:
                serving.until_there_are(instances, label)


def test_promotion_and_roll_back_are_switches_of_prod_alone(serving: Serving) -> None:
    model, latest, prod = serving.model, serving.number("latest"), serving.number("prod")
    with serving.unharmed("a promotion") as promoted:
        model.promote(latest)
        model.until_answers(latest, "prod")
        model.until(prod, STOPPED)
    with serving.unharmed("a roll-back, to a version that had stopped") as rolled_back:
        model.roll_back("prod")
        model.until_answers(prod, "prod")
        model.until_whole(prod)
    for part in (promoted, rolled_back):
        assert set(part.ended.of("prod").versions()) == {latest, prod}
        assert set(part.ended.of("latest").versions()) == {latest}


def test_a_canary_gets_its_share_and_then_everything(serving: Serving) -> None:
    model, old, share = serving.model, serving.number("latest"), 10.0
    candidate = model.publish(SCRIPT, shouldDeploy=False)
    model.until(candidate, "Ready to run")
    with serving.unharmed("a canary of no share that becomes ready") as begun:
        model.set_canary("latest", candidate, 0.0)
        model.until_whole(candidate)
    assert set(begun.ended.of("latest").versions()) == {old}
    model.set_canary("latest", candidate, share)
    with serving.unharmed("a canary of 10 %") as part:
        part.until(lambda so_far: so_far.of("latest").versions()[candidate] > 0, what="the share is in effect")
        with serving.load.during("counted") as counted:
            counted.until(lambda so_far: len(so_far.of("latest").calls) >= 300, what="enough to count")
    counts = counted.ended.of("latest").versions()
    assert 0.05 < counts[candidate] / counts.total() < 0.16
    with serving.unharmed("a canary that takes over") as completed:
        model.complete_canary("latest")
        model.until_answers(candidate)
        model.until(old, STOPPED)
        stopped_at = time.monotonic()
    assert set(completed.ended.of("latest").sent_after(stopped_at).versions()) == {candidate}
    for each in (begun, part, completed):
        assert set(each.ended.of("prod").versions()) == {serving.number("prod")}


RESTARTING: list[dict[str, object]] = [
    {"healthCheck": {"initialDelaySeconds": 0, "periodSeconds": 2, "timeoutSeconds": 1, "failureThreshold": 8}},
    {"requestTimeoutSeconds": TIMEOUT_S + 1},
    {"workerCount": 2},
    {"memoryBytes": 1 << 30},
    {"environmentVariables": [{"key": "COLOUR", "value": "green"}]},
]


@pytest.mark.parametrize("change", RESTARTING, ids=[next(iter(change)) for change in RESTARTING])
def test_a_setting_that_restarts_is_rolled_out(serving: Serving, change: dict[str, object]) -> None:
    numbers = {serving.number(label) for label in LABELS}
    before = {number: {each.pid for each in serving.leaders(number)} for number in numbers}
    ready: list[int] = []
    alive: list[int] = []

    def are_all_others() -> bool:
        leaders = {number: {each.pid for each in serving.leaders(number)} for number in numbers}
        ready.extend(serving.model.deployment(number)["instances"]["ready"] for number in numbers)
        alive.extend(len(each) for each in leaders.values())
        return not any(before[number] & leaders[number] for number in numbers)

    with serving.unharmed(f"another {next(iter(change))}") as part:
        changed = serving.model.change(**change)
        assert set(changed["restarted"]) == {serving.model.versions[number] for number in numbers}
        wait_for(are_all_others, 90, what="every instance is another one")
        serving.until_whole(2)
    assert min(ready) >= 2
    assert max(alive) <= 3, "one at a time"
    for label in LABELS:
        assert set(part.ended.of(label).versions()) == {serving.number(label)}


def test_revoking_another_token(serving: Serving) -> None:
    with serving.unharmed("a revocation"):
        _make_and_revoke_a_token(serving.model)


def _make_and_revoke_a_token(model: Model) -> None:
    """Returns once both are in effect at every router."""
    token_id, token = model.new_token("not the load's")

    def are_all(status: int) -> bool:
        return all(model.call(token=token, router=each).status_code == status for each in range(len(model.urls)))

    wait_for(lambda: are_all(200), 30, what="the new token opens")
    model.revoke(token_id)
    wait_for(lambda: are_all(401), 30, what="the revoked token is refused")


@pytest.mark.parametrize("label", LABELS)
def test_an_instance_that_is_killed_costs_what_its_workers_run_and_hold(serving: Serving, label: str) -> None:
    number = serving.number(label)
    _kill_an_instance(serving, number, "the death of an instance", lost=None)


def test_an_instance_that_is_killed_costs_no_call_where_they_are_repeatable(serving: Serving) -> None:
    before = serving.platform.haproxy_workers()
    serving.model.change(repeatableCalls=True)
    wait_for(lambda: serving.platform.has_reloaded_since(before), what="both routers know")
    for label in LABELS:
        _kill_an_instance(serving, serving.number(label), "the death of an instance, calls repeatable", lost=0)


def _kill_an_instance(serving: Serving, number: int, what: str, *, lost: int | None) -> None:
    """Returns once it is replaced. `lost` None: for each of its workers the call that it runs, and those that it holds
    until it has: a router sends a worker one at a time, but knows nothing of the other routers.
    """
    [victim, *_] = serving.leaders(number)
    workers = victim.children()
    with serving.unharmed(what, lost=len(workers) * len(serving.model.urls) if lost is None else lost):
        kill([victim, *workers])
        wait_for(lambda: _are_new(serving, number, {victim.pid}), 60, what="there is another in its place")
        serving.until_whole(2)


def _are_new(serving: Serving, number: int, gone: set[int]) -> bool:
    pids = {each.pid for each in serving.leaders(number)}
    return len(pids) == 2 and not pids & gone


@pytest.mark.parametrize("program", CONTROL_PLANE)
def test_the_death_of_a_process_of_the_control_plane(serving: Serving, program: str) -> None:
    _outlives(serving, [program])


def test_the_death_of_all_of_the_control_plane_at_once(serving: Serving) -> None:
    _outlives(serving, [*CONTROL_PLANE, "builder"])


def _outlives(serving: Serving, programs: Sequence[str]) -> None:
    instances = {each.pid for each in serving.platform.instances()}
    with serving.unharmed(f"the death of {', '.join(programs)}") as part:
        victims = [serving.platform.process(program) for program in programs]
        kill(victims)
        for program, victim in zip(programs, victims, strict=True):
            wait_for(partial(_is_another, serving.platform, program, victim.pid), 30, what=f"{program} is back")
        _until_ready(serving.platform)
        _make_and_revoke_a_token(serving.model)
        serving.until_whole(2)
    assert {each.pid for each in serving.platform.instances()} == instances, "instances outlive all of it"
    for label in LABELS:
        assert set(part.ended.of(label).versions()) == {serving.number(label)}


def _is_another(platform: Platform, program: str, pid: int) -> bool:
    found = platform.find(program)
    return found is not None and found.pid != pid


def _until_ready(platform: Platform) -> None:
    home = open_home(platform.home)
    ports = kept_ports(home)
    assert ports is not None
    asked = checks(home, ports)
    wait_for(lambda: all(check() is None for check in asked.values()), 60, what="everything is ready")


def test_in_all_of_that_no_call_failed_that_is_not_accounted_for(serving: Serving) -> None:
    """Also between the scenarios: what was lost are calls that ran on a killed instance."""
    whole = serving.load.summary()
    print(f"\n  everything: {whole}")
    receipts = serving.model.rollouts()
    assert {each["kind"] for each in receipts} >= {"restart"}
    assert sum(each["requests"] for each in receipts) > 0
    assert sum(each["failures"] for each in receipts) == 0
    assert len(whole.failed) <= 2 * 2 * len(LABELS), whole.failed[:5]
    assert not [each for each in whole.failed if each.status not in (0, 502)]
