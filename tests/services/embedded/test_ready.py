from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from services.embedded.ready import wait_until_ready
from services.embedded.trouble import Trouble


def test_who_is_ready_is_told_once_and_in_the_order_it_happens(tmp_path: Path) -> None:
    answers = {"slow": iter(["not yet", None]), "quick": iter([None])}
    told: list[str] = []
    wait_until_ready(
        {name: partial(next, answer) for name, answer in answers.items()},
        within_s=5,
        is_supervised=lambda: True,
        on_ready=told.append,
        log_of=lambda name: tmp_path / name,
    )
    assert told == ["quick", "slow"]


def test_who_does_not_get_ready_is_named_with_the_reason_and_the_end_of_its_log(tmp_path: Path) -> None:
    (tmp_path / "api").write_text("".join(f"line {number}\n" for number in range(1000)))
    with pytest.raises(Trouble) as caught:
        wait_until_ready(
            {"nats": lambda: None, "api": lambda: "it does not answer"},
            within_s=0,
            is_supervised=lambda: True,
            on_ready=lambda _: None,
            log_of=lambda name: tmp_path / name,
        )
    assert str(caught.value).startswith("api is not ready after 0 s: it does not answer.\nThe end of ")
    assert str(caught.value).endswith("line 998\n    line 999")
    assert "line 984\n" not in str(caught.value)


def test_nobody_waits_for_a_supervisor_that_ended(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="The supervisor ended"):
        wait_until_ready(
            {"api": lambda: "it does not answer"},
            within_s=600,
            is_supervised=lambda: False,
            on_ready=lambda _: None,
            log_of=lambda name: tmp_path / name,
        )
