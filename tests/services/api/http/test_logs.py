"""Logs: read from where the client left off, the first or the last of them, and told apart by instance."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from services.core import subjects
from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.records import LogLine
from services.core.subjects import LogKind
from tests.makers import START
from tests.services.api.http.client import V1, Client
from tests.services.api.http.conftest import SaidToBe


def line(text: str, *, microseconds: int = 0, stream: str = "stdout") -> LogLine:
    return LogLine(at=START + timedelta(microseconds=microseconds), text=text, stream=stream)


class Version:
    """A published version, and where its logs are written and read."""

    def __init__(self, api: Client, model: Any) -> None:
        self._api = api
        self.model_id = AggregateId(model["id"])
        self.id = VersionId(model["activeVersion"]["id"])

    def subject(self, kind: LogKind, instance: str | None = None) -> str:
        return subjects.log(kind, self.model_id, self.id, None if instance is None else InstanceId(instance))

    async def read(self, logs: str, **params: Any) -> Any:
        at = f"{V1}/modelApis/{self.model_id}/versions/{self.id}/{logs}"
        return await self._api.ok("GET", at, params={name: str(value) for name, value in params.items()})

    async def texts(self, logs: str, **params: Any) -> list[str]:
        return [each["log"] for each in (await self.read(logs, **params))["logs"]]


@pytest.fixture
async def version(api: Client) -> Version:
    return Version(api, await api.model())


async def test_a_line_of_a_log_is_answered_whole(version: Version, observed: SaidToBe) -> None:
    observed.logs[version.subject(LogKind.BUILD)] = [line("hello", stream="stderr", microseconds=5)]
    milliseconds = int(START.timestamp() * 1000)
    assert await version.read("buildLogs") == {
        "logs": [
            {
                "log": "hello",
                "streamType": "stderr",
                "tags": [],
                "timeNano": milliseconds * 1_000_000 + 5000,
                "timestamp": milliseconds,
            }
        ],
        "modelId": version.model_id,
        "modelVersionId": version.id,
        "status": "Preparing to build",
    }


async def test_each_kind_of_log_is_its_own(version: Version, observed: SaidToBe) -> None:
    observed.logs[version.subject(LogKind.BUILD)] = [line("building")]
    observed.logs[version.subject(LogKind.DEPLOYMENT)] = [line("deploying")]
    observed.logs[version.subject(LogKind.INSTANCE) + ".>"] = [line("one"), line("two")]
    observed.logs[version.subject(LogKind.INSTANCE, "i-2")] = [line("two")]
    assert await version.texts("buildLogs") == ["building"]
    assert await version.texts("deploymentLogs") == ["deploying"]
    assert await version.texts("instanceLogs") == ["one", "two"]
    of_one = (await version.read("instanceLogs", podName="i-2", containerName="model"))["logs"]
    assert [(each["log"], each["tags"]) for each in of_one] == [("two", [{"key": "podName", "value": "i-2"}])]


@pytest.mark.parametrize(("lines_an_instant", "page"), [(4, 7), (3000, 999)])
async def test_a_client_that_asks_from_its_last_line_gets_every_line_once(
    version: Version, observed: SaidToBe, lines_an_instant: int, page: int
) -> None:
    """Also lines that were read at one instant."""
    lines = [line(f"{n}", microseconds=n // lines_an_instant) for n in range(3 * lines_an_instant)]
    observed.logs[version.subject(LogKind.BUILD)] = lines
    got: list[str] = []
    since = 0
    while logs := (await version.read("buildLogs", sinceTimeNano=since, maxResults=page))["logs"]:
        got += [each["log"] for each in logs]
        since = logs[-1]["timeNano"]
    assert got == [each.text for each in lines]


async def test_the_first_or_the_last_lines_are_given_as_asked(version: Version, observed: SaidToBe) -> None:
    observed.logs[version.subject(LogKind.INSTANCE) + ".>"] = [
        line(f"{number}", microseconds=number) for number in (3, 1, 2, 0)
    ]
    assert await version.texts("instanceLogs") == ["0", "1", "2", "3"]
    assert await version.texts("instanceLogs", tail=2) == ["2", "3"]
    assert await version.texts("instanceLogs", maxResults=2) == ["0", "1"]
    assert await version.texts("instanceLogs", tail=3, maxResults=1) == ["1"]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"sinceTimeNano": "yesterday"}, "sinceTimeNano must be a whole number from 0"),
        ({"sinceTimeNano": "9" * 21}, "sinceTimeNano must be a whole number from 0"),
        ({"tail": "-1"}, "tail must be a whole number from 0 to 10000, got '-1'"),
        ({"podName": "a.b.>"}, "podName must be the id of an instance"),
    ],
)
async def test_a_log_that_cannot_be_is_refused(
    api: Client, version: Version, params: dict[str, str], sentence: str
) -> None:
    at = f"{V1}/modelApis/{version.model_id}/versions/{version.id}/instanceLogs"
    answer = await api("GET", at, params=params)
    assert answer.status == 400
    assert sentence in answer.fault
