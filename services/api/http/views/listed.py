"""This file is how models and versions look to the oldest clients, which read both `id` and `_id`."""

from __future__ import annotations

from typing import Annotated

from msgspec import field

from services.api.http.shapes import ModelId, Number, VersionId, says
from services.api.http.views.wire import Answer
from services.core.lifecycle import Version
from services.core.model import Model

ModelName = Annotated[str, says("the model's name")]


class ListedModel(Answer, frozen=True, kw_only=True):
    """A model as older clients list it."""

    id: ModelId
    mongo_id: ModelId = field(name="_id")
    name: ModelName


class ListedModels(Answer, frozen=True, kw_only=True):
    """The models of a project."""

    object_type: Annotated[str, says("always list")] = "list"
    data: Annotated[list[ListedModel], says("the models, by name")]


class NumberView(Answer, frozen=True, kw_only=True):
    """What older clients read of a version."""

    number: Number


class ListedVersion(Answer, frozen=True, kw_only=True):
    """A version as older clients list it."""

    mongo_id: VersionId = field(name="_id")
    id: VersionId
    metadata: Annotated[NumberView, says("its number")]


class ListedVersions(Answer, frozen=True, kw_only=True):
    """The versions of a model."""

    object_type: Annotated[str, says("always list")] = "list"
    data: Annotated[list[ListedVersion], says("newest first")]


def listed_model(state: Model) -> ListedModel:
    return ListedModel(id=state.id, mongo_id=state.id, name=state.name)


def listed_version(each: Version) -> ListedVersion:
    return ListedVersion(mongo_id=each.id, id=each.id, metadata=NumberView(number=each.number))
