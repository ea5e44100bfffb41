"""This file asks each program of the home whether it is ready, in the way its users would."""

from __future__ import annotations

import http.client
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec

from services.embedded.database import check_database, url_file
from services.embedded.home import Home
from services.embedded.ports import LOOPBACK, SERVICES, Ports
from services.embedded.routers import places
from services.embedded.trouble import Trouble

Check = Callable[[], str | None]
_ANSWER_S = 3.0
_TAIL_LINES, _TAIL_BYTES = 15, 16384


def checks(home: Home, ports: Ports) -> dict[str, Check]:
    """For each program a question: None when it is ready, else why not."""
    return {
        "nats": partial(_nats, ports.nats),
        "database": partial(check_database, url_file(home)),
        **{place.haproxy: partial(_front, place.port) for place in places(home, ports)},
        **{name: partial(_service, ports.health[name]) for name in (*SERVICES, *ports.apis, *ports.further)},
    }


def wait_until_ready(
    checks: Mapping[str, Check],
    *,
    within_s: float,
    is_supervised: Callable[[], bool],
    on_ready: Callable[[str], None],
    log_of: Callable[[str], Path],
) -> None:
    """Return once every check has passed. Raises Trouble that names who did not get ready, and ends with its log."""
    pending = dict(checks)
    deadline = time.monotonic() + within_s
    while pending:
        is_late = time.monotonic() > deadline
        for name, check in list(pending.items()):
            why = check()
            if why is None:
                del pending[name]
                on_ready(name)
            elif is_late:
                raise Trouble(f"{name} is not ready after {within_s:.0f} s: {why}.\n{_tail(log_of(name))}")
        if pending and not is_supervised():
            raise Trouble(f"The supervisor ended.\n{_tail(log_of('supervisor'))}")
        time.sleep(0.1)


def _tail(log: Path) -> str:
    if not log.exists():
        return f"It has written no log to {log}."
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-_TAIL_LINES:]
    return f"The end of {log}:\n" + "\n".join(f"    {line}" for line in lines)


def _nats(port: int) -> str | None:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_ANSWER_S) as connection:
            greeting = connection.recv(5)
    except OSError as error:
        return _plain(error)
    return None if greeting == b"INFO " else "something else answers on its port"


def _front(port: int) -> str | None:
    status, _ = _get(port, "/version")
    return None if 200 <= status < 500 and status != 404 else "the api cannot be reached through it"


def _service(port: int) -> str | None:
    status, body = _get(port, "/healthz")
    if status == 200:
        return None
    if status == 0:
        return "it does not answer"
    try:
        found = msgspec.json.decode(body, type=dict[str, object]).get("checks")
    except msgspec.MsgspecError:
        found = None
    problems = found.items() if isinstance(found, dict) else ()
    return "; ".join(f"{name}: {said}" for name, said in problems if said != "ok") or f"its health is {status}"


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_ANSWER_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(65536)
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def _plain(error: OSError) -> str:
    return error.strerror or str(error)
