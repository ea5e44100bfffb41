"""No secret of the platform is where it does not belong: logs, events, process arguments, an instance's environment."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e.platform import Platform, write_project
from tests.e2e.test_publish import endpoint
from tests.parts import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MODELS = "/api/modelServing/v1/modelApis"

SHOWS = """
import os
def predict():
    return dict(os.environ)
"""


VARIABLE = f"variable-{secrets.token_hex(16)}"


@pytest.fixture(scope="module")
def secret(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Everything that has to stay secret: the platform's own, a model's token, and the value of its variable."""
    project = write_project(tmp_path_factory.mktemp("project") / "shows", SHOWS)
    platform.done("publish", str(project), "--name", "base", "--file", "predict.py", "--function", "predict")
    with platform.http() as http:
        base = http.get(MODELS, params={"name": "^base$"}).json()["items"][0]
        body = {
            "name": "shows",
            "description": "",
            "environmentId": "",
            "environmentVariables": [{"key": "PASSWORD", "value": VARIABLE}],
            "isAsync": False,
            "strictNodeAntiAffinity": False,
            "replicas": 1,
            "version": {
                "projectId": base["projectId"],
                "source": {"type": "File", "file": "predict.py", "function": "predict", "excludeFiles": []},
                "logHttpRequestResponse": True,
                "monitoringEnabled": False,
            },
        }
        created = http.post(MODELS, json=body)
        assert created.status_code == 201, created.text
    wait_for(lambda: platform.cli("predict", "shows", '{"parameters": []}').code == 0, 60, what="it answers")
    url, token = endpoint(platform, "shows")
    with platform.http() as http:
        called = http.post(f"{MODELS}/{url.split('/models/')[1][:24]}/invoke", json={"parameters": []})
        assert called.status_code == 200, called.text
    kept = [path.read_text().split() for path in (platform.home / "secrets").iterdir()]
    words = [word for file in kept for word in file if len(word) >= 16]
    return [token, VARIABLE, *words]


def found_in(folder: Path, words: list[str]) -> list[Path]:
    """The files below `folder` in which one of `words` stands."""
    wanted = [word.encode() for word in words]
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files, folder
    return [path for path in files if any(word in _content(path) for word in wanted)]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:  # collected meanwhile, with the instance it belonged to
        return b""


def test_no_secret_is_in_a_log(platform: Platform, secret: list[str]) -> None:
    assert found_in(platform.home / "logs", secret) == []


def test_no_secret_is_an_argument_of_a_process(platform: Platform, secret: list[str]) -> None:
    for process in platform.left_behind():
        try:
            words = " ".join(process.cmdline())
        except psutil.Error:
            continue
        assert not [process.pid for each in secret if each in words]


def test_an_instance_sees_no_secret_and_nothing_of_the_platform(platform: Platform, secret: list[str]) -> None:
    environment = platform.done("predict", "shows", '{"parameters": []}')["result"]
    assert environment.pop("PASSWORD") == VARIABLE  # its own
    assert not [name for name, value in environment.items() for each in secret if each in value]
    assert not [name for name in environment if name.startswith(("NATS", "MONGODB", "TOKEN", "BOOTSTRAP", "BLOBS"))]
    assert environment["DOMINO_WORKING_DIR"].endswith("/mnt/admin/shows")


def test_no_secret_is_in_an_event_or_on_the_bus(platform: Platform, secret: list[str]) -> None:
    with platform.http() as http:
        events = http.get("/api/modelServing/v1/audit", params={"limit": 500}).text
    assert not [each for each in secret if each in events]
    assert found_in(platform.home / "nats", secret) == []


def test_no_secret_is_in_clear_in_the_database(platform: Platform, secret: list[str]) -> None:
    assert found_in(platform.home / "database", ["shows"]), "what is stored can be found by searching for it"
    assert found_in(platform.home / "database", secret) == []


def test_no_secret_is_in_a_blob_or_beside_an_instance(platform: Platform, secret: list[str]) -> None:
    for folder in ("blobs", "instances", "versions"):
        assert found_in(platform.home / folder, secret) == [], folder


def test_haproxy_knows_tokens_by_their_hashes_only(platform: Platform, secret: list[str]) -> None:
    hashed = hashlib.sha256(secret[0].encode()).hexdigest()
    assert found_in(platform.home / "haproxy", [hashed])
    assert found_in(platform.home / "haproxy", secret) == []


def test_nothing_that_is_written_anywhere_opens_a_model(platform: Platform, secret: list[str]) -> None:
    """Not its tokens, and not the one that nobody is shown: with that the platform itself has called it by now."""
    hashes = {word for path in (platform.home / "haproxy").rglob("tokens.map") for word in words_in(path, b"[0-9a-f]")}
    assert len(hashes) >= 2
    assert opening([secret[0].encode()], hashes)
    for name in ("logs", "nats", "database", "blobs", "haproxy", "instances", "versions", "config"):
        files = [path for path in (platform.home / name).rglob("*") if path.is_file() and not path.is_symlink()]
        assert not [path for path in files if opening(words_in(path, b"[A-Za-z0-9]"), hashes)], name


def words_in(path: Path, letter: bytes) -> list[bytes]:
    """The words of 64 such letters in a file, as access tokens and their hashes are."""
    return re.findall(rb"(?<![A-Za-z0-9])" + letter + rb"{64}(?![A-Za-z0-9])", _content(path))


def opening(words: list[bytes], hashes: set[bytes]) -> bool:
    return any(hashlib.sha256(word).hexdigest().encode() in hashes for word in words)


def test_only_the_files_that_are_made_for_it_hold_a_secret(platform: Platform, secret: list[str]) -> None:
    """The bus reads its users' passwords from its configuration; the command line has the key of its person."""
    places = {path.relative_to(platform.home) for path in found_in(platform.home, secret)}
    assert {place for place in places if place.parts[0] != "secrets"} <= {Path("config/nats.conf"), Path("cli.toml")}


def test_no_error_gives_a_secret_away(platform: Platform, secret: list[str]) -> None:
    url, token = endpoint(platform, "shows")
    model = url.split("/models/")[1][:24]
    variables = [{"key": "PASSWORD", "value": VARIABLE}, {"key": "PASSWORD", "value": VARIABLE}]
    with platform.http() as http:
        body = {"name": "x", "version": {"projectId": http.get(f"{MODELS}/{model}").json()["projectId"]}}
        key = http.headers["X-Domino-Api-Key"]
        answers = [
            http.post(MODELS, json={**body, "environmentVariables": variables}),
            http.post(MODELS, json={**body, "environmentVariables": [{"key": f"A={VARIABLE}", "value": "x"}]}),
            http.post(MODELS, json={**body, "environmentVariables": [{"key": "A", "value": VARIABLE * 9999}]}),
            http.post(MODELS, content=f'{{"environmentVariables": [{{"key": "A", "value": "{VARIABLE}'),
            http.post(f"{MODELS}/{model}/invoke", json={"parameters": [1, 2, 3]}),
            http.get(f"{MODELS}/{model}/accessTokens/{'f' * 24}/secret"),
            http.get(f"{MODELS}/{model}"),
            http.get(f"{MODELS}/{model}/accessTokens"),
            http.get("/api/modelServing/v1/platform"),
            httpx.get(f"{platform.url}/api/modelServing/v1/whoami", headers={"Authorization": f"Basic {key}"}),
            httpx.get(f"{platform.url}/api/modelServing/v1/whoami", headers={"X-Domino-Api-Key": token}),
            httpx.post(url, json={"parameters": []}, headers={"Authorization": f"Bearer {key}"}),
            httpx.post(url, json={"parameters": [1, 2, 3]}, auth=(token, token)),
        ]
    assert [answer.status_code for answer in answers] == [*[400] * 5, 404, 200, 200, 200, 401, 401, 401, 400]
    for answer in answers:
        said = answer.text + str(answer.headers)
        assert not [each for each in secret if each in said], answer.url


def test_secrets_are_readable_by_their_owner_only(platform: Platform) -> None:
    for path in (platform.home / "secrets").iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert Path(platform.home / "cli.toml").stat().st_mode & 0o077 == 0


def test_another_user_of_the_machine_reaches_what_instances_need_and_no_more(platform: Platform) -> None:
    open_to_all = {path.relative_to(platform.home) for path in within_reach(platform.home)}
    needless = {
        place
        for place in open_to_all
        if place.parts[0] not in ("environments", "harness") and place.name != "instance.json"
    }
    if os.getuid() != 0:  # instances run as their owner, and versions are open
        needless = {place for place in needless if place.parts[0] != "versions"}
    assert needless == set()
    assert not [path for path in within_reach(platform.home) if path.stat().st_mode & stat.S_IWOTH]


def within_reach(folder: Path) -> Iterator[Path]:
    """Files and sockets below `folder` that everybody could open who knows or is shown their names."""
    if not folder.stat().st_mode & stat.S_IXOTH:
        return
    for path in folder.iterdir():
        if path.is_symlink():
            continue
        if path.is_dir():
            yield from within_reach(path)
        elif path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
            yield path
