"""This file is what should now be ordered, desired and routed for a model: effects that follow from its state alone.

Because they follow from state they can be issued again at any time; what changed is the difference of two states.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from services.core import subjects
from services.core.languages import Language
from services.core.lifecycle import Version
from services.core.model import Model
from services.core.records import Build, BuildOrder, Candidate, Desired, Removed, Route, Target
from services.core.settings import request_timeout_s, workers


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """Something to publish. With a bucket: `key` is an entry's key there; without: the subject of an order."""

    bucket: subjects.Bucket | None
    key: str
    body: Desired | Route | Build | Removed | BuildOrder


def wanted(model: Model, *, deployer_id: str) -> dict[str, Effect]:
    """All effects of `model`, by a name that is unique among them."""
    effects = [_route(model)] if not model.is_archived else []
    for version in model.versions:
        if version.is_unbuilt:
            effects.append(_build_order(model, version))
        if needs_its_build(version):
            effects.append(_build(model, version))
        if version.is_deployed:
            effects.append(_desired(model, version, deployer_id))
    return {f"{effect.bucket or 'order'}/{effect.key}": effect for effect in effects}


def needs_its_build(version: Version) -> bool:
    """Whether a build, or what it made, may still be used: to run now, or one day, of a restored model too."""
    return version.is_unbuilt or version.is_built


def changed(before: dict[str, Effect], after: dict[str, Effect], *, revision: int) -> tuple[Effect, ...]:
    """What to publish so that `after` holds where `before` did; what vanished from a bucket becomes a tombstone.

    Two entries that differ in nothing but the revision they were decided at are the same.
    """
    fresh = [effect for name, effect in after.items() if not is_same(before.get(name), effect)]
    gone = [
        Effect(bucket=effect.bucket, key=effect.key, body=Removed(revision=revision))
        for name, effect in before.items()
        if name not in after and effect.bucket is not None
    ]
    return (*fresh, *gone)


def is_same(one: Effect | None, other: Effect) -> bool:
    return one is not None and _without_revision(one) == _without_revision(other)


def _without_revision(effect: Effect) -> Effect:
    if isinstance(effect.body, BuildOrder):
        return effect
    return replace(effect, body=replace(effect.body, revision=0))


def _route(model: Model) -> Effect:
    body = Route(
        revision=model.revision,
        model_id=model.id,
        labels={label: model.labels.get(label) for label in model.known_labels},
        candidates={
            label: Candidate(version_id=canary.version_id, share=canary.share)
            for label, canary in model.canaries.items()
            if model.version(canary.version_id).is_serving
        },
        has_repeatable_calls=model.settings.has_repeatable_calls,
        is_restricted=model.is_restricted,
        token_hashes=tuple(sorted(token.token_hash for token in model.tokens)),
        request_timeout_s=model.request_timeout_s,
    )
    return Effect(bucket=subjects.Bucket.ROUTES, key=model.id, body=body)


def _build_order(model: Model, version: Version) -> Effect:
    source = version.source
    body = BuildOrder(
        model_id=model.id,
        version_id=version.id,
        version_number=version.number,
        snapshot=source.snapshot,
        exclude_files=source.exclude_files,
        file=source.file,
        function=source.function,
        language=source.language,
        environment_revision_id=source.environment_revision_id,
        requirements=source.requirements,
        timeout_s=model.settings.build_timeout_s,
    )
    return Effect(bucket=None, key=subjects.build_command(version.id), body=body)


def _build(model: Model, version: Version) -> Effect:
    body = Build(
        revision=model.revision,
        model_id=model.id,
        version_id=version.id,
        published_at=version.created_at,
        artifact=version.artifact,
    )
    return Effect(bucket=subjects.Bucket.BUILDS, key=version.id, body=body)


def _desired(model: Model, version: Version, deployer_id: str) -> Effect:
    if version.artifact is None:
        raise ValueError(f"version {version.id} is built and has no artifact")
    settings, defaults = model.settings, version.defaults
    body = Desired(
        revision=model.revision,
        model_id=model.id,
        version_id=version.id,
        version_number=version.number,
        generation=version.generation,
        target=Target.RUNNING if version.is_wanted else Target.STOPPED,
        instances=model.instances,
        artifact=version.artifact,
        user_name=version.source.user_name,
        project_name=version.source.project_name,
        file=version.source.file,
        function=version.source.function,
        language=version.source.language,
        environment_variables=settings.environment_variables,
        workers=1 if version.source.written_in is Language.R else workers(settings, defaults),
        recycle_after_calls=settings.recycle_after_calls,
        preload=settings.preload,
        memory_bytes=settings.memory_bytes,
        memory_requested_bytes=settings.memory_requested_bytes,
        cpu_limit=settings.cpu_limit,
        cpu_requested=settings.cpu_requested,
        volumes=settings.volumes,
        example_input=version.example_input,
        request_timeout_s=request_timeout_s(settings, defaults),
        start_deadline_s=settings.start_deadline_s,
        health_check=settings.health_check,
        routed_out_at=0 if version.is_wanted else version.unrouted_at,
    )
    return Effect(bucket=subjects.Bucket.DESIRED, key=subjects.version_key(deployer_id, version.id), body=body)
