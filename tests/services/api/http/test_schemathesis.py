"""The served API against its own OpenAPI document, with whatever schemathesis makes of it: as an administrator and not.

schemathesis runs in an environment of its own (`tests/locks`), over HTTP, with the same seed every time. Most ids
that it sends in paths are of things that are there, so that it gets further than "there is no such thing".
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from services.api.bootstrap import bootstrap
from services.api.http.app import Deps, create_app
from services.api.http.connections import Runner
from services.api.http.rates import Rates
from services.api.http.routes import API
from services.api.ledger import MongoLedger
from services.api.store.store import MongoStore
from services.core.pace import Pace
from services.kit.config import Secret
from tests.peers import peer
from tests.services.api.http.client import Client
from tests.services.api.http.conformance import Conformance
from tests.services.api.http.conftest import ADMINISTRATOR, API_KEY
from tests.services.api.http.people import add_person

SEED = 20_240_501
EXAMPLES = 4  # of each operation, where they are drawn
RUN_S = 180.0
PHASES = ("examples", "coverage", "fuzzing", "stateful")

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "ignored_auth",
)
"""Not positive_data_acceptance: that a name is free, or that a version can start, is nothing that a schema can say."""


SPARED = {
    # There is no router here that could call a model: the routes say so, with 503.
    "not_a_server_error": ("invocationInvoke", "invocationDescribe"),
    # Below these paths PUT uploads a file: that of existing clients takes any path that is left.
    "unsupported_method": ("projectFilesIndex", "projectFilesBlob", "projectFilesCommits", "modelsListOfProject"),
}

LOCAL_ONLY = {"HOME", "PATH", "LANG", "LC_ALL", "TMPDIR"}  # of the environment, what schemathesis needs


class Served(TestServer):
    """The api as its process serves it, connections included."""

    async def _make_runner(self, **_: Any) -> Runner:
        return Runner(self.app, shutdown_s=0.1)


@pytest_asyncio.fixture
async def served(deps: Deps, store: MongoStore, ledger: MongoLedger) -> AsyncIterator[tuple[Client, str]]:
    """The administrator's client of a platform that lets everybody ask as fast as they like, and its address."""
    await bootstrap(ledger, store, user_name=ADMINISTRATOR, api_key=Secret(API_KEY))
    as_fast = Pace(burst=1, every_s=0.0)
    unhurried = dataclasses.replace(deps, rates=Rates(as_fast, strangers=as_fast))
    app, conformance = create_app(unhurried), Conformance(unhurried)
    conformance.watch(app)
    server = Served(app)
    await server.start_server()
    async with ClientSession(server.make_url("/")) as session:
        yield Client(session, API_KEY), str(server.make_url("/"))
    await server.close()
    assert not conformance.faults


@pytest.mark.timeout(RUN_S + 60)
@pytest.mark.parametrize(
    ("who", "phase"),
    [("an administrator", "coverage"), ("an administrator", "fuzzing"), ("a person", "fuzzing")],
)
async def test_what_is_answered_is_what_the_document_says(
    served: tuple[Client, str], ledger: MongoLedger, logged: object, tmp_path: Path, who: str, phase: str
) -> None:
    """`coverage` tries the borders of every value one by one, from both sides; `fuzzing` draws whole requests.

    Right ones only: what is drawn wrong may come out as an empty parameter, which is as good as one that is left out.
    """
    mode = "all" if phase == "coverage" else "positive"
    administrator, address = served
    person = await add_person(administrator, ledger)
    client, key = (administrator, API_KEY) if who == "an administrator" else (person, "the-key-of-grace")
    configuration = tmp_path / "schemathesis.toml"
    configuration.write_text(_configuration(key, await _things(client), phase))
    exit_code, said = await _run(address, configuration, mode=mode)
    assert exit_code == 0, said


async def _things(client: Client) -> Mapping[str, str]:
    """By the names of parts of paths: a project, a model, and what belongs to them."""
    me = await client.ok("GET", f"{API}/whoami")
    model = await client.model()
    commits = await client.ok("GET", f"/v1/projects/{me['userName']}/iris/commits")
    return {
        "model": model["id"],
        "version": model["activeVersion"]["id"],
        "project": model["projectId"],
        "environment": model["environmentId"],
        "token": model["access"]["accessTokens"][0]["id"],
        "owner": me["userName"],
        "projectName": "iris",
        "person": me["id"],
        "commit": commits[0],
        "path": "predict.py",
        "label": "latest",
    }


def _configuration(key: str, things: Mapping[str, str], phase: str) -> str:
    lines = ["[headers]", f'"X-Domino-Api-Key" = "{key}"']
    lines += ["[parameters]", *(f'"path.{name}" = "{value}"' for name, value in things.items())]
    lines += ["[checks]", "enabled = false", *(f"{check}.enabled = true" for check in CHECKS)]
    lines += ["[phases]", *(f"{each}.enabled = {str(each == phase).lower()}" for each in PHASES)]
    for check, operations in SPARED.items():
        lines += ["[[operations]]", f"include-operation-id = {list(operations)}", f"checks.{check}.enabled = false"]
    return "\n".join([*lines, ""])


async def _run(address: str, configuration: Path, *, mode: str) -> tuple[int, str]:
    """Its exit code, 0 when it found nothing, and what it said."""
    arguments = (
        *("--config-file", str(configuration), "run", f"{address.rstrip('/')}{API}/openapi.json"),
        *("--mode", mode, "--max-examples", str(EXAMPLES), "--generation-database", "none", "--no-shrink"),
        *("--seed", str(SEED), "--request-timeout", "10", "--continue-on-failure"),
        *("--suppress-health-check", "all", "--no-color", "--warnings", "off"),
    )
    process = await asyncio.create_subprocess_exec(
        *(peer("schemathesis").with_name("schemathesis"), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=configuration.parent,
        env={name: value for name, value in os.environ.items() if name in LOCAL_ONLY},
    )
    try:
        async with asyncio.timeout(RUN_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, said.decode(errors="replace")
