"""This file is a browser for tests: it keeps cookies, and sends the token against forged requests with its changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession, CookieJar
from yarl import URL

from services.api.sign_in.cookies import CSRF_HEADER
from tests.services.api.http.client import V1, Answer, Client

SESSION = f"{V1}/session"


class Browser(Client):
    """Somebody in front of a browser of their own; close it in the end."""

    def __init__(self, url: URL) -> None:
        super().__init__(ClientSession(url, cookie_jar=CookieJar(unsafe=True)), None)
        self.url = url
        self.token: str | None = None

    async def __call__(self, method: str, path: str, body: Any = None, **others: Any) -> Answer:
        given: Mapping[str, str] = others.pop("headers", None) or {}
        headers = {**({} if self.token is None else {CSRF_HEADER: self.token}), **given}
        return await super().__call__(method, path, body, headers=headers, **others)

    async def sign_in(self, user_name: str, password: str) -> Answer:
        """Whatever comes of it; from now on with its token, if it was right."""
        answer = await self("POST", SESSION, {"userName": user_name, "password": password})
        if answer.status == 200:
            self.token = answer.body["csrfToken"]
        return answer

    async def close(self) -> None:
        await self.session.close()
