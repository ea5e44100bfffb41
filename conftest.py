"""This file is the order of the suite, and its last word: what could not be tested on this machine, and why."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The quick tests first, those that start the whole platform last."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        left_out[report.nodeid] = reason.removeprefix("Skipped: ")
    terminalreporter.section("left out on this machine")
    for test, reason in left_out.items():
        terminalreporter.line(f"{test}: {reason}")
    if not left_out:
        terminalreporter.line("nothing")
