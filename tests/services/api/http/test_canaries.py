"""Labels over HTTP: promoted, demoted, rolled back, tried on a share; and what the routers measured of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.api.ledger import MongoLedger
from services.core.aggregates import MODEL
from services.core.commands import RecordRollout
from services.core.ids import AggregateId, InstanceId, VersionId
from services.core.records import Rollout, RolloutKind, Traffic
from tests.makers import PERSON
from tests.services.api.http.client import V1, Answer, Client
from tests.services.api.http.conftest import SaidToBe
from tests.services.api.http.steps import build, ready, run

AT = datetime(2026, 1, 2, tzinfo=UTC)


class Scene:
    """An advanced model whose first version answers `latest`; a second one is built."""

    def __init__(self, api: Client, ledger: MongoLedger, model: Any, one: VersionId, two: VersionId) -> None:
        self.api, self.ledger, self.model, self.one, self.two = api, ledger, model, one, two
        self.at = f"{V1}/modelApis/{model['id']}"

    async def call(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.api(method, f"{self.at}{path}", body)

    async def ok(self, method: str, path: str, body: Any = None) -> Any:
        return await self.api.ok(method, f"{self.at}{path}", body)

    async def labels(self) -> Any:
        return (await self.ok("GET", ""))["labels"]

    async def ready(self, version: VersionId) -> None:
        generation = (await self.ledger._store.load(MODEL, self.model["id"])).version(version).generation
        await ready(self.ledger, self.model, version, generation)

    async def promote(self, version: VersionId, *, is_prod: bool = True) -> Answer:
        return await self.call("PUT", f"/versions/{version}/productionLabel", {"isProd": is_prod})


@pytest.fixture
async def scene(api: Client, ledger: MongoLedger) -> Scene:
    model = await api.model(routingMode="advanced", replicas=1)
    one = await run(ledger, model)
    at = f"{V1}/modelApis/{model['id']}/versions"
    two = await build(ledger, model, await api.ok("POST", at, {"shouldDeploy": False}))
    return Scene(api, ledger, model, one, two)


async def test_a_version_is_promoted_when_it_is_ready_and_demoted_at_once(scene: Scene) -> None:
    answer = await scene.promote(scene.two)
    assert (answer.status, answer.body["deployment"]["status"]) == (202, "Starting")
    assert await scene.labels() == {"latest": scene.one}
    await scene.ready(scene.two)
    assert await scene.labels() == {"latest": scene.one, "prod": scene.two}
    shown = await scene.ok("GET", f"/versions/{scene.two}")
    assert (shown["labels"], shown["reason"]) == (["prod"], "")
    answer = await scene.promote(scene.two, is_prod=False)
    assert (answer.status, answer.body["labels"]) == (202, [])
    assert await scene.labels() == {"latest": scene.one}


async def test_a_basic_model_has_nothing_to_promote_to(api: Client, ledger: MongoLedger) -> None:
    model = await api.model()
    version = await run(ledger, model)
    at = f"{V1}/modelApis/{model['id']}"
    answer = await api("PUT", f"{at}/versions/{version}/productionLabel", {"isProd": True})
    assert (answer.status, "basic routing mode" in answer.fault) == (422, True)
    assert list((await api.ok("GET", at))["endpoints"]) == ["latest"]


async def test_a_rollback_leads_the_label_to_what_it_led_to_before(scene: Scene) -> None:
    await scene.promote(scene.one)
    await scene.promote(scene.two)
    await scene.ready(scene.two)
    assert (await scene.labels())["prod"] == scene.two
    for body, led_to in ((None, scene.one), ({}, scene.two), ({"label": "prod"}, scene.one)):
        rolled_back = await scene.ok("POST", "/rollback", body)
        if rolled_back["labels"]["prod"] != led_to:
            await scene.ready(led_to)
        assert (await scene.labels())["prod"] == led_to


async def test_a_rollback_repeated_with_its_key_is_one(scene: Scene) -> None:
    await scene.promote(scene.one)
    await scene.promote(scene.two)
    await scene.ready(scene.two)
    at, key = f"{scene.at}/rollback", {"Idempotency-Key": "once"}
    answers = [await scene.api.ok("POST", at, {}, headers=key) for _ in range(3)]
    assert [answer["labels"]["prod"] for answer in answers] == [scene.one] * 3


async def test_a_rollback_to_nothing_or_of_an_unknown_label_is_refused(scene: Scene) -> None:
    answer = await scene.call("POST", "/rollback", {"label": "prod"})
    assert (answer.status, answer.fault) == (422, "there is no earlier version that prod led to")
    answer = await scene.call("POST", "/rollback", {"label": "beta"})
    assert (answer.status, answer.fault) == (400, "label must be latest or prod on model 'iris', got 'beta'")


async def test_a_restart_is_of_what_runs(scene: Scene) -> None:
    answer = await scene.call("POST", f"/versions/{scene.one}/restart")
    assert (answer.status, answer.body["deployment"]["isPending"]) == (202, True)
    answer = await scene.call("POST", f"/versions/{scene.two}/restart")
    assert (answer.status, answer.fault) == (422, "version 2 does not run: start it instead")
    assert (await scene.call("POST", f"/versions/{'f' * 24}/restart")).status == 404


async def test_a_canary_is_set_widened_and_completed(scene: Scene, observed: SaidToBe) -> None:
    model = await scene.ok("PUT", "/canaries/latest", {"versionId": scene.two, "share": 10})
    assert model["canaries"] == [{"label": "latest", "versionId": scene.two, "share": 10.0}]
    (canary,) = await scene.ok("GET", "/canaries")
    assert (canary["isReady"], [side["requests"] for side in canary["sides"]]) == (False, [0, 0])
    await scene.ready(scene.two)
    await scene.ok("PUT", "/canaries/latest", {"versionId": scene.two, "share": 50.5})
    observed.measured[scene.two] = Traffic(since=AT, requests=7, failures=2, mean_s=0.25, longest_s=1.5)
    (canary,) = await scene.ok("GET", "/canaries")
    assert (canary["label"], canary["versionNumber"], canary["share"], canary["isReady"]) == ("latest", 2, 50.5, True)
    assert [(side["versionId"], side["versionNumber"]) for side in canary["sides"]] == [(scene.one, 1), (scene.two, 2)]
    measured = {"requests": 7, "failures": 2, "meanSeconds": 0.25, "longestSeconds": 1.5}
    assert measured.items() <= canary["sides"][1].items()
    assert (await scene.ok("POST", "/canaries/latest/complete"))["labels"]["latest"] == scene.two
    assert await scene.ok("GET", "/canaries") == []


async def test_a_canary_is_withdrawn_and_the_model_says_so(scene: Scene) -> None:
    await scene.ok("PUT", "/canaries/latest", {"versionId": scene.two, "share": 10})
    withdrawn = await scene.ok("DELETE", "/canaries/latest")
    assert (withdrawn["canaries"], withdrawn["labels"]) == ([], {"latest": scene.one})
    answer = await scene.call("DELETE", "/canaries/latest")
    assert (answer.status, answer.fault) == (422, "no version is tried on latest")


async def test_what_was_done_is_no_error_when_the_request_is_repeated_with_its_key(scene: Scene) -> None:
    await scene.ok("PUT", "/canaries/latest", {"versionId": scene.two, "share": 10})
    await scene.ready(scene.two)
    at, key = f"{scene.at}/canaries/latest/complete", {"Idempotency-Key": "once"}
    answers = [await scene.api.ok("POST", at, headers=key) for _ in range(2)]
    assert [answer["labels"]["latest"] for answer in answers] == [scene.two] * 2
    assert (await scene.api("POST", at)).status == 422


REFUSED: list[tuple[str, int, Any, int, str]] = [
    ("latest", 2, 100.5, 400, "share must be at most 100"),
    ("latest", 2, -1, 400, "share must be at least 0"),
    ("latest", 2, "10", 400, "share must be a number, got text"),
    ("latest", 1, 10, 422, "version 1 already answers latest"),
    ("beta", 2, 10, 400, "label must be latest or prod on model 'iris', got 'beta'"),
    ("prod", 2, 10, 422, "prod leads to no version yet: a canary needs one to be held to"),
    ("latest", 0, 10, 404, "model 'iris' has no version"),
]


async def test_a_canary_that_cannot_be_is_refused(scene: Scene) -> None:
    versions = {0: "f" * 24, 1: scene.one, 2: scene.two}
    for label, version, share, status, sentence in REFUSED:
        answer = await scene.call("PUT", f"/canaries/{label}", {"versionId": versions[version], "share": share})
        assert (answer.status, sentence in answer.fault) == (status, True), (label, version, answer.raw)
    assert await scene.ok("GET", "/canaries") == []


def receipt(scene: Scene, number: int) -> Rollout:
    return Rollout(
        id=f"router-1.latest.{number}",
        router_id="router-1",
        kind=RolloutKind.SWITCH,
        model_id=AggregateId(scene.model["id"]),
        version_id=scene.two,
        replaced=scene.one,
        label="latest",
        began_at=AT,
        in_effect_s=0.2,
        drain_s=1.5,
        requests=40,
        failures=0,
        longest_wait_s=0.01,
        longest_call_s=0.5,
        instances=(InstanceId("b"),),
        replaced_instances=(InstanceId("a"),),
    )


async def test_receipts_of_rollouts_are_shown_newest_first(scene: Scene) -> None:
    assert await scene.ok("GET", "/rollouts") == []
    for number in (1, 2):
        command = RecordRollout(rollout=receipt(scene, number))
        await scene.ledger.execute(MODEL, scene.model["id"], command, actor=PERSON)
    shown = await scene.ok("GET", "/rollouts")
    assert [each["id"] for each in shown] == ["router-1.latest.2", "router-1.latest.1"]
    assert shown[0] == {
        "id": "router-1.latest.2",
        "kind": "switch",
        "label": "latest",
        "versionId": scene.two,
        "versionNumber": 2,
        "replacedVersionId": scene.one,
        "replacedVersionNumber": 1,
        "routerId": "router-1",
        "began": int(AT.timestamp() * 1000),
        "inEffectSeconds": 0.2,
        "drainSeconds": 1.5,
        "requests": 40,
        "failures": 0,
        "longestWaitSeconds": 0.01,
        "longestCallSeconds": 0.5,
        "instances": ["b"],
        "replacedInstances": ["a"],
        "isComplete": True,
    }
