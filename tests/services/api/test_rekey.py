"""Exchanging the key of access tokens: the newest one opens everything then, and history says that it was done."""

from __future__ import annotations

import asyncio

import pytest
from cryptography.fernet import Fernet

from services.api.ledger import MongoLedger
from services.api.ports import EntryQuery
from services.api.rekey import DONE, DOUBTFUL, FAILED, main
from services.api.store.secrets import MongoSecrets
from services.api.store.store import MongoStore
from services.core.aggregates import CONFIGURATION, MODEL
from services.core.commands import CreateAccessToken, SetConfiguration
from services.core.configuration import CONFIGURATION_ID, WORKERS
from services.core.events import SecretsResealed
from services.kit.config import Secret
from services.kit.vault import Vault
from tests.makers import MODEL_ID, PERSON, create
from tests.parts import Database

OLD, NEW, LOST = (Fernet.generate_key().decode() for _ in range(3))
MANY = 210  # more than a page


def vault(*keys: str) -> Vault:
    return Vault.from_text(Secret("\n".join(keys)), "TOKEN_KEYS")


async def run(store: MongoStore, database: Database, *keys: str) -> int:
    environ = {"MONGODB_URL": database.url, "DATABASE_NAME": store._database.name, "TOKEN_KEYS": "\n".join(keys)}
    return await asyncio.to_thread(main, environ)


async def add_tokens(ledger: MongoLedger, sealing: Vault, names: list[str]) -> None:
    for name in names:
        command = CreateAccessToken(token_id=name, name=name, token_hash="0" * 64)
        secrets = {name: sealing.seal(f"secret of {name}").encode()}
        await ledger.execute(MODEL, MODEL_ID, command, actor=PERSON, secrets=secrets)


async def test_afterwards_the_newest_key_alone_opens_every_secret_and_the_audit_tells_of_it(
    store: MongoStore, ledger: MongoLedger, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=PERSON)
    await add_tokens(ledger, vault(OLD), ["a", "b"])
    sealed = vault(OLD).seal("many").encode()
    await store._database["secrets"].insert_many([{"_id": f"n{each}", "ciphertext": sealed} for each in range(MANY)])
    await add_tokens(ledger, vault(NEW, OLD), ["c"])
    before = await store.secret("c")
    assert await run(store, database, NEW, OLD) == DONE
    assert f"{MANY + 2} secrets were sealed anew with the newest key, 1 needed nothing" in capsys.readouterr().out
    for name in ("a", "b", "c"):
        assert vault(NEW).open((await store.secret(name)).decode()) == f"secret of {name}"
    assert await store.secret("c") == before
    [link] = await store.entries(EntryQuery(aggregate_id=CONFIGURATION_ID), limit=1)
    assert link.entry.event == SecretsResealed(resealed=MANY + 2, closed=0)
    assert link.entry.actor.name == "rekey"
    await ledger.execute(CONFIGURATION, CONFIGURATION_ID, SetConfiguration(key=WORKERS, value=2), actor=PERSON)


async def test_what_no_key_opens_is_named_and_left_as_it_is(
    store: MongoStore, ledger: MongoLedger, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await ledger.execute(MODEL, MODEL_ID, create(), actor=PERSON)
    await add_tokens(ledger, vault(LOST), ["lost"])
    before = await store.secret("lost")
    assert await run(store, database, NEW, OLD) == DOUBTFUL
    output = capsys.readouterr()
    assert "1 are opened by no key that is here" in output.out
    assert output.err == "no key opens lost\n"
    assert await store.secret("lost") == before


async def test_a_secret_that_is_exchanged_meanwhile_is_not_overwritten(store: MongoStore) -> None:
    await store._database["secrets"].insert_one({"_id": "a", "ciphertext": b"newer"})
    secrets = MongoSecrets(store._database)
    assert await secrets.exchange("a", b"older", b"anew") is False
    assert await store.secret("a") == b"newer"


async def test_a_file_that_holds_no_key_is_refused_without_showing_it(
    store: MongoStore, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run(store, database, "not a key") == FAILED
    told = capsys.readouterr().err
    assert "TOKEN_KEYS: line 1 is not a Fernet key" in told
    assert "not a key" not in told.replace("is not a Fernet key", "")
