"""This file is passwords: what one has to be like, how it is kept, and whether what somebody typed is it.

Kept is what argon2id makes of it (the library's parameters: 64 MiB, 3 passes), sealed like every secret, outside of the
history. A hash that was made with other parameters is made anew when its owner next signs in.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import unicodedata
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from services.api.ports import Store
from services.core.errors import Invalid, NotFound, Overloaded
from services.core.person import Person
from services.kit.config import ConfigError
from services.kit.vault import Vault

T = TypeVar("T")

log = structlog.get_logger()

SHORTEST, LONGEST = 12, 1024  # characters
AT_ONCE = 2  # each takes 64 MiB, and cores
MOST_WAITING = 40  # of others, who would wait for seconds
_RETRY_S = 2.0


class Checked(NamedTuple):
    """`renewed`: what to store beside the sign-in, when the hash was made with other parameters than today's."""

    is_right: bool
    renewed: Mapping[str, bytes | None] = {}


def check_password(password: str, *, user_name: str, email: str = "", field: str = "password") -> str:
    """What a new password has to be like. The sentence never holds it.

    >>> check_password("correct horse battery", user_name="ada")
    'correct horse battery'
    """
    length = len(unicodedata.normalize("NFKC", password[: LONGEST + 1]))
    if not SHORTEST <= length <= LONGEST:
        raise Invalid(f"{field} must have {SHORTEST} to {LONGEST} characters, got {length}", field=field)
    if password.casefold() in {user_name.casefold(), email.casefold()}:
        raise Invalid(f"{field} must be something else than the user name or the e-mail address", field=field)
    if len(set(password)) == 1:
        raise Invalid(f"{field} must be more than one character repeated", field=field)
    return password


def secret_id(person_id: str) -> str:
    return f"password.{person_id}"


class Passwords:
    """Hashes and compares, a few at once: more would take the memory that the machine has for other things."""

    def __init__(self, store: Store, vault: Vault, *, hasher: PasswordHasher | None = None) -> None:
        self._store = store
        self._vault = vault
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="argon2")
        self._begun = 0

    async def sealed(self, person_id: str, password: str) -> dict[str, bytes | None]:
        """What the ledger stores beside `SetPassword`."""
        hashed = await self._in_a_thread(partial(self._hasher.hash, _bytes(password)))
        return {secret_id(person_id): self._vault.seal(hashed).encode()}

    async def check(self, person: Person | None, password: str) -> Checked:
        """Whether it is the password of `person`. For nobody (None), and for who has none, it takes just as long.

        Raises Overloaded when too many are checked already.
        """
        kept = await self._kept(person)
        is_right = await self._in_a_thread(partial(self._compare, kept or self._nobodys(), _bytes(password)))
        if person is None or kept is None or not is_right:
            return Checked(is_right=False)
        if not self._hasher.check_needs_rehash(kept):
            return Checked(is_right=True)
        return Checked(is_right=True, renewed=await self.sealed(person.id, password))

    async def _kept(self, person: Person | None) -> str | None:
        """The database is asked for nobody's as well."""
        try:
            ciphertext = await self._store.secret(secret_id("nobody" if person is None else person.id))
        except NotFound:
            return None
        try:
            return self._vault.open(ciphertext.decode())
        except ConfigError as error:
            log.error("password_not_opened", reason=str(error))  # noqa: TRY400  # its trace says nothing more
            return None

    def _compare(self, hashed: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except VerifyMismatchError:
            return False

    def _nobodys(self) -> str:
        """A hash that no password has, and that takes as long to compare with as those of today."""
        made = self._hasher
        salt, digest = (_base64(secrets.token_bytes(length)) for length in (made.salt_len, made.hash_len))
        return f"$argon2id$v=19$m={made.memory_cost},t={made.time_cost},p={made.parallelism}${salt}${digest}"

    async def _in_a_thread(self, work: partial[T]) -> T:
        if self._begun >= AT_ONCE + MOST_WAITING:
            raise Overloaded("too many people sign in at once; try again soon", retry_after_s=_RETRY_S)
        self._begun += 1
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        future.add_done_callback(self._ended)
        return await future

    def _ended(self, _: asyncio.Future[T]) -> None:
        self._begun -= 1


def _bytes(password: str) -> bytes:
    """The same for every way in which keyboards write the same characters."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).rstrip(b"=").decode()
