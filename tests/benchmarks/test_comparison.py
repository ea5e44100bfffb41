"""What is concluded from the rounds in which servers are compared."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks import peers
from benchmarks.aims import reasons
from benchmarks.arenas import Arena, Service
from benchmarks.comparison import Bar, Cell, Comparison, Sample, panels, ratio_table, table
from benchmarks.contenders import CONTENDERS, DIRECT, MOSEC, ROUTED, Contender, Shape
from benchmarks.exchange import request_bytes
from benchmarks.figures import RESULTS, Figure, Found, Row, Table
from benchmarks.peers import Contest, Misfit, _why_unready
from benchmarks.storm import storm
from benchmarks.tasks import TASKS, Task, encoded

OURS, THEIRS = "ours", "theirs"


def sample(per_second: float, median_ms: float = 1.0) -> Sample:
    return Sample(per_second=per_second, median_ms=median_ms, p99_ms=2 * median_ms, cpu_us=50.0)


def compared(ours: dict[int, float], theirs: dict[int, float]) -> Comparison:
    return Comparison(
        {
            Cell(OURS, "sum", 1): {number: sample(value) for number, value in ours.items()},
            Cell(THEIRS, "sum", 1): {number: sample(value) for number, value in theirs.items()},
        }
    )


def test_ratios_are_taken_within_a_round_and_their_median_is_told() -> None:
    found = compared({0: 100.0, 1: 10.0, 2: 30.0}, {0: 50.0, 1: 10.0, 2: 10.0})
    ratio = found.ratio(Cell(OURS, "sum", 1), THEIRS, "per_second", at_least=2.5)
    assert ratio is not None
    assert ratio.samples == (2.0, 1.0, 3.0)
    assert ratio.aim == "≥ 2.5: MISSED"


def test_a_round_that_one_of_them_did_not_play_has_no_ratio() -> None:
    found = compared({0: 100.0, 2: 30.0}, {1: 10.0, 2: 10.0})
    assert found.ratios(Cell(OURS, "sum", 1), THEIRS, "per_second") == [3.0]
    assert compared({0: 1.0}, {}).ratio(Cell(OURS, "sum", 1), THEIRS, "per_second") is None


def test_a_table_has_a_line_for_each_server_and_a_dash_for_what_is_not_known() -> None:
    text = table(compared({0: 1200.0}, {}), [OURS, THEIRS], "sum", [1]).text().splitlines()
    assert text[0] == "## sum"
    assert text[-2] == "| ours | 1,200 | 1 | 2 | 50 |"
    assert text[-1] == "| theirs | - | - | - | - |"


def trivial(**per_second: float) -> Comparison:
    """One round of the trivial task, over as many connections as the aims are about."""
    names = {"direct": DIRECT, "routed": ROUTED, "mosec": MOSEC}
    return Comparison(
        {
            Cell(names[name], TASKS[0].name, count): {0: sample(value)}
            for name, value in per_second.items()
            for count in peers.COUNTS
        }
    )


def test_a_missed_aim_has_its_reason_beside_it() -> None:
    (text,) = reasons(trivial(direct=200.0, routed=50.0, mosec=100.0), TASKS[0].name, peers.COUNTS)
    assert "HAProxy, which passes each call on, takes CPU of its own (50 µs a call, 50 without it)" in text
    assert text.count("\n- ") == 1
    linked = re.search(r"\]\((\S+)\)", text)
    assert linked is not None
    assert (RESULTS / linked[1]).is_file()


def test_a_missed_aim_without_a_reason_says_so_and_one_that_is_met_has_none() -> None:
    (text,) = reasons(trivial(direct=50.0, routed=100.0, mosec=100.0), TASKS[0].name, peers.COUNTS)
    assert f"{DIRECT} over {MOSEC}, calls/s: the reason is not known." in text
    assert reasons(trivial(direct=200.0, routed=100.0, mosec=100.0), TASKS[0].name, peers.COUNTS) == []


def test_nobody_is_a_multiple_of_itself() -> None:
    (row,) = ratio_table(compared({0: 3.0}, {0: 2.0}), [OURS, THEIRS], THEIRS, ["sum"], [1]).rows
    assert row.name == OURS
    assert [cell.value for cell in row.cells if cell] == [1.5]


def test_the_chart_shows_throughput_with_the_most_and_latency_with_the_fewest_connections() -> None:
    few, many = Cell(OURS, "sum", 1), Cell(OURS, "sum", 16)
    found = Comparison({few: {0: sample(10.0, 0.1)}, many: {0: sample(90.0, 0.7)}})
    throughput, latency = panels(found, [OURS, THEIRS], ["sum"], [1, 16])
    assert throughput.bars == (Bar(OURS, 90.0),)
    assert latency.bars == (Bar(OURS, 0.1),)
    assert latency.is_less_better


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.function)
def test_a_right_result_is_known_from_a_wrong_one(task: Task) -> None:
    right = list(task.expected)
    assert task.is_answered_by(right)
    assert not task.is_answered_by([*right[:-1], right[-1] * 1.001])
    assert not task.is_answered_by([*right, 1.0])
    assert not task.is_answered_by(None)


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda contender: contender.name)
def test_every_server_is_sent_the_same_numbers(contender: Contender) -> None:
    (values,) = (task.arguments["values"] for task in TASKS if task.function == "total")
    for task in TASKS:
        head, _, body = contender.shape.request(task).partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        assert (encoded(values) in body) == (task.function == "total")


class Echoing(BaseHTTPRequestHandler):
    """Gives the length of the body that it was sent, and to `/wrong` one more."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        length = len(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(length + (self.path == "/wrong")).encode()
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: this is no server that anybody watches."""


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echoing)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join(10)
    server.server_close()


async def broken(_: Arena) -> Service:
    raise OSError("it is broken")


def contender(path: str = "/", lock: str = "nobody") -> Contender:
    shape = Shape(lambda _: request_bytes("POST", path, {}, b"abc"), lambda answer: answer + 0.75)
    return Contender(name=THEIRS, lock=lock, how="", shape=shape, start=broken)


async def why_unready(address: str, path: str) -> str:
    task = TASKS[0]
    return await _why_unready(contender(path), Service(addresses={task.function: address}, processes=[]), task)


async def test_a_server_is_ready_once_its_answer_is_right(address: str) -> None:
    assert await why_unready(address, "/right") == ""
    assert "404" in await why_unready(address, "/missing")
    with pytest.raises(Misfit, match="answered wrongly"):
        await why_unready(address, "/wrong")


def test_who_cannot_be_installed_has_to_leave_and_it_is_said() -> None:
    contest = Contest([contender()], 0.1)
    contest.install()
    assert not contest.contenders
    assert "cannot be installed" in contest.left[THEIRS]


async def test_who_cannot_be_started_has_to_leave_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "peer", lambda name, locks: tmp_path / name)
    contest = Contest([contender()], 0.1)
    contest.install()
    await contest.play(0, tmp_path)
    assert contest.left == {THEIRS: "it is broken"}
    assert not contest.found.rounds


def test_what_no_socket_takes_at_once_is_sent_piece_by_piece(address: str) -> None:
    request = request_bytes("POST", "/", {}, b"x" * 8_000_000)
    outcome = storm(address, request, connections=2, seconds=0.3, warm_up_s=0.1, asks_health=False)
    assert outcome.calls_ms
    assert not outcome.failures
    assert not outcome.health_ms


def test_a_result_can_have_tables_and_notes() -> None:
    figure = Figure(name="a", value=1234.5, unit="")
    shown = Table(title="All", columns=("one", "two"), rows=(Row(name="x", cells=(figure, None)),))
    assert Found(figures=(), tables=(shown,)).tables[0].text() == (
        "## All\n\n|  | one | two |\n|---|--:|--:|\n| x | 1,234 | - |"
    )
