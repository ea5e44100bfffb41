"""Organisations: made by anyone, changed by their owners, and in effect wherever they are collaborators."""

from __future__ import annotations

import pytest_asyncio

from services.api.ledger import MongoLedger
from tests.services.api.http.client import V1, Client
from tests.services.api.http.people import add_person

ORGANISATIONS = f"{V1}/organisations"


@pytest_asyncio.fixture
async def grace(api: Client, ledger: MongoLedger) -> Client:
    return await add_person(api, ledger, "grace")


@pytest_asyncio.fixture
async def alan(api: Client, ledger: MongoLedger) -> Client:
    return await add_person(api, ledger, "alan")


async def id_of(client: Client) -> str:
    return str((await client.ok("GET", f"{V1}/whoami"))["id"])


async def test_who_makes_one_owns_it(grace: Client, alan: Client) -> None:
    answer = await grace("POST", ORGANISATIONS, {"name": "navy"})
    assert answer.status == 201
    made = answer.body
    at = f"{ORGANISATIONS}/{made['id']}"
    assert answer.headers["Location"] == at
    assert made["members"] == [{"id": await id_of(grace), "userName": "grace", "fullName": "", "isOwner": True}]
    assert (made["memberCount"], made["isMember"]) == (1, True)
    assert {**await alan.ok("GET", at), "isMember": True} == made
    assert (await alan("GET", f"{ORGANISATIONS}/{'0' * 24}")).status == 404


async def test_a_repeated_request_makes_one(grace: Client) -> None:
    once = {"Idempotency-Key": "once"}
    made = [await grace.ok("POST", ORGANISATIONS, {"name": "navy"}, headers=once) for _ in range(2)]
    assert made[0] == made[1]


async def test_names_are_plain_and_unique_among_people_too(api: Client, grace: Client) -> None:
    await grace.ok("POST", ORGANISATIONS, {"name": "navy"})
    for name in ("navy", "NAVY", "grace", "Grace"):
        answer = await api("POST", ORGANISATIONS, {"name": name})
        assert (answer.status, answer.fault) == (422, f"there is already a person or an organisation called {name!r}")
    for name in ("", "a b", "a/b", "x" * 101):
        assert (await api("POST", ORGANISATIONS, {"name": name})).status == 400


async def test_owners_say_who_belongs_to_it(grace: Client, alan: Client) -> None:
    at = f"{ORGANISATIONS}/{(await grace.ok('POST', ORGANISATIONS, {'name': 'navy'}))['id']}"
    member = f"{at}/members/{await id_of(alan)}"
    assert [each["userName"] for each in (await grace.ok("PUT", member))["members"]] == ["alan", "grace"]
    assert (await alan("PUT", member, {"isOwner": True})).status == 403
    changed = await grace.ok("PUT", member, {"isOwner": True})
    assert [each["isOwner"] for each in changed["members"]] == [True, True]
    remaining = await alan.ok("DELETE", f"{at}/members/{await id_of(grace)}")
    assert [each["userName"] for each in remaining["members"]] == ["alan"]
    last = await alan("DELETE", member)
    assert (last.status, "keeps an owner" in last.fault) == (422, True)
    assert (await alan("DELETE", f"{at}/members/{await id_of(grace)}")).status == 404
    assert (await alan("PUT", f"{at}/members/{'0' * 24}")).status == 404
    assert (await grace("PUT", f"{at}/members/{await id_of(grace)}")).status == 403


async def test_an_administrator_changes_any(api: Client, grace: Client, alan: Client) -> None:
    at = f"{ORGANISATIONS}/{(await grace.ok('POST', ORGANISATIONS, {'name': 'navy'}))['id']}"
    changed = await api.ok("PUT", f"{at}/members/{await id_of(alan)}")
    assert len(changed["members"]) == 2


async def test_they_are_listed_in_pages_and_searched(grace: Client, alan: Client) -> None:
    for client, name in ((grace, "navy"), (grace, "army"), (alan, "hut-8")):
        await client.ok("POST", ORGANISATIONS, {"name": name})
    page = await alan.ok("GET", ORGANISATIONS, params={"limit": "2"})
    assert [(each["name"], each["isMember"]) for each in page["items"]] == [("army", False), ("hut-8", True)]
    assert page["totalCount"] == 3
    found = await alan.ok("GET", ORGANISATIONS, params={"name": "VY"})
    assert [each["name"] for each in found["items"]] == ["navy"]
    assert "members" not in found["items"][0]


async def test_members_may_what_their_organisation_may_from_when_they_join_until_they_leave(
    api: Client, grace: Client, alan: Client, ledger: MongoLedger
) -> None:
    """At once, although who calls is remembered for a moment."""
    organisation = await grace.ok("POST", ORGANISATIONS, {"name": "navy"})
    project = await api.project()
    body = {"collaborator": "navy", "role": "Contributor"}
    await api.ok("PUT", f"{V1}/projects/{project}/collaborators", body)
    member = f"{ORGANISATIONS}/{organisation['id']}/members/{await id_of(alan)}"
    seen = [(await alan("GET", f"/v4/projects/{project}")).status]
    await grace.ok("PUT", member)
    seen.append((await alan("GET", f"/v4/projects/{project}")).status)
    await grace.ok("DELETE", member)
    seen.append((await alan("GET", f"/v4/projects/{project}")).status)
    assert seen == [404, 200, 404]


async def test_what_is_done_to_one_is_in_the_history(api: Client, grace: Client, alan: Client) -> None:
    organisation = await grace.ok("POST", ORGANISATIONS, {"name": "navy"})
    member = f"{ORGANISATIONS}/{organisation['id']}/members/{await id_of(alan)}"
    await grace.ok("PUT", member)
    assert (await alan("DELETE", member)).status == 403
    await grace.ok("DELETE", member)
    items = (await api.ok("GET", f"{V1}/audit"))["items"]
    what = [(each["what"], each["actor"]["name"]) for each in items if each["aggregateId"] == organisation["id"]]
    assert what == [
        ("organisation.member-removed", "grace"),
        ("organisation.member-set", "grace"),
        ("organisation.created", "grace"),
    ]
    refused = next(each for each in items if each["what"] == "person.attempt-refused")
    assert (refused["actor"]["name"], refused["details"]["about_id"]) == ("alan", organisation["id"])
