"""This file is the steps that builders, deployers and routers would take, for tests of the api alone."""

from __future__ import annotations

from typing import Any

from cryptography.fernet import Fernet

from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from services.core.commands import ModelCommand, RecordBuild, RecordReady, StartVersion
from services.core.ids import AggregateId, VersionId
from services.core.model import Model
from services.core.records import BuildPhase, BuildReport
from tests.makers import ARTIFACT, PERSON


async def build(ledger: MongoLedger, model: Any, version: Any = None) -> VersionId:
    """Its newest version, or the one that is given, is built."""
    version_id = VersionId((version or model["activeVersion"])["id"])
    report = BuildReport(
        model_id=AggregateId(model["id"]),
        version_id=version_id,
        attempt=1,
        phase=BuildPhase.COMPLETE,
        artifact=ARTIFACT,
    )
    await _do(ledger, model, RecordBuild(report=report))
    return version_id


async def run(ledger: MongoLedger, model: Any, version: Any = None) -> VersionId:
    """Likewise, and its instances are ready."""
    version_id = await build(ledger, model, version)
    after = await _do(ledger, model, StartVersion(version_id=version_id))
    await ready(ledger, model, version_id, after.version(version_id).generation)
    return version_id


async def ready(ledger: MongoLedger, model: Any, version_id: VersionId, generation: int) -> None:
    await _do(ledger, model, RecordReady(version_id=version_id, generation=generation))


async def _do(ledger: MongoLedger, model: Any, command: ModelCommand) -> Model:
    return await ledger.execute(MODEL, model["id"], command, actor=PERSON)


async def forget_key_of(store: MongoStore, secret_id: str) -> None:
    """A secret is sealed with a key that nobody has any more, as after a restore without the keys."""
    sealed = Fernet(Fernet.generate_key()).encrypt(b"unknown")
    await store._database["secrets"].update_one({"_id": secret_id}, {"$set": {"ciphertext": sealed}})
