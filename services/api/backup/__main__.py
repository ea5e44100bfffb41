"""This file is the command: `python -m services.api.backup create | check | restore FILE`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from services.api.backup.archive import Writer
from services.api.backup.checking import check
from services.api.backup.config import BackupConfig
from services.api.backup.keys import keep_keys
from services.api.backup.opening import Opening
from services.api.backup.records import TOKEN_KEYS, VARIABLE_KEYS, Contents
from services.api.backup.restoring import Restoring
from services.api.backup.taking import Taking
from services.api.backup.wording import checked_told, closed, doubts, keys_told, told, verified_told, warn
from services.api.store.database import SCHEMA_VERSION, Client, connect, prepare
from services.api.store.store import MongoStore
from services.api.store.whole import LONG_S, Whole
from services.api.verify import Verification, verify
from services.core.errors import ModelwayError, Refused
from services.kit.blobs import Blobs
from services.kit.clock import now
from services.kit.config import ConfigError, Secret, read_config

DONE, FAILED, DOUBTFUL = 0, 1, 3  # DOUBTFUL: it is done, and somebody should read what was said


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """How it ended, as an exit code; what went wrong is a sentence on stderr."""
    options = _parse(arguments)
    try:
        match options.command:
            case "create":
                return create(read_config(BackupConfig, environ), options.file, with_keys=options.with_keys)
            case "check":
                return look(options.file)
            case _:
                config = read_config(BackupConfig, environ)
                return restore(config, options.file, options.keys_to, even_unsound=options.even_unsound)
    except (ModelwayError, ConfigError) as error:
        sys.stderr.write(f"{error}\n")
    except OSError as error:
        sys.stderr.write(f"{error.filename or options.file}: {error.strerror}\n")
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
    return FAILED


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.api.backup")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("create", "check", "restore"):
        commands.add_parser(name).add_argument("file", type=Path)
    with_keys = "write the keys of tokens and variables into it too: who has the file can then open them"
    commands.choices["create"].add_argument("--with-keys", action="store_true", help=with_keys)
    keys_to = "the folder of key files to which the archive's keys are added"
    commands.choices["restore"].add_argument("--keys-to", type=Path, help=keys_to)
    unsound = "restore a history that was altered before it was backed up"
    commands.choices["restore"].add_argument("--even-unsound", action="store_true", help=unsound)
    return parser.parse_args(arguments)


def create(config: BackupConfig, path: Path, *, with_keys: bool) -> int:
    keys = _keys(config) if with_keys else {}
    if lacking := sorted(name for name, key in keys.items() if key is None):
        raise ConfigError(f"--with-keys takes {' and '.join(lacking)}: TOKEN_KEYS and VARIABLE_KEYS name them")
    path = path.absolute()
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch,
        Writer.opened(path) as writer,
    ):
        texts = {name: key.reveal() for name, key in keys.items() if key is not None}
        contents = asyncio.run(_take(config, writer, texts, Path(scratch)))
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    print(f"Backed up {told(contents.counts)} to {path}, {size}{keys_told(contents)}.")
    return DOUBTFUL if warn(doubts(contents, contents.unsound)) else DONE


async def _take(config: BackupConfig, writer: Writer, keys: Mapping[str, str], scratch: Path) -> Contents:
    with _connected(config) as client:
        taking = Taking(Whole(client[config.database_name]), Blobs(config.blobs_url), writer)
        version = importlib.metadata.version("modelway-platform")
        return await taking.take(version=version, clock=now, keys=keys, scratch=scratch)


def look(path: Path) -> int:
    with path.open("rb") as file:
        checked = check(file, schema=SCHEMA_VERSION)
    print(checked_told(checked))
    return DOUBTFUL if warn(doubts(checked.contents, checked.unsound)) else DONE


def restore(config: BackupConfig, path: Path, keys_to: Path | None, *, even_unsound: bool) -> int:
    with path.open("rb") as file:
        checked = check(file, schema=SCHEMA_VERSION)
        is_doubtful = warn(doubts(checked.contents, checked.unsound))
        if checked.unsound and not even_unsound:
            raise Refused("the history was altered before it was backed up; --even-unsound restores it as it is")
        asyncio.run(_refuse_what_is_not_empty(config))
        keys = _keys(config)
        if keys_to is not None:
            keys = {name: Secret(text) for name, text in keep_keys(keys_to, checked.keys, keys).items()}
        opening = Opening(keys[TOKEN_KEYS], keys[VARIABLE_KEYS])
        verified = asyncio.run(_restore(config, file, opening))
    print(f"Restored {told(checked.contents.counts)}, as of {checked.head.began_at:%Y-%m-%d %H:%M:%S} UTC.")
    print(verified_told(verified))
    is_doubtful = warn(closed(opening)) or is_doubtful
    return DOUBTFUL if is_doubtful or verified.findings else DONE


async def _refuse_what_is_not_empty(config: BackupConfig) -> None:
    """Before a key file is touched."""
    with _connected(config) as client:
        await Whole(client[config.database_name]).refuse_unless_empty()


async def _restore(config: BackupConfig, file: IO[bytes], opening: Opening) -> Verification:
    with _connected(config) as client:
        database = client[config.database_name]
        await prepare(database, may_be_unfinished=True)
        await Restoring(Whole(database), Blobs(config.blobs_url), opening).restore(file)
        return await verify(MongoStore(client, database).evidence, _Nobody())


@contextlib.contextmanager
def _connected(config: BackupConfig) -> Iterator[Client]:
    client = connect(config.mongodb_url.reveal(), deadline_s=LONG_S)
    try:
        yield client
    finally:
        client.close()


class _Nobody:
    """The witness of a platform that was never up."""

    async def seals(self) -> Mapping[int, frozenset[str]]:
        return {}


def _keys(config: BackupConfig) -> dict[str, Secret | None]:
    return {TOKEN_KEYS: config.token_keys, VARIABLE_KEYS: config.variable_keys}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
