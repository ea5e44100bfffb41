"""Two routers on one platform: what is switched, revoked or drained is so at both, whatever happens to one."""

from __future__ import annotations

import http.client
import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import psutil
import pytest

from services.core.deadlines import derive
from services.core.draining import HOLD_S
from tests.e2e.model import STOPPED, Model, model_of
from tests.e2e.platform import Platform
from tests.load.load import calling, lane
from tests.parts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SLEEPY = "import time\n\n\ndef predict(seconds):\n    time.sleep(seconds)\n    return seconds\n"
BOTH = (0, 1)
TIMEOUT_S = 8.0
LONG_S = 6.0


@pytest.fixture(scope="module")
def model(platform: Platform) -> Iterator[Model]:
    """Two instances of a function that works as long as it is asked to."""
    with model_of(platform, SLEEPY, parameters=(0,), replicas=2, requestTimeoutSeconds=TIMEOUT_S) as made:
        yield made


@contextmanager
def paused(process: psutil.Process) -> Iterator[None]:
    """`process` does nothing inside, and goes on afterwards unless it was killed."""
    process.suspend()
    try:
        wait_for(lambda: process.status() == psutil.STATUS_STOPPED, what="it is stopped")
        yield
    finally:
        with suppress(psutil.NoSuchProcess):  # it was killed
            process.resume()


@contextmanager
def other_token(model: Model, name: str) -> Iterator[tuple[str, str]]:
    """The id and the secret of a token that opens both routers."""
    token_id, token = model.new_token(name)
    wait_for(lambda: not any(is_refused(model, token, each) for each in BOTH), what="the new token opens")
    yield token_id, token


def is_refused(model: Model, token: str, router: int) -> bool:
    status = model.call(token=token, router=router).status_code
    assert status in (200, 401), status
    return status == 401


def test_both_routers_and_their_haproxies_are_shown_and_serve(platform: Platform, model: Model) -> None:
    shown = platform.embedded("status")
    assert shown.code == 0, shown.out
    rows = {line.split()[0]: line.split()[-1] for line in shown.out.splitlines() if line.strip()}
    assert {name: rows[name] for name in platform.programs} == dict.fromkeys(platform.programs, "yes")
    assert len(set(model.urls)) == 2
    assert all(url in shown.out for url in model.urls)
    assert [model.call(router=router).status_code for router in BOTH] == [200, 200]
    haproxies = [platform.process(name) for name in ("haproxy", "haproxy-2")]
    assert haproxies[0].pid != haproxies[1].pid


def test_a_router_that_stands_still_holds_a_drain_for_the_stated_bound_only(platform: Platform, model: Model) -> None:
    old = max(model.versions)
    lanes = [
        lane(f"router {each}", model.endpoint(router=each), model.token, model.body, per_second=10) for each in BOTH
    ]
    with (
        other_token(model, "revoked while a router stands still") as (token_id, token),
        calling(*lanes) as load,
        load.during("a switch past a router that stands still") as part,
    ):
        with paused(platform.process("router-2")):
            new = model.publish(SLEEPY)
            part.until(lambda so_far: new in so_far.of("router 0").versions(), what="the first router switches")
            switched_at = time.monotonic()
            model.revoke(token_id)
            wait_for(lambda: is_refused(model, token, 0), what="the first router refuses")
            assert not is_refused(model, token, 1)
            wait_for(lambda: _is_over(model, old), 200, what="the drain goes on without the other router")
            held_s = time.monotonic() - switched_at
            other = part.so_far.of("router 1")
        part.until(lambda so_far: new in so_far.of("router 1").versions(), what="the other router switches")
        wait_for(lambda: is_refused(model, token, 1), what="the other router refuses once it goes on")
    print(f"  held for {held_s:.1f} s by a router that stood still")
    assert HOLD_S / 2 < held_s < HOLD_S + 2 * derive(TIMEOUT_S).drain_s
    assert set(other.versions()) == {old}
    assert not [each for each in other.failed if each.sent_at < switched_at + held_s / 2]
    assert part.ended.of("router 0").failed == []


def _is_over(model: Model, number: int) -> bool:
    shown = model.deployment(number)
    return shown["status"] == STOPPED and not shown["isPending"]


@pytest.mark.parametrize("program", ["router", "router-2", "nats", "api"])
def test_a_token_revoked_while_a_process_is_down_is_refused_everywhere_once_it_is_back(
    platform: Platform, model: Model, program: str
) -> None:
    with other_token(model, f"revoked without {program}") as (token_id, token):
        victim = platform.process(program)
        if program == "api":  # takes the revocation, and dies on it
            model.revoke(token_id)
            victim.kill()
        else:
            with paused(victim):
                model.revoke(token_id)
                if program.startswith("router"):
                    assert not is_refused(model, token, BOTH[program == "router-2"])
                victim.kill()
        for router in BOTH:
            wait_for(_refusing(model, token, router), 30, what=f"router {router} refuses")
        assert [model.call(router=router).status_code for router in BOTH] == [200, 200]
        wait_for(lambda: model.http.get(model.at).status_code == 200, 30, what="the API answers again")


def _refusing(model: Model, token: str, router: int) -> Callable[[], bool]:
    return lambda: is_refused(model, token, router)


def test_a_revoked_token_is_refused_on_connections_to_an_haproxy_worker_that_still_drains(
    platform: Platform, model: Model
) -> None:
    new = max(model.versions)
    old = new - 1
    with other_token(model, "revoked while a worker drains") as (token_id, token), ExitStack() as stack:
        kept = [stack.enter_context(_kept(model, router)) for router in BOTH for _ in range(2)]
        assert [_status(each, model, token) for each in kept] == [200] * 4
        answers: list[int] = []
        calls = [threading.Thread(target=_call_long, args=(model, router, answers)) for router in BOTH]
        for each in calls:
            each.start()
        before = platform.haproxy_workers()
        model.set_running(old, is_running=True)  # takes over: HAProxy is loaded anew, and the long calls go on
        wait_for(lambda: platform.has_reloaded_since(before), what="there are new workers")
        model.until_answers(old)
        assert _live_on(before, platform), "the old workers drain"
        assert [_status(each, model, token) for each in kept[::2]] == [200, 200]
        model.revoke(token_id)
        for router in BOTH:
            wait_for(_refusing(model, token, router), what=f"router {router} refuses")
        assert _live_on(before, platform), "the old workers drain still"
        assert [_status(each, model, token) for each in kept[1::2]] == [401, 401]
        for each in calls:
            each.join(3 * LONG_S)
        assert answers == [200, 200]
        model.until(new, STOPPED)


def _live_on(workers: dict[str, set[int]], platform: Platform) -> bool:
    now = platform.haproxy_workers()
    return all(pids <= now[name] for name, pids in workers.items())


@contextmanager
def _kept(model: Model, router: int) -> Iterator[http.client.HTTPConnection]:
    """A connection to a router that stays the same."""
    connection = http.client.HTTPConnection(urlsplit(model.urls[router]).netloc, timeout=30)
    connection.connect()
    try:
        yield connection
    finally:
        connection.close()


def _status(connection: http.client.HTTPConnection, model: Model, token: str) -> int:
    named = {"Authorization": "Basic " + b64encode(f"{token}:{token}".encode()).decode()}
    connection.request("POST", urlsplit(model.endpoint()).path, json.dumps(model.body), named)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _call_long(model: Model, router: int, answers: list[int]) -> None:
    answers.append(model.call(LONG_S, router=router).status_code)
