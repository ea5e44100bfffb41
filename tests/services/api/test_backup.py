"""Backup and restoring on a real database: what comes back is what was there, and nothing else is ever let in."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import tarfile
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from cryptography.fernet import Fernet

from services.api.backup.__main__ import DONE, DOUBTFUL, FAILED, main
from services.api.backup.archive import CHUNK_BYTES
from services.api.backup.records import CONTENTS, HEAD, Head
from services.api.checkpointer import Checkpointer
from services.api.collector import Collector
from services.api.ledger import MongoLedger
from services.api.sign_in.passwords import secret_id
from services.api.store.database import connect, prepare
from services.api.store.store import MongoStore
from services.api.store.whole import KEPT, LEFT_OUT
from services.api.verify import verify
from services.core.aggregates import MODEL, PERSON, PROJECT
from services.core.checkpoint import Seal
from services.core.commands import (
    AddPerson,
    CommitSnapshot,
    CreateAccessToken,
    CreateProject,
    RecordBuild,
    RegenerateAccessToken,
    SetPassword,
)
from services.core.errors import PermanentError
from services.core.ids import AggregateId, Digest
from services.core.records import BuildPhase, BuildReport, Bundle, FileEntry, Manifest
from services.core.settings import Settings
from services.kit.blobs import Blobs
from services.kit.clock import now
from services.kit.config import Secret
from services.kit.vault import Vault
from tests.makers import MODEL_ID, create, publish, version_id
from tests.makers import PERSON as ADA
from tests.parts import Database

PERSON_ID, TOKEN_ID = AggregateId("5" * 24), "7" * 24
PROJECT_ID = AggregateId("c" * 24)
TOKEN_KEY, VARIABLE_KEY = (Fernet.generate_key().decode() for _ in range(2))
TOKENS, VARIABLES = Vault.from_text(Secret(TOKEN_KEY), "T"), Vault.from_text(Secret(VARIABLE_KEY), "V")
LARGE = hashlib.shake_256(b"large").digest(CHUNK_BYTES + 1)  # more than is held in memory as one
_names = count(1)


class Place:
    """A platform as a backup sees it: a database and blobs."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.name = f"place_{next(_names)}"
        self.url = database.url
        self.client = connect(database.url)
        self.folder = folder / self.name
        self.store = MongoStore(self.client, self.client[self.name])
        self.ledger = MongoLedger(self.store, deployer_id="local", clock=now)
        self.blobs = Blobs(f"file://{self.folder}")
        self.keys: dict[str, str] = {"TOKEN_KEYS": TOKEN_KEY, "VARIABLE_KEYS": VARIABLE_KEY}

    async def run(self, *arguments: object) -> int:
        """The command, as this platform's operator calls it."""
        own = {"MONGODB_URL": self.url, "DATABASE_NAME": self.name, "BLOBS_URL": f"file://{self.folder}"}
        return await asyncio.to_thread(main, [str(each) for each in arguments], {**own, **self.keys})

    async def documents(self) -> dict[str, list[Any]]:
        """All that is to come back, to the byte."""
        return {name: await self.client[self.name][name].find({}).sort("_id", 1).to_list(None) for name in KEPT}

    async def held(self) -> set[str]:
        return {each.name for each in await self.blobs.ages.held()}

    async def fill(self) -> set[str]:
        """Something of everything. The blobs that are needed."""
        await self.ledger.execute(PERSON, PERSON_ID, AddPerson(user_name="ada"), actor=ADA)
        sealed = TOKENS.seal("hash of a password").encode()
        await self.ledger.execute(PERSON, PERSON_ID, SetPassword(), actor=ADA, secrets={secret_id(PERSON_ID): sealed})
        file, large = await self.blobs.put(b"a file"), await self.blobs.put(LARGE)
        sizes = {"a.py": (file, 6), "large": (large, len(LARGE))}
        entries = tuple(
            FileEntry(path=path, mode=0o644, size_bytes=size, digest=each) for path, (each, size) in sizes.items()
        )
        snapshot = await self.blobs.put_document(Manifest(files=entries))
        project = CreateProject(owner_id=PERSON_ID, owner_name="ada", name="iris")
        await self.ledger.execute(PROJECT, PROJECT_ID, project, actor=ADA)
        commit = CommitSnapshot(commit_id="1" * 24, snapshot=snapshot, files=2, size_bytes=6 + len(LARGE))
        await self.ledger.execute(PROJECT, PROJECT_ID, commit, actor=ADA)
        settings = Settings(instances=1, environment_variables=(("A", VARIABLES.seal("secret value")),))
        await self.ledger.execute(MODEL, MODEL_ID, create(settings=settings), actor=ADA)
        token = CreateAccessToken(token_id=TOKEN_ID, name="t", token_hash=hashed("0"))
        await self.ledger.execute(MODEL, MODEL_ID, token, actor=ADA, secrets={TOKEN_ID: TOKENS.seal("0").encode()})
        await self.ledger.execute(MODEL, MODEL_ID, publish(1), actor=ADA)
        bundle = await self.bundle()
        await self.client[self.name]["key_uses"].insert_one({"_id": "k", "used_at": now()})
        return {file, large, snapshot, *bundle}

    async def bundle(self) -> set[Digest]:
        tar, lock = await self.blobs.put(b"a tar"), await self.blobs.put(b"a lock")
        bundle = Bundle(files=tar, environment=Digest("e" * 64), lock=lock, python="3.11", harness_version="0.1")
        artifact = await self.blobs.put_document(bundle)
        report = BuildReport(
            model_id=MODEL_ID, version_id=version_id(1), attempt=1, phase=BuildPhase.COMPLETE, artifact=artifact
        )
        await self.ledger.execute(MODEL, MODEL_ID, RecordBuild(report=report), actor=ADA)
        return {tar, lock, artifact}


class Nobody:
    """A bus that was told nothing, and knows nothing."""

    async def announce(self, seal: Seal) -> None:
        return

    async def seals(self) -> dict[int, frozenset[str]]:
        return {}


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@pytest_asyncio.fixture
async def places(database: Database, tmp_path: Path) -> AsyncIterator[Callable[[], Place]]:
    made: list[Place] = []

    def place() -> Place:
        made.append(Place(database, tmp_path))
        return made[-1]

    yield place
    for each in made:
        await each.client.drop_database(each.name)
        each.client.close()


@pytest_asyncio.fixture
async def old(places: Callable[[], Place]) -> Place:
    place = places()
    await prepare(place.client[place.name])
    return place


@pytest.fixture
def new(places: Callable[[], Place]) -> Place:
    return places()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "backup.tar.gz"


async def test_what_is_restored_is_what_was_backed_up_to_the_byte(
    old: Place, new: Place, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = await old.fill()
    unneeded = await old.blobs.put(b"an upload that was never committed")
    checkpointer = Checkpointer(old.store.checkpoints, Nobody(), clock=now, every_s=1.0)
    await checkpointer.make()
    assert await old.run("create", archive) == DONE
    assert_private_and_alone(archive)
    assert await new.run("restore", archive) == DONE
    assert "All is sound." in capsys.readouterr().out
    assert await new.documents() == await old.documents()
    assert await new.held() == needed
    assert unneeded not in needed
    assert (await new.blobs.get(Digest(hashlib.sha256(LARGE).hexdigest()))) == LARGE
    await prepare(new.client[new.name])
    assert await Checkpointer(new.store.checkpoints, Nobody(), clock=now, every_s=1.0).make() is False
    assert (await verify(new.store.evidence, Nobody())).ahead == 0, "the chain of checkpoints goes on"


async def test_while_tokens_change_and_blobs_are_collected_every_backup_is_of_one_moment(
    old: Place, places: Callable[[], Place], archive: Path
) -> None:
    needed = await old.fill()
    stop = asyncio.Event()

    async def change() -> None:
        for number in count(1):
            if stop.is_set():
                return
            secret = str(number)
            command = RegenerateAccessToken(token_id=TOKEN_ID, token_hash=hashed(secret))
            sealed = TOKENS.seal(secret).encode()
            await old.ledger.execute(MODEL, MODEL_ID, command, actor=ADA, secrets={TOKEN_ID: sealed})

    async def collect() -> None:
        collector = Collector(old.store, old.blobs, clock=now, grace_s=0.0)
        while not stop.is_set():
            await collector.collect()
            await asyncio.sleep(0)

    works = [asyncio.create_task(change()), asyncio.create_task(collect())]
    for _ in range(3):
        assert await old.run("create", archive) == DONE
        new = places()
        assert await new.run("restore", archive) == DONE
        model = await new.store.load(MODEL, MODEL_ID)
        secret = TOKENS.open((await new.store.secret(TOKEN_ID)).decode())
        assert model.token(TOKEN_ID).token_hash == hashed(secret)
        assert await new.held() == needed
    stop.set()
    await asyncio.gather(*works)
    assert (await old.store.load(MODEL, MODEL_ID)).revision > 10


async def test_a_platform_that_is_not_empty_is_left_as_it_is(
    old: Place, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await old.fill()
    before = await old.documents()
    await old.run("create", archive)
    assert await old.run("restore", archive) == FAILED
    assert "this platform is not empty" in capsys.readouterr().err
    assert await old.documents() == before


def content(archive: Path) -> bytes:
    return archive.read_bytes()


def become(archive: Path, data: bytes) -> None:
    archive.write_bytes(data)


def assert_private_and_alone(archive: Path) -> None:
    """Nobody else may read it, and nothing that was needed on the way is left beside it."""
    assert archive.stat().st_mode & 0o777 == 0o600
    assert list(archive.parent.glob(".*")) == []


def torn(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def with_member(data: bytes, name: str, make: Callable[[bytes], bytes | None]) -> bytes:
    """The same archive with another member of that name; without it for None."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(data)) as source, tarfile.open(fileobj=packed, mode="w:gz") as target:
        for member in source:
            read = source.extractfile(member)
            assert read is not None
            content = make(read.read()) if member.name.startswith(name) else read.read()
            if content is not None:
                member.size = len(content)
                target.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def of_the_future(data: bytes) -> bytes:
    def later(content: bytes) -> bytes:
        head = msgspec.json.decode(content, type=Head)
        return msgspec.json.encode(msgspec.structs.replace(head, format=99, version="9.9"))

    return with_member(data, HEAD, later)


DAMAGED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "torn": (torn, "the archive is damaged"),
    "flipped": (flipped, "the archive is damaged"),
    "empty": (lambda data: b"", "is no backup of Modelway"),
    "nothing of ours": (lambda data: b"some text", "is no backup of Modelway"),
    "no tar": (lambda data: gzip.compress(b"x" * 5000), "is no backup of Modelway"),
    "another tar": (lambda data: with_member(data, HEAD, lambda _: None), "this is not a backup of Modelway"),
    "without its end": (lambda data: with_member(data, CONTENTS, lambda _: None), "it ends too early"),
    "a blob less": (lambda data: with_member(data, "blobs/", lambda _: None), "not hold what it says"),
    "another blob": (lambda data: with_member(data, "blobs/", flipped), "is not what its name says"),
    "no documents": (lambda data: with_member(data, "documents/", lambda _: None), "not hold what it says"),
    "other documents": (lambda data: with_member(data, "documents/", lambda _: b"abc"), "cannot read"),
    "of the future": (of_the_future, "was written by Modelway 9.9, in a form that this one does not know yet"),
}


async def test_an_archive_that_is_damaged_or_strange_is_refused_before_anything_is_written(
    old: Place, new: Place, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await old.fill()
    await old.run("create", archive)
    whole = content(archive)
    for name, (damage, sentence) in DAMAGED.items():
        become(archive, damage(whole))
        capsys.readouterr()
        assert await new.run("restore", archive) == FAILED, name
        assert sentence in capsys.readouterr().err, name
        assert await new.client[new.name].list_collection_names() == []
        assert await new.held() == set()
    become(archive, whole)
    assert await new.run("check", archive) == DONE


async def test_a_restoring_that_was_cut_short_keeps_api_out_and_is_begun_anew(
    old: Place, new: Place, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = await old.fill()
    await old.run("create", archive)

    async def cut(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("services.api.store.whole.Whole.finish", cut)
        assert await new.run("restore", archive) == FAILED
    with pytest.raises(PermanentError, match="was not restored to its end"):
        await prepare(new.client[new.name])
    assert await new.run("restore", archive) == DONE
    await prepare(new.client[new.name])
    assert (await new.documents(), await new.held()) == (await old.documents(), needed)


async def test_a_history_that_was_altered_is_told_at_the_backup_and_restored_only_when_asked_for(
    old: Place, new: Place, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await old.fill()
    where = {"aggregate_id": MODEL_ID, "revision": 2}
    await old.client[old.name]["events"].update_one(where, {"$set": {"actor.name": "mallory"}})
    assert await old.run("create", archive) == DOUBTFUL
    assert f"model {MODEL_ID}: event 2 was altered" in capsys.readouterr().err
    assert await new.run("restore", archive) == FAILED
    assert await new.client[new.name].list_collection_names() == []
    assert await new.run("restore", archive, "--even-unsound") == DOUBTFUL
    assert await new.documents() == await old.documents()


async def test_a_blob_that_is_lost_or_damaged_is_counted_and_the_rest_is_kept(
    old: Place, new: Place, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = await old.fill()
    lost, damaged = hashlib.sha256(b"a file").hexdigest(), hashlib.sha256(LARGE).hexdigest()
    (old.folder / "sha256" / lost[:2] / lost).unlink()
    (old.folder / "sha256" / damaged[:2] / damaged).write_bytes(flipped(LARGE))
    assert await old.run("create", archive) == DOUBTFUL
    assert "2 blobs that are referred to are not in the store, or are damaged there" in capsys.readouterr().err
    assert await new.run("restore", archive) == DOUBTFUL
    assert await new.held() == needed - {lost, damaged}


async def test_keys_are_in_the_archive_only_when_asked_for_and_are_added_behind_those_that_are_there(
    old: Place, places: Callable[[], Place], archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await old.fill()
    await old.run("create", archive)
    assert not [key for key in (TOKEN_KEY, VARIABLE_KEY) if key.encode() in gzip.decompress(content(archive))]
    stranger = places()
    stranger.keys = {}
    assert await stranger.run("restore", archive) == DOUBTFUL
    told = capsys.readouterr().err
    assert "2 access tokens and passwords are sealed with a key that is not here" in told
    assert "1 models have environment variables that the keys here do not open" in told

    assert await old.run("create", archive, "--with-keys") == DONE
    keys, other = tmp_path / "keys", Fernet.generate_key().decode()
    keys.mkdir()
    (keys / "token-keys").write_text(other)
    heir = places()
    heir.keys = {}
    assert await heir.run("restore", archive, "--keys-to", keys) == DONE
    assert (keys / "token-keys").read_text().split() == [other, TOKEN_KEY]
    assert (keys / "variable-keys").read_text().split() == [VARIABLE_KEY]
    assert (keys / "variable-keys").stat().st_mode & 0o777 == 0o600
    output = capsys.readouterr()
    assert TOKEN_KEY not in output.out + output.err


async def test_every_collection_is_kept_or_left_out_on_purpose(old: Place) -> None:
    names = set(await old.client[old.name].list_collection_names())
    assert names == {*KEPT, *LEFT_OUT}
