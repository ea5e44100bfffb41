"""This file is the order of the suite, and its last word: what could not be tested on this machine, and why."""

from __future__ import annotations

import os

import hypothesis
import pytest

hypothesis.settings.register_profile("modelway", deadline=None)  # what a test takes says nothing on a busy machine
hypothesis.settings.load_profile("modelway")

_MUST_NOT_LACK = ("is not installed", "cannot be mounted")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The quick tests first, those that start the whole platform last."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = _left_out(terminalreporter)
    terminalreporter.section("left out on this machine")
    for test, reason in left_out.items():
        terminalreporter.line(f"{test}: {reason}")
    if not left_out:
        terminalreporter.line("nothing")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing is missed silently: what a test needs is there, or the run has failed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    left_out = _left_out(reporter).values() if reporter is not None else ()
    if os.environ.get("CI") and any(reason.endswith(_MUST_NOT_LACK) for reason in left_out):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _left_out(reporter: pytest.TerminalReporter) -> dict[str, str]:
    """Every skipped test with the reason."""
    left_out = {}
    for report in reporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        left_out[report.nodeid] = reason.removeprefix("Skipped: ")
    return left_out
