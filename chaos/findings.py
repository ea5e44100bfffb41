"""This file compares what is there with what should be: each difference is one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from chaos.expected import History, broken_promises, read_history
from chaos.operations import Kept
from chaos.processes import instances_by_version, program_counts, strangers
from tests.e2e.platform import Platform

API = "/api/modelServing/v1"
_PAGE = 1000


class Findings:
    """Asks the platform over HTTP and looks at its processes."""

    def __init__(self, platform: Platform, http: httpx.Client, kept: list[Kept]) -> None:
        self._platform = platform
        self._http = http
        self._kept = kept

    def find(self) -> list[str]:
        """All that is wrong now; nothing once all has settled."""
        try:
            return list(self._all())
        except httpx.HTTPError as error:
            return [f"the platform does not answer: {error!r}"]
        except _Refused as error:
            return [str(error)]

    def _all(self) -> Iterator[str]:
        yield from self._programs()
        yield from self._platform_state()
        yield from self._models()
        yield from (f"a stranger runs: {each}" for each in strangers(self._platform))
        yield from (f"{finding}" for finding in self._get("/audit/verification")["findings"])

    def _programs(self) -> Iterator[str]:
        for name, count in program_counts(self._platform).items():
            # An old worker of HAProxy may stay for as long as a caller keeps an idle connection to it.
            if count < 1 or (count > 1 and name != "haproxy-worker"):
                yield f"{count} of {name}"

    def _platform_state(self) -> Iterator[str]:
        state = self._get("/platform")
        if state["outbox"]["waiting"] != 0:
            yield f"{state['outbox']['waiting']} rows wait in the outbox"
        for part in ("database", "bus"):
            if state[part] != "ok":
                yield f"{part}: {state[part]}"
        alive = {each["service"] for each in state["services"] if each["isAlive"]}
        yield from (
            f"{each} is silent" for each in ("api", "builder", "deployer", "router", "monitor") if each not in alive
        )
        yield from (f"router: {each['rejected']}" for each in state["routers"] if each["rejected"])

    def _models(self) -> Iterator[str]:
        found = instances_by_version(self._platform)
        models = self._get("/modelApis", limit=_PAGE)["items"]
        by_name = {model["name"]: model for model in models}
        for model in models:
            history = self._history(model["id"])
            yield from (f"{model['name']}: {said}" for said in self._model(model, history, found))
        for kept in self._kept:
            model = by_name.get(kept.name)
            if model is None:
                if kept.orders:
                    yield f"{kept.name} was accepted and is unknown"
                continue
            history = self._history(model["id"])
            yield from (f"{kept.name}: {said}" for said in broken_promises(kept.orders, history))
            yield from (f"{kept.name}: token {each} is unknown" for each in kept.tokens.keys() - history.tokens)
            yield from (f"{kept.name}: {said}" for said in self._calls(kept, model, history))
        yield from (f"orphans of no version {version}: {each}" for version, each in found.items())

    def _model(self, model: dict[str, Any], history: History, found: dict[str, list[str]]) -> Iterator[str]:
        """Takes what belongs to the model out of `found`."""
        versions = {each["id"]: each for each in self._get(f"/modelApis/{model['id']}/versions")}
        if versions.keys() != history.versions.keys():
            yield f"its versions are {sorted(versions)}, its events tell of {sorted(history.versions)}"
        for version_id, told in history.versions.items():
            deployment = versions[version_id]["deployment"]
            number = f"version {told.number}"
            if deployment["status"] != told.status:
                yield f"{number} is {deployment['status']}, its events say {told.status}"
            if deployment["isPending"]:
                yield f"{number} is {deployment['status']} and pending ({deployment['instances']})"
            if deployment["status"] == "Failed" and not deployment["reason"]:
                yield f"{number} failed for no reason"
            wanted = model["replicas"] if told.status == "Running" else 0
            instances = found.pop(version_id[-8:], [])
            if len(instances) != wanted or any(each.split("-")[1] != str(told.generation) for each in instances):
                yield f"{number} is {told.status} in generation {told.generation} and has instances {instances}"

    def _calls(self, kept: Kept, model: dict[str, Any], history: History) -> Iterator[str]:
        """What a caller sees: the label's own version behind live tokens, 503 without one, 401 for the rest."""
        url = model["endpoints"]["latest"]
        for token_id, secret in kept.tokens.items():
            answer = self._http.post(url, json={"parameters": [1]}, auth=(secret, secret))
            if history.latest is None and answer.status_code != 503:
                yield f"nothing serves, and it answered {answer.status_code}"
            if history.latest is not None:
                expected = kept.answers.get(history.latest)
                result = answer.json().get("result") if answer.status_code == 200 else answer.text[:200]
                if answer.status_code != 200 or result != expected:
                    yield f"with token {token_id} it answered {answer.status_code} {result}, not {expected}"
        for token_id, secret in kept.revoked.items():
            answer = self._http.post(url, json={"parameters": [1]}, auth=(secret, secret))
            if answer.status_code != 401:
                yield f"the revoked token {token_id} was answered {answer.status_code}"

    def _history(self, model_id: str) -> History:
        items = self._get("/audit", modelId=model_id, limit=_PAGE)["items"]
        return read_history(reversed(items))

    def _get(self, path: str, **params: str | int) -> Any:
        answer = self._http.get(f"{API}{path}", params=params)
        if answer.status_code != 200:
            raise _Refused(f"{path} answered {answer.status_code} {answer.text[:200]}")
        return answer.json()


class _Refused(Exception):
    """The platform did not answer a question."""
