"""This file is the stand-in's serving life: settings, labels, canaries, receipts, quotas, central configuration.

It keeps to the contract's shapes and follows its own rules: labels move when a version is seen running, restarting
settings restart what runs, and every move leaves a receipt.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from tests.client.wire import Answer, Asked, Refusal

Json = Any
Tell = Callable[[str, list[tuple[str, bool, str, int]]], None]

ALL = 99  # instances ready: as many as there should be
RESTARTING = ("memoryBytes", "cpuLimit", "workerCount", "requestTimeoutSeconds", "healthCheck", "environmentVariables")
WORKERS = "com.cerebro.domino.modelmanager.uWsgi.workerCount"
TIMEOUT = "com.cerebro.domino.modelmanager.request.timeoutSeconds"
DEFAULTS = {WORKERS: 1, TIMEOUT: 60}
NEW: dict[str, Json] = {
    "replicas": 2,
    "scaling": None,
    "routingMode": "basic",
    "repeatableCalls": False,
    "resourceQuotaId": None,
    "memoryBytes": 2 << 30,
    "memoryRequestedBytes": 0,
    "cpuLimit": 0.0,
    "cpuRequested": 0.0,
    "workerCount": None,
    "recycleAfterCalls": 0,
    "preload": False,
    "requestTimeoutSeconds": None,
    "startDeadlineSeconds": 300.0,
    "buildTimeoutSeconds": 1800.0,
    "healthCheck": {"initialDelaySeconds": 0, "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 10},
    "environmentVariables": [],
    "volumes": [],
}
STARTING = [("Starting", True, "", 1), ("Running", False, "", ALL)]
RESTARTED = [("Running", True, "", 1), ("Running", False, "", ALL)]
STOPPED = [("Running", True, "", 1), ("Stopped", False, "", 0)]


class Serving:
    """State and routes. `tell` says what becomes of a version, `status` what it is now."""

    def __init__(self, ids: itertools.count[int], tell: Tell, status: Callable[[str], str]) -> None:
        self._ids = ids
        self._tell = tell
        self._status = status
        self.restart_steps = RESTARTED
        self.settings: dict[str, dict[str, Json]] = {}
        self.values: dict[str, dict[str, str]] = defaultdict(dict)  # model -> variable -> value
        self.numbers: dict[str, dict[str, int]] = defaultdict(dict)  # model -> version -> number
        self.labels: dict[str, dict[str, str]] = defaultdict(dict)
        self.previous: dict[str, dict[str, str]] = defaultdict(dict)
        self.promised: dict[str, list[str]] = defaultdict(list)  # version -> labels
        self.canaries: dict[str, dict[str, Json]] = defaultdict(dict)
        self.rollouts: dict[str, list[Json]] = defaultdict(list)  # oldest first
        self.quotas: list[Json] = []
        self.central: dict[str, float] = {}

    def routes(self, base: str) -> list[tuple[str, str, Callable[..., Answer]]]:
        model = rf"{base}/modelApis/(\w+)"
        version = rf"{model}/versions/(\w+)"
        return [
            ("GET", f"{model}/settings", lambda _, id: (200, self._settings_view(id))),
            ("PUT", f"{model}/settings", self._change_settings),
            ("PUT", f"{version}/productionLabel", self._set_production),
            ("POST", f"{version}/restart", self._restart),
            ("POST", f"{model}/rollback", self._roll_back),
            ("GET", f"{model}/canaries", lambda _, id: (200, [self._canary(id, each) for each in self.canaries[id]])),
            ("PUT", rf"{model}/canaries/(\w+)", self._set_canary),
            ("POST", rf"{model}/canaries/(\w+)/complete", self._complete_canary),
            ("DELETE", rf"{model}/canaries/(\w+)", self._withdraw_canary),
            ("GET", f"{model}/rollouts", lambda _, id: (200, self.rollouts[id][::-1])),
            ("GET", f"{base}/resourceQuotas", lambda _: (200, self.quotas)),
            ("POST", f"{base}/resourceQuotas", self._add_quota),
            ("PUT", rf"{base}/resourceQuotas/(\w+)", self._change_quota),
            ("GET", f"{base}/centralConfig", lambda _: (200, {"items": [self._key(each) for each in DEFAULTS]})),
            ("PUT", rf"{base}/centralConfig/([\w.]+)", self._set_key),
            ("DELETE", rf"{base}/centralConfig/([\w.]+)", self._unset_key),
            ("GET", f"{base}/centralConfig/pending", lambda _: (200, {"items": self._pending()})),
        ]

    def create(self, model_id: str, fields: dict[str, Json]) -> None:
        self.settings[model_id] = {**NEW, **{key: value for key, value in fields.items() if key in NEW}}
        self._keep_values(model_id, self.settings[model_id])

    def publish(self, model_id: str, version_id: str, number: int) -> None:
        self.numbers[model_id][version_id] = number
        self.promised[version_id] = ["latest"]

    def runs(self, model_id: str, version_id: str) -> None:
        """The version is seen running: it gets the labels that it was promised."""
        for label in self.promised.pop(version_id, []):
            self._lead(model_id, label, version_id)

    def rests(self, model_id: str, version_id: str) -> None:
        for label in [label for label, each in self.labels[model_id].items() if each == version_id]:
            del self.labels[model_id][label]

    def _lead(self, model_id: str, label: str, version_id: str) -> None:
        before = self.labels[model_id].get(label)
        if before == version_id:
            return
        self.labels[model_id][label] = version_id
        self.canaries[model_id].pop(label, None)
        if before is not None:
            self.previous[model_id][label] = before
            self._stop_unless_led_to(model_id, before)
        self._receipt(model_id, "switch", label, version_id, before)

    def _stop_unless_led_to(self, model_id: str, version_id: str) -> None:
        wanted = {*self.labels[model_id].values(), *(each["versionId"] for each in self.canaries[model_id].values())}
        if version_id not in wanted and self._status(version_id) == "Running":
            self._tell(version_id, STOPPED)

    def _receipt(self, model_id: str, kind: str, label: str, version_id: str, before: str | None) -> None:
        numbers = self.numbers[model_id]
        receipt = {
            "id": f"r{len(self.rollouts[model_id])}",
            "kind": kind,
            "label": label,
            "versionId": version_id,
            "versionNumber": numbers[version_id],
            "replacedVersionId": before,
            "replacedVersionNumber": numbers.get(before or ""),
            "routerId": "router-1",
            "began": 1_700_000_000_000,
            "inEffectSeconds": 0.25,
            "drainSeconds": 0.5,
            "requests": 40,
            "failures": 0,
            "longestWaitSeconds": 0.02,
            "longestCallSeconds": 0.3,
            "instances": ["a-1-1"],
            "replacedInstances": [],
            "isComplete": True,
        }
        self.rollouts[model_id].append(receipt)

    def _effective(self, settings: dict[str, Json]) -> dict[str, Json]:
        workers, timeout = (self.central.get(key, default) for key, default in DEFAULTS.items())
        return {
            "workerCount": settings["workerCount"] or workers,
            "requestTimeoutSeconds": settings["requestTimeoutSeconds"] or timeout,
        }

    def _settings_view(self, model_id: str) -> Json:
        settings = self.settings[model_id]
        hidden = [{"key": each["key"]} for each in settings["environmentVariables"]]
        shown = {**settings, "environmentVariables": hidden}
        return {**shown, "effective": self._effective(settings), "restarting": list(RESTARTING)}

    def _change_settings(self, asked: Asked, model_id: str) -> Answer:
        before = {**self.settings[model_id], "values": dict(self.values[model_id])}
        unknown = set(asked.json) - set(NEW)
        if unknown or not 1 <= asked.json.get("replicas", 1) <= 32:
            said = f"unknown: {sorted(unknown)}" if unknown else "replicas must be between 1 and 32"
            raise Refusal(400, {"error": said})
        after = {**self.settings[model_id], **asked.json}
        self._keep_values(model_id, after)
        self.settings[model_id] = after
        known = {**after, "values": self.values[model_id]}
        running = [each for each in self.numbers[model_id] if self._status(each) == "Running"]
        has_restarted = any(before[name] != known[name] for name in (*RESTARTING, "values"))
        for version_id in running:
            self._tell(version_id, self.restart_steps if has_restarted else RESTARTED)
            if has_restarted:
                self._receipt(model_id, "restart", "", version_id, version_id)
        return 200, {**self._settings_view(model_id), "restarted": running if has_restarted else []}

    def _keep_values(self, model_id: str, settings: dict[str, Json]) -> None:
        old, new = self.values[model_id], {}
        for each in settings["environmentVariables"]:
            if "value" not in each and each["key"] not in old:
                raise Refusal(400, {"error": f"{each['key']} has no value"})
            new[each["key"]] = each.get("value", old.get(each["key"]))
        self.values[model_id] = new

    def _start_for(self, model_id: str, label: str, version_id: str) -> None:
        """`label` leads to the version at once if it runs, else as soon as it does."""
        if version_id not in self.numbers[model_id]:
            raise Refusal(404, {"error": "There is no such version"})
        if self._status(version_id) == "Running":
            self._lead(model_id, label, version_id)
        else:
            self.promised[version_id].append(label)
            self._tell(version_id, STARTING)

    def _set_production(self, asked: Asked, model_id: str, version_id: str) -> Answer:
        if self.settings[model_id]["routingMode"] != "advanced":
            raise Refusal(400, {"error": "The routing mode is basic, which has no prod: set it to advanced first"})
        if asked.json["isProd"]:
            self._start_for(model_id, "prod", version_id)
        elif self.labels[model_id].get("prod") == version_id:
            self.previous[model_id]["prod"] = self.labels[model_id].pop("prod")
            self._stop_unless_led_to(model_id, version_id)
        return 200, self._brief(model_id, version_id)

    def _restart(self, asked: Asked, model_id: str, version_id: str) -> Answer:
        self._tell(version_id, self.restart_steps)
        self._receipt(model_id, "restart", "", version_id, version_id)
        return 200, self._brief(model_id, version_id)

    def _roll_back(self, asked: Asked, model_id: str) -> Answer:
        is_prod_used = "prod" in {*self.labels[model_id], *self.previous[model_id]}
        label = asked.json.get("label") or ("prod" if is_prod_used else "latest")
        if label not in self.previous[model_id]:
            raise Refusal(400, {"error": f"{label} has led to no other version before"})
        self._start_for(model_id, label, self.previous[model_id][label])
        return 200, self.model_view(model_id)

    def _canary(self, model_id: str, label: str) -> Json:
        canary = self.canaries[model_id][label]
        both = (self.labels[model_id].get(label), canary["versionId"])
        numbers = self.numbers[model_id]
        sides = [
            {"versionId": each, "versionNumber": numbers[each], "requests": 90, "failures": 1, "meanSeconds": 0.012}
            | {"longestSeconds": 0.2}
            for each in both
            if each is not None
        ]
        number = numbers[canary["versionId"]]
        is_ready = self._status(canary["versionId"]) == "Running"
        return {"label": label, "versionNumber": number, "isReady": is_ready, "sides": sides, **canary}

    def _set_canary(self, asked: Asked, model_id: str, label: str) -> Answer:
        version_id = asked.json["versionId"]
        if self.labels[model_id].get(label) in {None, version_id}:
            raise Refusal(400, {"error": f"{label} has to lead to another version than its canary"})
        self.canaries[model_id][label] = {"versionId": version_id, "share": asked.json["share"]}
        if self._status(version_id) != "Running":
            self._tell(version_id, STARTING)
        return 200, self.model_view(model_id)

    def _complete_canary(self, asked: Asked, model_id: str, label: str) -> Answer:
        self._lead(model_id, label, self.canaries[model_id][label]["versionId"])
        return 200, self.model_view(model_id)

    def _withdraw_canary(self, asked: Asked, model_id: str, label: str) -> Answer:
        self._stop_unless_led_to(model_id, self.canaries[model_id].pop(label)["versionId"])
        return 200, self.model_view(model_id)

    def model_view(self, model_id: str) -> Json:
        """What of a model API's view is decided here."""
        settings = self.settings[model_id]
        return {
            "id": model_id,
            "name": "iris",
            "replicas": settings["replicas"],
            "memoryBytes": settings["memoryBytes"],
            "routingMode": settings["routingMode"],
            "labels": dict(self.labels[model_id]),
        }

    def _brief(self, model_id: str, version_id: str) -> Json:
        deployment = {"status": self._status(version_id), "isPending": True}
        labels = [label for label, each in self.labels[model_id].items() if each == version_id]
        return {
            "id": version_id,
            "number": self.numbers[model_id][version_id],
            "labels": labels,
            "deployment": deployment,
        }

    def _add_quota(self, asked: Asked) -> Answer:
        quota = {"id": f"{next(self._ids):024x}", **asked.json, "isVisible": True, "isDefault": False}
        self.quotas.append(quota)
        return 201, quota

    def _change_quota(self, asked: Asked, quota_id: str) -> Answer:
        quota = next(each for each in self.quotas if each["id"] == quota_id)
        quota.update(asked.json)
        return 200, quota

    def _key(self, key: str) -> Json:
        unit = "s" if key.endswith("Seconds") else ""
        value = self.central.get(key, DEFAULTS[key])
        about = {"default": DEFAULTS[key], "isSet": key in self.central, "unit": unit, "description": "What it says"}
        return {"key": key, "value": value, **about}

    def _set_key(self, asked: Asked, key: str) -> Answer:
        if not 1 <= asked.json["value"] <= 3600:
            raise Refusal(400, {"error": f"{key} must be between 1 and 3600"})
        self.central[key] = asked.json["value"]
        return 200, self._key(key)

    def _unset_key(self, asked: Asked, key: str) -> Answer:
        self.central.pop(key, None)
        return 200, self._key(key)

    def _pending(self) -> list[Json]:
        return [
            {"modelId": model_id, "name": "iris", "versions": list(self.numbers[model_id]), "keys": list(self.central)}
            for model_id in self.settings
            if self.central
        ]
