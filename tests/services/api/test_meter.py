"""What must hold of counting many callers: each has a pace of their own, and no flood makes memory grow or forgives."""

from __future__ import annotations

import pytest

from services.api.http.rates import MAX_TRUSTED, STRANGERS, TRUSTED_S, Rates
from services.api.meter import Meter
from services.api.sign_in.attempts import PER_ADDRESS, PER_NAME, PER_NAME_AND_ADDRESS, Attempts
from services.core.errors import TooMany, Unavailable
from services.core.pace import Pace

HERE, THERE = "192.0.2.1", "198.51.100.1"
SLOW = Pace(burst=3, every_s=10.0)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_who_used_up_the_burst_waits_and_learns_for_how_long(clock: Clock) -> None:
    meter = Meter(SLOW, clock=clock)
    assert [meter.spend("grace") for _ in range(4)] == [0, 0, 0, 10.0]
    clock.now_s += 9.0
    assert meter.spend("grace") == pytest.approx(1.0)
    clock.now_s += 1.0
    assert meter.spend("grace") == 0
    assert meter.spend("grace") == pytest.approx(10.0)


def test_asking_again_while_refused_does_not_lengthen_the_wait(clock: Clock) -> None:
    meter = Meter(SLOW, clock=clock)
    for _ in range(50):
        meter.spend("grace")
    assert meter.wait_s("grace") == 10.0


def test_one_key_uses_up_nothing_of_another(clock: Clock) -> None:
    meter = Meter(SLOW, clock=clock)
    for _ in range(5):
        meter.spend("grace")
    assert meter.spend("ada") == 0


def test_a_flood_of_keys_takes_a_bounded_amount_of_memory(clock: Clock) -> None:
    meter = Meter(SLOW, clock=clock, max_counted=100)
    for number in range(10_000):
        meter.spend(f"{number}" * 1000)
    assert len(meter) == 100


def test_a_flood_of_keys_does_not_free_one_that_has_to_wait(clock: Clock) -> None:
    meter = Meter(SLOW, clock=clock, max_counted=100)
    for _ in range(3):
        meter.spend("grace")
    for number in range(10_000):
        meter.spend(str(number))
    assert meter.spend("grace") == 10.0


def test_those_who_have_all_of_their_burst_again_are_forgotten(clock: Clock) -> None:
    meter = Meter(SLOW, clock=clock)
    for number in range(50):
        meter.spend(str(number))
    clock.now_s += 60.0
    meter.spend("grace")
    assert len(meter) == 1


def test_a_pace_of_zero_seconds_refuses_nobody(clock: Clock) -> None:
    meter = Meter(Pace(burst=1, every_s=0.0), clock=clock)
    assert not any(meter.spend("grace") for _ in range(1000))


def attempt(attempts: Attempts, name: str, address: str = HERE) -> float:
    """How long who tries has to wait; 0 when the attempt is let through."""
    try:
        attempts.begin(user_name=name, address=address)
    except TooMany as refused:
        return refused.retry_after_s
    return 0.0


def test_guessing_one_persons_password_from_one_address_soon_takes_half_a_minute_each(clock: Clock) -> None:
    attempts = Attempts(clock=clock)
    waits = [attempt(attempts, "grace") for _ in range(PER_NAME_AND_ADDRESS.burst + 1)]
    assert waits[:-1] == [0.0] * PER_NAME_AND_ADDRESS.burst
    assert waits[-1] == pytest.approx(30.0)


def test_another_way_of_writing_the_name_is_the_same_name(clock: Clock) -> None:
    attempts = Attempts(clock=clock)
    for _ in range(PER_NAME_AND_ADDRESS.burst):
        attempt(attempts, "grace")
    assert attempt(attempts, "GRACE") > 0


def test_guessing_from_one_address_does_not_keep_the_person_out_elsewhere(clock: Clock) -> None:
    attempts = Attempts(clock=clock)
    for _ in range(1000):
        attempt(attempts, "grace")
    assert attempt(attempts, "grace", THERE) == 0


def test_trying_one_password_on_many_names_is_slow_too(clock: Clock) -> None:
    attempts = Attempts(clock=clock)
    waits = [attempt(attempts, f"person-{number}") for number in range(PER_ADDRESS.burst + 1)]
    assert waits[-1] == pytest.approx(6.0)
    assert not any(waits[:-1])


def test_guessing_one_persons_password_from_many_addresses_is_slow_too(clock: Clock) -> None:
    attempts = Attempts(clock=clock)
    waits = [attempt(attempts, "grace", f"10.0.{number // 250}.{number % 250}") for number in range(300)]
    assert waits.count(0.0) == PER_NAME.burst


def test_all_addresses_of_one_ipv6_subscriber_count_as_one(clock: Clock) -> None:
    attempts = Attempts(clock=clock)
    for number in range(PER_NAME_AND_ADDRESS.burst):
        attempt(attempts, "grace", f"2001:db8::{number:x}")
    assert attempt(attempts, "grace", "2001:db8::ffff") > 0
    assert attempt(attempts, "grace", "2001:db8:0:1::1") == 0


def test_who_signs_in_rightly_again_and_again_never_waits(clock: Clock) -> None:
    attempts = Attempts(clock=clock)
    for _ in range(1000):
        assert attempt(attempts, "grace") == 0
        attempts.succeeded(user_name="grace", address=HERE)


def test_being_right_once_forgives_nothing_that_was_wrong(clock: Clock) -> None:
    attempts = Attempts(clock=clock)
    for _ in range(PER_NAME_AND_ADDRESS.burst - 1):
        attempt(attempts, "grace")
    assert attempt(attempts, "grace") == 0
    attempts.succeeded(user_name="grace", address=HERE)
    assert [attempt(attempts, "grace") > 0 for _ in range(2)] == [False, True]


def test_who_is_refused_for_their_address_uses_up_no_ones_name(clock: Clock) -> None:
    attempts = Attempts(clock=clock)
    for number in range(PER_ADDRESS.burst):
        attempt(attempts, f"person-{number}")
    for number in range(PER_NAME.burst):
        attempt(attempts, "grace", HERE if number else THERE)
    assert attempt(attempts, "grace", THERE) == 0


def is_met(rates: Rates, credential: str = "", address: str = HERE) -> bool:
    try:
        rates.meet(credential, address)
    except TooMany:
        return False
    return True


def look_up(rates: Rates, credential: str, *, is_right: bool = True) -> None:
    with rates.looking_up(credential, HERE) as found:
        found.is_right = is_right


def test_guessing_keys_from_one_address_is_slow(clock: Clock) -> None:
    rates = Rates(clock=clock)
    met = [is_met(rates, f"guess-{number}") for number in range(STRANGERS.burst + 50)]
    assert met.count(True) == STRANGERS.burst
    assert not is_met(rates)  # without any credential likewise
    assert is_met(rates, "guess", THERE)
    clock.now_s += STRANGERS.every_s
    assert is_met(rates, "guess")


def test_a_key_that_opened_something_is_let_in_however_many_wrong_ones_its_address_sends(clock: Clock) -> None:
    rates = Rates(clock=clock)
    look_up(rates, "right")
    for number in range(2000):
        is_met(rates, f"guess-{number}")
    assert is_met(rates, "right")
    clock.now_s += TRUSTED_S + 1
    for number in range(2000):
        is_met(rates, f"guess-{number}")
    assert not is_met(rates, "right")


def test_right_keys_never_count_against_their_address(clock: Clock) -> None:
    rates = Rates(clock=clock)
    for number in range(1000):
        look_up(rates, f"key-{number}")


def test_what_cannot_be_looked_up_is_no_guess(clock: Clock) -> None:
    rates = Rates(clock=clock)
    for number in range(STRANGERS.burst * 2):
        with pytest.raises(Unavailable), rates.looking_up(f"key-{number}", HERE):
            raise Unavailable("the database does not answer")


def test_how_many_keys_are_remembered_is_bounded(clock: Clock) -> None:
    rates = Rates(clock=clock)
    for number in range(MAX_TRUSTED + 100):
        look_up(rates, f"key-{number}")
    assert len(rates._trusted) == MAX_TRUSTED


def test_a_key_may_be_used_at_its_pace_and_no_faster(clock: Clock) -> None:
    rates = Rates(Pace(burst=20, every_s=0.1), clock=clock)
    for _ in range(20):
        rates.admit("grace", is_administrator=False)
    with pytest.raises(TooMany, match="too many requests with this key: try again in 1 s"):
        rates.admit("grace", is_administrator=False)
    rates.admit("hopper", is_administrator=False)
    clock.now_s += 0.1
    rates.admit("grace", is_administrator=False)


def test_administrators_may_ask_ten_times_as_often(clock: Clock) -> None:
    rates = Rates(Pace(burst=20, every_s=0.1), clock=clock)
    for _ in range(200):
        rates.admit("ada", is_administrator=True)
    with pytest.raises(TooMany):
        rates.admit("ada", is_administrator=True)
