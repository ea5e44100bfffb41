"""What a benchmark says about what it measured."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, Result, median, ratio
from benchmarks.machine import Machine

MACHINE = Machine(
    processor="a processor", cores=2, memory_bytes=8 << 30, kernel="Linux 6", python="3.11.2", parts={}, load_before=0.5
)


def test_a_figure_says_whether_its_aim_is_met() -> None:
    assert median("quick", [0.1, 0.3, 0.2], "s", at_most=0.2).aim == "≤ 0.2: met"
    assert median("slow", [1.0, 3.0, 2.0], "s", at_most=0.2).aim == "≤ 0.2: MISSED"
    assert Figure(name="few", value=49, unit="/s", at_least=50).aim == "≥ 50: MISSED"
    assert ratio("no aim", 2.0, 4.0).aim == ""


def test_a_result_is_written_to_be_read_and_to_be_compared(tmp_path: Path) -> None:
    result = Result(
        name="sums",
        how="Adds.",
        measured_at=datetime(2026, 1, 2, tzinfo=UTC),
        took_s=3.2,
        machine=MACHINE,
        figures=(median("an addition", [1.0, 3.0, 2.0], "ms", at_most=5),),
    )
    result.write(tmp_path)
    page = (tmp_path / "sums.md").read_text(encoding="utf-8")
    assert "| an addition | 2 ms | ≤ 5: met | median of 3, 1 to 3 |" in page
    assert "2 cores of a processor" in page
    stored = json.loads((tmp_path / "sums.json").read_text(encoding="utf-8"))
    assert stored["figures"][0]["samples"] == [1.0, 3.0, 2.0]
