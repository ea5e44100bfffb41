"""A platform is backed up while it works, and another goes on from there: same tokens, same answers, same history."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.model import V1, Model, model_of, ok
from tests.e2e.platform import Callers, Platform
from tests.e2e.platform import platform as new_platform
from tests.parts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SCRIPT = "import os\ndef predict(x):\n    return [x + 1, os.environ['GREETING']]\n"
GREETING: dict[str, Any] = {"environmentVariables": [{"key": "GREETING", "value": "good day"}]}


@contextlib.contextmanager
def changing(model: Model) -> Iterator[list[str]]:
    """The model's description changes all the time inside; gives every one that was acknowledged."""
    stop, acknowledged = threading.Event(), list[str]()

    def change() -> None:
        while not stop.is_set():
            text = f"number {len(acknowledged)}"
            body = {"name": "x", "description": text, "environmentId": "", "replicas": 1}
            ok(model.http.put(model.at, json=body))
            acknowledged.append(text)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield acknowledged
    finally:
        stop.set()
        thread.join(30)


def restored(platform: Platform, archive: Path) -> str:
    ran = platform.embedded("restore", str(archive))
    assert ran.code == 0, ran.err + ran.out
    return ran.out


def assert_rekeyed(platform: Platform) -> None:
    """From here on another key than before opens what is secret."""
    keys = platform.home / "secrets" / "token-keys"
    before = keys.read_text().split()
    ran = platform.embedded("rekey")
    assert (ran.code, "0 are opened by no key" in ran.out) == (0, True), ran.out + ran.err
    [newest] = keys.read_text().split()
    assert newest not in before


def assert_one_api_does_for_two(platform: Platform) -> None:
    """While one is dead the other answers; at most the request that the dead one had is to be sent again."""
    with platform.http() as http:
        for program in ("api", "api-2"):
            platform.process(program).kill()
            for number in range(10):
                create(http, f"{program}-{number}")
            wait_for(lambda: is_healthy(platform), 30, what="both are ready again")


def create(http: httpx.Client, name: str) -> None:
    """Whether the one that died had made it is not known; who repeats the request by its key need not know."""
    for tries_left in (1, 0):
        try:
            answer = http.post("/v4/projects", json={"name": name}, headers={"Idempotency-Key": name})
        except httpx.TransportError:  # its connection was HAProxy's to use again
            assert tries_left
            continue
        if answer.status_code != 502 or not tries_left:
            ok(answer)
            return


def is_healthy(platform: Platform) -> bool:
    return platform.embedded("status").code == 0


def test_a_backup_taken_under_load_is_restored_elsewhere_and_its_models_run(tmp_path: Path) -> None:
    archive = tmp_path / "backup.tar.gz"
    with (
        new_platform() as old,
        model_of(old, SCRIPT, replicas=1, **GREETING) as model,
        Callers(model.endpoint(), model.token, model.body).calling() as callers,
        changing(model) as descriptions,
    ):
        wait_for(lambda: len(descriptions) > 5, 30, what="it changes")
        before = len(descriptions)
        ran = old.embedded("backup", str(archive), "--with-keys")
        assert ran.code == 0, ran.err + ran.out
        wait_for(lambda: len(descriptions) > before + 5, 30, what="it changes on")
        refused = old.embedded("restore", str(archive))
        assert (refused.code, "There is a platform in" in refused.err) == (1, True)
        token, model_id = model.token, model.id
        assert callers.failures == []
    assert archive.stat().st_mode & 0o777 == 0o600

    with new_platform(apis=2, is_up=False) as new:
        assert "All is sound." in restored(new, archive)
        new.up()
        url = f"{new.url}/models/{model_id}/latest/model"

        def call() -> httpx.Response:
            return httpx.post(url, json={"parameters": [1]}, auth=(token, token), timeout=30)

        wait_for(lambda: call().status_code == 200, 60, what="the model answers to its old token")
        assert call().json()["result"] == [2, "good day"]
        assert httpx.post(url, json={"parameters": [1]}, auth=("x" * 64, "")).status_code == 401
        ran = new.cli("audit", "verify")
        assert (ran.code, "All is sound." in ran.out) == (0, True), ran.out + ran.err
        assert_rekeyed(new)
        assert_one_api_does_for_two(new)
        with new.http() as http:
            shown = ok(http.get(f"{V1}/modelApis/{model_id}"))
            assert shown["description"] in descriptions[before - 1 :]
            [kept] = ok(http.get(f"{V1}/modelApis/{model_id}/accessTokens"))
            assert ok(http.get(f"{V1}/modelApis/{model_id}/accessTokens/{kept['id']}/secret"))["token"] == token
