"""This file is how model APIs, versions and what their changes cost look: as JSON values, and as text for people."""

from __future__ import annotations

from modelway import Canary, Client, Model, Rollout, Side, Version
from modelway.commands.output import plural, size_text, table
from modelway.records import Json


def model_value(client: Client, model: Model) -> dict[str, Json]:
    active = model.active
    return {
        "id": model.id,
        "name": model.name,
        "description": model.description,
        "version": active.number if active else None,
        "status": active.status if active else "",
        "is_pending": active.is_pending if active else False,
        "instances": model.replicas,
        "routing_mode": model.routing_mode,
        "endpoint": client.endpoint(model),
    }


def version_value(version: Version) -> dict[str, Json]:
    return {
        "id": version.id,
        "version": version.number,
        "labels": list(version.labels),
        "status": version.status,
        "is_pending": version.is_pending,
        "reason": version.reason,
        "instances_wanted": version.instances_wanted,
        "instances_ready": version.instances_ready,
        "instances_lost": version.instances_lost,
        "last_exit": version.last_exit,
        "file": version.file,
        "function": version.function,
        "language": version.language,
        "description": version.description,
        "created_at": version.created_at.isoformat(timespec="seconds") if version.created_at else None,
    }


def rollout_value(rollout: Rollout) -> dict[str, Json]:
    return {
        "id": rollout.id,
        "kind": rollout.kind,
        "label": rollout.label,
        "version": rollout.number,
        "replaced": rollout.replaced,
        "began_at": rollout.began_at.isoformat() if rollout.began_at else None,
        "in_effect_s": rollout.in_effect_s,
        "requests": rollout.requests,
        "failures": rollout.failures,
        "longest_wait_s": rollout.longest_wait_s,
        "longest_call_s": rollout.longest_call_s,
        "drain_s": rollout.drain_s,
        "instances": list(rollout.instances),
        "replaced_instances": list(rollout.replaced_instances),
        "is_complete": rollout.is_complete,
    }


def canary_value(canary: Canary) -> dict[str, Json]:
    return {
        "label": canary.label,
        "version": canary.number,
        "share": canary.share,
        "is_ready": canary.is_ready,
        "sides": [_side_value(each) for each in canary.sides],
    }


def _side_value(side: Side) -> dict[str, Json]:
    return {
        "version": side.number,
        "requests": side.requests,
        "failures": side.failures,
        "mean_s": side.mean_s,
        "longest_s": side.longest_s,
    }


def status_text(version: dict[str, Json]) -> str:
    text = f"{version['status']}{' …' if version['is_pending'] else ''}"
    wanted = version["instances_wanted"]
    return f"{text}, {version['instances_ready']} of {wanted} ready" if wanted else text


def written_in(version: dict[str, Json]) -> str:
    """What tells of a language that most are not written in."""
    return ", in R" if version["language"] == "r" else ""


def model_text(value: dict[str, Json]) -> str:
    active, newest = value["active_version"], value["newest_version"]
    rows = [["name", value["name"]], ["id", value["id"]], ["description", value["description"]]]
    if active:
        rows.append(["version", f"{active['version']} ({active['file']}, {active['function']}{written_in(active)})"])
        rows.append(["status", status_text(active)])
        rows.append(["reason", active["reason"]])
        if active["instances_lost"]:
            rows.append(["lost", f"{active['instances_lost']} instances, the last: {active['last_exit']}"])
    if newest and newest != active:
        rows.append(["newest version", f"{newest['version']}: {status_text(newest)} {newest['reason']}"])
    rows.append(["routing", value["routing_mode"]])
    rows += [[route["label"], _route_text(route)] for route in value["routes"]]
    rows += [[f"canary of {each['label']}", canary_text(each)] for each in value["canaries"]]
    rows.append(["settings", _settings_text(value["settings"]) if value["settings"] else ""])
    rows.append(["endpoint", value["endpoint"]])
    lines = [f"{label + ':':18}{text}" for label, text in rows if text]
    rollouts = ["", rollouts_table(value["rollouts"])] if value["rollouts"] else []
    return "\n".join([*lines, *rollouts, "", value["curl"]])


def _route_text(route: dict[str, Json]) -> str:
    return "leads nowhere" if route["version"] is None else f"version {route['version']}"


def canary_text(canary: dict[str, Json]) -> str:
    state = "" if canary["is_ready"] else ", not ready yet"
    return f"version {canary['version']} with {canary['share']:g} % of the calls{state}"


def _settings_text(settings: dict[str, Json]) -> str:
    scaling = settings.get("scaling")
    count = plural(settings["replicas"], "instance")
    if scaling:
        bounds = f"{scaling['minReplicas']} to {scaling['maxReplicas']} instances"
        count = f"{bounds}, for {scaling['targetCalls']:g} calls each"
    effective = settings.get("effective") or {}
    parts = [
        count,
        size_text(settings["memoryBytes"]) + " each",
        f"{plural(effective.get('workerCount') or 1, 'worker')} each",
        f"request timeout {effective.get('requestTimeoutSeconds') or 60:g} s",
    ]
    return ", ".join(parts)


def canaries_table(canaries: list[dict[str, Json]]) -> str:
    """Both sides of each label that has a canary, with errors and latency."""
    if not canaries:
        return "There is no canary."
    rows = [
        [
            canary["label"],
            f"{side['version']}{' (canary)' if side['version'] == canary['version'] else ''}",
            f"{canary['share'] if side['version'] == canary['version'] else 100 - canary['share']:g} %",
            side["requests"],
            side["failures"],
            f"{side['mean_s'] * 1000:.0f} ms",
            f"{side['longest_s'] * 1000:.0f} ms",
        ]
        for canary in canaries
        for side in canary["sides"]
    ]
    unready = [f"canary of {each['label']}: {canary_text(each)}" for each in canaries if not each["sides"]]
    head = ["LABEL", "VERSION", "SHARE", "CALLS", "FAILED", "MEAN", "LONGEST"]
    return "\n".join([*unready, *([table(head, rows)] if rows else [])])


def rollouts_table(rollouts: list[dict[str, Json]], *, at_most: int = 5) -> str:
    rows = [
        [
            (each["began_at"] or "")[:19],
            each["label"] or each["kind"],
            f"{each['version']}{'' if each['replaced'] is None else ' for ' + str(each['replaced'])}",
            each["requests"],
            each["failures"],
            f"{each['longest_wait_s']:.2f} s",
            f"{each['drain_s']:.1f} s{'' if each['is_complete'] else ' and on'}",
        ]
        for each in rollouts[:at_most]
    ]
    return table(["LAST ROLLOUTS", "WHAT", "VERSION", "CALLS", "FAILED", "LONGEST WAIT", "DRAINED IN"], rows)


def rollout_text(rollout: Rollout) -> str:
    """What it cost, in sentences."""
    calls = plural(rollout.requests, "call")
    failed = "none failed" if rollout.failures == 0 else f"{rollout.failures} FAILED"
    waited = f"the longest waited {rollout.longest_wait_s:.2f} s"
    meanwhile = f"{calls} meanwhile: {failed}, {waited}." if rollout.requests else "No calls meanwhile."
    drained = f"The last call on what was replaced ended after {rollout.drain_s:.1f} s."
    if not rollout.is_complete:
        drained = "Calls on what was replaced had not ended in time."
    said = [f"In effect after {rollout.in_effect_s:.2f} s.", meanwhile, *([drained] if rollout.replaced else [])]
    return " ".join(said)
