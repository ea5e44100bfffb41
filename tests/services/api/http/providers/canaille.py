"""This file is a Canaille that runs, and a browser in front of it: forms are filled in as a person would."""

from __future__ import annotations

import json
import re
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from services.api.sign_in.provider import Account
from services.kit.config import Secret
from tests.peers import peer

CLIENT_ID, CLIENT_SECRET = "modelway", "the-secret-of-the-client"
PASSWORD = "correct horse battery"
ADMINISTRATORS = "operators"
_START_S = 30.0
_PEOPLE = [
    {"user_name": "grace", "full_name": "Grace Hopper", "email": "grace@navy.example", "password": PASSWORD},
    {"user_name": "frances", "full_name": "Frances Allen", "email": "frances@ibm.example", "password": PASSWORD},
    {"user_name": "barbara", "full_name": "Barbara Liskov", "email": "barbara@mit.example", "password": PASSWORD},
]


class Canaille:
    """The process. It knows grace, frances, and barbara, who is in the group of administrators."""

    def __init__(self, process: subprocess.Popen[str], issuer: str) -> None:
        self._process = process
        self.issuer = issuer

    def account(self, **changes: Any) -> Account:
        given = {
            "issuer": self.issuer,
            "client_id": CLIENT_ID,
            "client_secret": Secret(CLIENT_SECRET),
            "name": "Canaille",
            "scopes": "openid profile email groups",
        }
        return Account(**{**given, **changes})

    def rotate(self) -> None:
        """Signs with a new key from now on."""
        _tell(self._process, "rotate")
        assert _hear(self._process) == "rotated"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


@contextmanager
def canaille(redirect_uri: str, folder: Path) -> Iterator[Canaille]:
    """`folder` is for its database."""
    command = [str(peer("canaille")), "-P", str(Path(__file__).with_name("run_canaille.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            wanted = {
                "database": str(folder / "canaille.sqlite"),
                "secret_key": "of these tests alone",
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "redirect_uri": redirect_uri,
                "people": _PEOPLE,
                "groups": {ADMINISTRATORS: ["barbara"]},
            }
            _tell(process, json.dumps(wanted))
            yield Canaille(process, _hear(process))
        finally:
            process.kill()


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    is_heard, _, _ = select.select([process.stdout], [], [], _START_S)
    line = process.stdout.readline().strip() if is_heard else ""
    assert line, f"Canaille said nothing within {_START_S} s"
    return line


class Browser:
    """Somebody's browser: it has cookies and follows what it is told to. `here`: where the api really listens."""

    def __init__(self, here: str, public_url: str) -> None:
        self._here = here
        self._public_url = public_url
        self.http = httpx.AsyncClient(headers={"Accept": "text/html"}, timeout=20.0)

    async def close(self) -> None:
        await self.http.aclose()

    async def get(self, url: str, **sent: Any) -> httpx.Response:
        """An address of the platform is asked where it really is."""
        return await self.http.get(self._real(url), **sent)

    async def post(self, url: str, **sent: Any) -> httpx.Response:
        return await self.http.post(self._real(url), **sent)

    def _real(self, url: str) -> str:
        return url.replace(self._public_url, self._here, 1) if url.startswith(self._public_url) else url

    async def prove(self, url: str, user: str, *, password: str = PASSWORD, answer: str = "accept") -> str:
        """Where Canaille sends the browser back to, once the person has signed in there and answered its question."""
        response = await self.http.get(url)
        filled_in = {"login": {"login": user}, "password": {"password": password}, "authorize": {"answer": answer}}
        for _ in range(8):
            if response.has_redirect_location:
                url = str(response.url.join(response.headers["Location"]))
                if url.startswith(self._public_url):
                    return url
                response = await self.http.get(url)
                continue
            form = re.search(r'id="(login|password|authorize)form"', response.text)
            assert form is not None, response.text
            token = re.search(r'name="csrf_token" value="([^"]+)"', response.text)
            assert token is not None
            response = await self.http.post(response.url, data={"csrf_token": token[1], **filled_in[form[1]]})
        raise AssertionError("Canaille never sent the browser back")
