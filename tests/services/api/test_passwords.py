"""Passwords: what they have to be like, how they are kept, and how long it takes to tell a wrong one."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable
from typing import Any

import pytest
import structlog
from argon2 import PasswordHasher
from cryptography.fernet import Fernet

from services.api.ledger import MongoLedger
from services.api.sign_in.passwords import MOST_WAITING, Checked, Passwords, check_password, secret_id
from services.api.store.store import MongoStore
from services.core.aggregates import PERSON
from services.core.commands import AddPerson, SetPassword
from services.core.errors import Invalid, Overloaded
from services.core.person import Person
from services.kit.config import Secret
from services.kit.ids import new_object_id
from services.kit.vault import Vault
from tests.makers import PERSON as ADA

PASSWORD = "correct horse battery"
WEAK = PasswordHasher(memory_cost=1024, time_cost=1)


@pytest.fixture
def vault() -> Vault:
    return Vault.from_text(Secret(Fernet.generate_key().decode()), "KEYS")


async def grace(ledger: MongoLedger, passwords: Passwords, password: str = PASSWORD) -> Person:
    person_id = new_object_id()
    await ledger.execute(PERSON, person_id, AddPerson(user_name="grace"), actor=ADA)
    secrets = await passwords.sealed(person_id, password)
    return await ledger.execute(PERSON, person_id, SetPassword(), actor=ADA, secrets=secrets)


@pytest.mark.parametrize("password", ["twelve chars", "a" * 11 + "b", "ab" * 512, "пароль-подлинней", "😀" * 11 + "x"])
def test_anything_long_enough_is_a_password(password: str) -> None:
    assert check_password(password, user_name="grace") == password


@pytest.mark.parametrize(
    ("password", "says"),
    [
        ("eleven char", "12 to 1024 characters, got 11"),
        ("", "got 0"),
        ("ab" * 513, "12 to 1024 characters, got 1025"),
        ("grace.hopper.1906", "something else than the user name"),
        ("Grace@Navy.Example", "something else than the user name or the e-mail address"),
        ("a" * 12, "more than one character"),
    ],
)
def test_what_is_no_password_is_told_without_it(password: str, says: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_password(password, user_name="Grace.Hopper.1906", email="grace@navy.example", field="password")
    assert says in refused.value.reason
    assert refused.value.field == "password"
    assert not password or password not in refused.value.reason


async def test_kept_is_a_sealed_argon2id_hash_and_never_the_password(
    store: MongoStore, ledger: MongoLedger, vault: Vault
) -> None:
    person = await grace(ledger, Passwords(store, vault))
    stored = await store.secret(secret_id(person.id))
    assert PASSWORD.encode() not in stored
    assert b"argon2" not in stored
    assert vault.open(stored.decode()).startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_the_password_is_right_however_a_keyboard_writes_its_letters(
    store: MongoStore, ledger: MongoLedger, vault: Vault
) -> None:
    passwords = Passwords(store, vault, hasher=WEAK)
    person = await grace(ledger, passwords, "caf\u00e9 caf\u00e9 caf\u00e9")
    assert (await passwords.check(person, "cafe\u0301 cafe\u0301 cafe\u0301")).is_right
    assert not (await passwords.check(person, "cafe cafe cafe")).is_right
    assert not (await passwords.check(person, "")).is_right


async def test_a_name_that_nobody_has_takes_as_long_as_a_wrong_password(
    store: MongoStore, ledger: MongoLedger, vault: Vault
) -> None:
    """Compared are medians of turns taken, so that what else the machine does falls on both."""
    passwords = Passwords(store, vault)
    person = await grace(ledger, passwords)

    async def took(work: Awaitable[Checked]) -> float:
        began = time.perf_counter()
        assert not (await work).is_right
        return time.perf_counter() - began

    pairs = [
        (await took(passwords.check(person, "wrong")), await took(passwords.check(None, "wrong"))) for _ in range(5)
    ]
    known, unknown = (statistics.median(each) for each in zip(*pairs, strict=True))
    assert 0.5 < known / unknown < 2


async def test_a_hash_of_other_parameters_is_to_be_made_anew_when_the_password_is_right(
    store: MongoStore, ledger: MongoLedger, vault: Vault
) -> None:
    person = await grace(ledger, Passwords(store, vault, hasher=WEAK))
    passwords = Passwords(store, vault)
    assert await passwords.check(person, "wrong") == Checked(is_right=False)
    checked = await passwords.check(person, PASSWORD)
    renewed = checked.renewed[secret_id(person.id)]
    assert checked.is_right
    assert renewed is not None
    assert "m=65536,t=3" in vault.open(renewed.decode())
    assert not (await Passwords(store, vault, hasher=WEAK).check(person, PASSWORD)).renewed


async def test_too_many_at_once_are_turned_away(store: MongoStore, vault: Vault) -> None:
    passwords = Passwords(store, vault, hasher=WEAK)
    many = (passwords.sealed("p", PASSWORD) for _ in range(MOST_WAITING + 10))
    ended: list[Any] = await asyncio.gather(*many, return_exceptions=True)
    turned_away = [each for each in ended if isinstance(each, Overloaded)]
    assert len(turned_away) == 8
    assert await passwords.sealed("p", PASSWORD)


async def test_a_password_whose_hash_no_key_opens_is_not_right(
    store: MongoStore, ledger: MongoLedger, vault: Vault, logged: list[structlog.typing.EventDict]
) -> None:
    person = await grace(ledger, Passwords(store, vault, hasher=WEAK))
    other = Vault.from_text(Secret(Fernet.generate_key().decode()), "KEYS")
    assert not (await Passwords(store, other, hasher=WEAK).check(person, PASSWORD)).is_right
    assert [line["event"] for line in logged] == ["password_not_opened"]
