"""This file is the command `python -m services.api.rekey`: all secrets are sealed with the newest key, so that older
keys may go. It works beside running apis, all of which must know the newest key by then.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping

import msgspec

from services.api.ledger import MongoLedger
from services.api.recorder import service_actor
from services.api.store.database import connect, prepare
from services.api.store.secrets import MongoSecrets
from services.api.store.store import MongoStore
from services.core.aggregates import CONFIGURATION
from services.core.commands import RecordResealing
from services.core.configuration import CONFIGURATION_ID
from services.core.errors import ModelwayError
from services.kit.clock import now
from services.kit.config import ConfigError, Secret, read_config
from services.kit.vault import Vault

DONE, FAILED, DOUBTFUL = 0, 1, 3


class RekeyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """As api has them. Secrets come by `<NAME>_FILE`."""

    mongodb_url: Secret
    database_name: str = "modelway"
    token_keys: Secret


class Resealed(msgspec.Struct, kw_only=True):
    """What became of all secrets."""

    resealed: int = 0
    kept: int = 0  # were sealed with the newest key, or have been exchanged or taken away meanwhile
    closed: list[str] = []  # the ids of those that no key opens

    def __str__(self) -> str:
        return (
            f"{self.resealed} secrets were sealed anew with the newest key, {self.kept} needed nothing, "
            f"{len(self.closed)} are opened by no key that is here."
        )


async def reseal(secrets: MongoSecrets, vault: Vault) -> Resealed:
    """Doing it again does what is left. Raises `Unavailable`."""
    result = Resealed(closed=[])
    async for secret_id, ciphertext in secrets.all():
        try:
            anew = vault.resealed(ciphertext.decode())
        except ConfigError:
            result.closed.append(secret_id)
            continue
        if anew is not None and await secrets.exchange(secret_id, ciphertext, anew.encode()):
            result.resealed += 1
        else:
            result.kept += 1
    return result


async def rekey(config: RekeyConfig) -> Resealed:
    """All secrets, and an event that says so."""
    vault = Vault.from_text(config.token_keys, "TOKEN_KEYS")
    client = connect(config.mongodb_url.reveal())
    try:
        database = client[config.database_name]
        await prepare(database)
        result = await reseal(MongoSecrets(database), vault)
        ledger = MongoLedger(MongoStore(client, database), deployer_id="", clock=now)
        command = RecordResealing(resealed=result.resealed, closed=len(result.closed))
        await ledger.execute(CONFIGURATION, CONFIGURATION_ID, command, actor=service_actor("rekey"))
        return result
    finally:
        client.close()


def main(environ: Mapping[str, str]) -> int:
    """How it ended, as an exit code."""
    try:
        result = asyncio.run(rekey(read_config(RekeyConfig, environ)))
    except (ModelwayError, ConfigError) as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    print(result)
    for secret_id in result.closed:
        sys.stderr.write(f"no key opens {secret_id}\n")
    return DOUBTFUL if result.closed else DONE


if __name__ == "__main__":
    sys.exit(main(os.environ))
