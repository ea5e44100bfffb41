"""Access tokens: a secret is answered when it is made and when it is asked for, and nowhere else."""

from __future__ import annotations

import hashlib
import re

import msgspec
import pytest

from services.api.ports import EntryQuery
from services.api.store.store import MongoStore
from services.core.aggregates import MODEL
from services.core.errors import NotFound
from tests.services.api.http.client import V1, Client
from tests.services.api.http.steps import forget_key_of


@pytest.fixture
async def at(api: Client) -> str:
    model = await api.model(isRestricted=False)
    return f"{V1}/modelApis/{model['id']}/accessTokens"


async def _hashes(store: MongoStore, at: str) -> set[str]:
    return {token.token_hash for token in (await store.load(MODEL, at.split("/")[-2])).tokens}


async def test_a_new_token_is_answered_once_and_then_shown_only_when_asked(
    api: Client, at: str, store: MongoStore
) -> None:
    answer = await api("POST", at, {"name": "app"})
    assert answer.status == 201
    token = answer.body
    assert re.fullmatch("[A-Za-z0-9]{64}", token["token"])
    assert answer.headers["Location"] == f"{at}/{token['id']}"
    assert await _hashes(store, at) == {hashlib.sha256(token["token"].encode()).hexdigest()}
    listed = await api.ok("GET", at)
    assert [each["name"] for each in listed] == ["app"]
    assert "token" not in listed[0]
    assert await api.ok("GET", f"{at}/{token['id']}/secret") == {"token": token["token"]}


async def test_showing_a_token_is_in_the_history(api: Client, at: str) -> None:
    token = await api.ok("POST", at, {"name": "app"})
    shown = await api("GET", f"{at}/{token['id']}/secret")
    assert shown.headers["Cache-Control"] == "no-store"
    history = await api.ok("GET", f"{V1}/audit", params={"modelId": at.split("/")[-2]})
    assert [item["what"] for item in history["items"]][:2] == ["token.shown", "token.created"]


async def test_a_secret_is_stored_encrypted_and_is_in_no_event(api: Client, at: str, store: MongoStore) -> None:
    token = await api.ok("POST", at, {"name": "app"})
    secret = token["token"].encode()
    ciphertext = await store.secret(token["id"])
    assert secret not in ciphertext
    assert secret not in msgspec.json.encode(await store.entries(EntryQuery(), limit=1000))


async def test_a_token_made_anew_replaces_the_old_one(api: Client, at: str, store: MongoStore) -> None:
    old = await api.ok("POST", at, {"name": "app"})
    new = await api.ok("POST", f"{at}/{old['id']}/regenerate")
    assert (new["id"], new["name"]) == (old["id"], "app")
    assert new["token"] != old["token"]
    assert await _hashes(store, at) == {hashlib.sha256(new["token"].encode()).hexdigest()}
    assert (await api.ok("GET", f"{at}/{old['id']}/secret"))["token"] == new["token"]


async def test_a_revoked_token_is_gone_with_its_secret(api: Client, at: str, store: MongoStore) -> None:
    token = await api.ok("POST", at, {"name": "app"})
    assert (await api("DELETE", f"{at}/{token['id']}")).status == 204
    assert await api.ok("GET", at) == []
    assert (await api("GET", f"{at}/{token['id']}/secret")).status == 404
    assert (await api("POST", f"{at}/{token['id']}/regenerate")).status == 404
    assert (await api("DELETE", f"{at}/{token['id']}")).status == 404
    with pytest.raises(NotFound):
        await store.secret(token["id"])


async def test_a_repeated_request_answers_the_token_that_is_stored(api: Client, at: str, store: MongoStore) -> None:
    key = {"Idempotency-Key": "once"}
    first = await api.ok("POST", at, {"name": "app"}, headers=key)
    again = await api.ok("POST", at, {"name": "app"}, headers=key)
    assert first == again
    renewed = await api.ok("POST", f"{at}/{first['id']}/regenerate", headers=key)
    renewed_again = await api.ok("POST", f"{at}/{first['id']}/regenerate", headers=key)
    assert renewed == renewed_again
    assert await _hashes(store, at) == {hashlib.sha256(renewed["token"].encode()).hexdigest()}


async def test_names_of_tokens_are_printable_and_their_own(api: Client, at: str) -> None:
    await api.ok("POST", at, {"name": "app"})
    taken = await api("POST", at, {"name": "app"})
    assert (taken.status, taken.fault) == (422, "model 'iris' already has an access token named 'app'")
    assert (await api("POST", at, {"name": "a\nb"})).status == 400
    assert (await api("POST", at, {})).fault == "name is required"


async def test_a_token_whose_key_is_gone_can_be_made_anew_and_not_be_shown(
    api: Client, at: str, store: MongoStore
) -> None:
    token = await api.ok("POST", at, {"name": "app"})
    await forget_key_of(store, token["id"])
    shown = await api("GET", f"{at}/{token['id']}/secret")
    assert shown.status == 422
    assert shown.fault == "the key that this access token is sealed with is not here any more: regenerate it"
    anew = await api.ok("POST", f"{at}/{token['id']}/regenerate")
    assert await api.ok("GET", f"{at}/{token['id']}/secret") == {"token": anew["token"]}
