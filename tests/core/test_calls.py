"""What is kept of a call: a line of the proxy's, and the time that its id tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.core.calls import SPAN, began_at, parse
from services.core.errors import Invalid
from services.kit.packed import pack, unpack

MODEL, VERSION = "a" * 24, "b" * 24
LINE = f"6B030B66FD36A2B5 {MODEL} latest {VERSION} 00000001-1-2.0 1795361633868 1250 200 --\n"


def test_a_line_tells_who_answered_when_and_how_long_it_took() -> None:
    call = parse(LINE)
    assert call is not None
    assert (call.request_id, call.model_id, call.label, call.version_id) == (LINE[:16], MODEL, "latest", VERSION)
    assert (call.instance_id, call.took_s, call.status) == ("00000001-1-2", 1.25, 200)
    assert call.began_at == datetime(2026, 11, 22, 15, 33, 53, 868000, tzinfo=UTC)


def test_a_call_that_found_nobody_has_no_version_or_no_instance() -> None:
    nobody = parse(LINE.replace(VERSION, "stopped").replace("00000001-1-2.0", "<NOSRV>").replace(" 200 ", " -1 "))
    assert nobody is not None
    assert (nobody.version_id, nobody.instance_id, nobody.status) == (None, None, 0)


@pytest.mark.parametrize("line", ["", "x", LINE + "more", LINE.replace("1250", "soon"), LINE.replace("1795", "9" * 20)])
def test_a_line_of_another_make_is_none(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize("second", [0, 15, 16, 17])
def test_the_time_that_an_id_tells_is_at_most_a_span_before_its_call(second: int) -> None:
    at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC) + timedelta(seconds=second)
    earliest = began_at(f"{int(at.timestamp()):08X}"[:7] + "0" * 9)
    assert earliest is not None
    assert earliest <= at < earliest + SPAN


def test_packed_lines_come_back_as_they_were_and_others_are_refused() -> None:
    lines = [LINE.encode()] * 1000
    packed = pack(lines)
    assert unpack(packed) == b"".join(lines)
    assert len(packed) < len(LINE) * 100
    for other in (b"", b"x", packed[:-5]):
        with pytest.raises(Invalid):
            unpack(other)
