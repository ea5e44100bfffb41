"""Who may reach a model: visibility, collaborators whatever they are called, its owner, and calls without a token."""

from __future__ import annotations

from typing import Any

import pytest

from services.api.ledger import MongoLedger
from services.core.aggregates import ORGANISATION, PERSON
from services.core.commands import CreateOrganisation, DescribePerson, DisablePerson
from services.core.ids import AggregateId
from services.kit.ids import new_object_id
from tests.makers import PERSON as ADA
from tests.services.api.http.client import V1, Client
from tests.services.api.http.people import add_person


@pytest.fixture
async def at(api: Client) -> str:
    return f"{V1}/modelApis/{(await api.model())['id']}"


async def id_of(client: Client) -> AggregateId:
    return AggregateId((await client.ok("GET", f"{V1}/whoami"))["id"])


async def organisation(ledger: MongoLedger, name: str, owner: AggregateId) -> str:
    made = new_object_id()
    await ledger.execute(ORGANISATION, made, CreateOrganisation(name=name, owner_id=owner), actor=ADA)
    return made


def roles(model: Any) -> list[tuple[str, str, bool]]:
    return [(each["collaborator"], each["role"], each["isOwner"]) for each in model["collaborators"]]


async def test_a_model_tells_who_may_reach_it_in_the_fields_that_clients_read(api: Client, at: str) -> None:
    ada = await id_of(api)
    model = await api.ok("GET", at)
    assert (model["access"]["isPublic"], model["access"]["isRestricted"]) == (False, True)
    assert (model["ownerId"], roles(model)) == (ada, [(ada, "Owner", True)])
    assert (await api.ok("PUT", f"{at}/visibility", {"isPublic": True}))["access"]["isPublic"] is True
    opened = await api.ok("PUT", f"{at}/restriction", {"isRestricted": False})
    assert (opened["isRestricted"], opened["access"]["isRestricted"]) == (False, False)
    public = await api.model(model["projectId"], isPublic=True)
    assert public["access"]["isPublic"] is True


async def test_whoever_is_meant_by_a_name_an_address_or_an_id_is_invited(
    api: Client, ledger: MongoLedger, at: str
) -> None:
    grace, lin = await add_person(api, ledger, "grace"), await add_person(api, ledger, "lin")
    grace_id, lin_id = await id_of(grace), await id_of(lin)
    await ledger.execute(PERSON, lin_id, DescribePerson(email="lin@lab.example"), actor=ADA)
    lab = await organisation(ledger, "The Lab", grace_id)
    for who, role in (("grace", "Viewer"), ("Lin@Lab.example", "Editor"), ("The Lab", "Owner"), (grace_id, "Editor")):
        model = await api.ok("PUT", f"{at}/collaborators", {"collaborator": who, "role": role})
    assert roles(model)[1:] == [(lin_id, "Editor", False), (lab, "Owner", False), (grace_id, "Editor", False)]
    listed = await api.ok("GET", f"{at}/collaborators")
    assert [(each["name"], each["kind"]) for each in listed] == [
        ("ada", "person"),
        ("lin", "person"),
        ("The Lab", "organisation"),
        ("grace", "person"),
    ]
    removed = await api.ok("DELETE", f"{at}/collaborators/grace")
    removed = await api.ok("DELETE", f"{at}/collaborators/{lab}")
    assert roles(removed)[1:] == [(lin_id, "Editor", False)]
    assert (await api("DELETE", f"{at}/collaborators/{lab}")).status == 404
    assert (await api("DELETE", f"{at}/collaborators/grace")).fault == "there is no collaborator 'grace'"


async def test_members_of_an_organisation_have_its_role(api: Client, ledger: MongoLedger, at: str) -> None:
    grace = await add_person(api, ledger)
    [grace_id] = [each["id"] for each in await api.ok("GET", "/v4/users") if each["userName"] == "grace"]
    await organisation(ledger, "lab", grace_id)
    assert (await grace("GET", at)).status == 404
    await api.ok("PUT", f"{at}/collaborators", {"collaborator": "lab", "role": "Owner"})
    await grace.ok("PUT", f"{at}/visibility", {"isPublic": True})


async def test_who_cannot_be_invited_is_told_with_the_reason(api: Client, ledger: MongoLedger, at: str) -> None:
    people = [await id_of(await add_person(api, ledger, name)) for name in ("grace", "hopper", "lab")]
    for person in people[:2]:
        await ledger.execute(PERSON, person, DescribePerson(email="us@lab.example"), actor=ADA)
    lab = await organisation(ledger, "lab", people[0])
    nobody = "nobody here is called"
    for who, role, status, said in (
        (
            "nobody",
            "Viewer",
            400,
            f"collaborator must be a user name, an e-mail address, an organisation's name, or "
            f"the id of either, and {nobody} 'nobody'",
        ),
        ("f" * 24, "Viewer", 400, nobody),
        ("", "Viewer", 400, nobody),
        ("us@lab.example", "Viewer", 400, f"may be the person grace ({people[0]}), the person hopper ({people[1]})"),
        ("lab", "Viewer", 400, f"may be the person lab ({people[2]}), the organisation lab ({lab}): give the id"),
        ("grace", "Boss", 400, "role must be one of Viewer, Editor, Owner, got 'Boss'"),
        ("ada", "Editor", 422, "ada owns model 'iris' and needs no role in it"),
    ):
        answer = await api("PUT", f"{at}/collaborators", {"collaborator": who, "role": role})
        assert (answer.status, said in answer.fault) == (status, True), (who, answer.fault)
    await ledger.execute(PERSON, people[0], DisablePerson(), actor=ADA)
    for path, body in (("collaborators", {"collaborator": "grace", "role": "Viewer"}), ("owner", {"owner": "grace"})):
        answer = await api("PUT", f"{at}/{path}", body)
        assert (answer.status, answer.fault) == (422, "the account of grace is disabled")
    by_address = await api("PUT", f"{at}/collaborators", {"collaborator": "us@lab.example", "role": "Viewer"})
    assert by_address.body["collaborators"][1]["name"] == "hopper"  # the other account is disabled
    assert (await api("PUT", f"{at}/collaborators", {"collaborator": "grace"})).fault == "role is required"
    assert len((await api.ok("GET", at))["collaborators"]) == 2


async def test_a_transferred_model_has_a_new_owner_and_keeps_the_old_one_as_an_editor(
    api: Client, ledger: MongoLedger, at: str
) -> None:
    grace = await add_person(api, ledger)
    ada_id, grace_id = await id_of(api), await id_of(grace)
    await api.ok("PUT", f"{at}/collaborators", {"collaborator": "grace", "role": "Editor"})
    assert (await grace("PUT", f"{at}/owner", {"owner": "grace"})).status == 403
    for _ in range(2):
        model = await api.ok("PUT", f"{at}/owner", {"owner": "grace"})
    assert roles(model) == [(grace_id, "Owner", True), (ada_id, "Editor", False)]
    back = await grace.ok("PUT", f"{at}/owner", {"owner": ada_id})
    assert roles(back) == [(ada_id, "Owner", True), (grace_id, "Editor", False)]
    await organisation(ledger, "lab", grace_id)
    answer = await api("PUT", f"{at}/owner", {"owner": "lab"})
    assert (answer.status, "owner must be a person's user name" in answer.fault) == (400, True)


async def test_a_collaborator_leaves_without_asking(api: Client, ledger: MongoLedger, at: str) -> None:
    grace = await add_person(api, ledger)
    assert (await grace("POST", f"{at}/leave")).status == 404
    await api.ok("PUT", f"{at}/collaborators", {"collaborator": "grace", "role": "Viewer"})
    await grace.ok("GET", at)
    assert (await grace("DELETE", f"{at}/collaborators/grace")).status == 403
    assert (await grace("POST", f"{at}/leave")).status == 204
    assert (await grace("GET", at)).status == 404
    answer = await api("POST", f"{at}/leave")
    assert (answer.status, "no role of their own in model 'iris'" in answer.fault) == (422, True)


async def test_each_change_is_in_the_history_with_who_made_it(api: Client, ledger: MongoLedger, at: str) -> None:
    await add_person(api, ledger)
    await api.ok("PUT", f"{at}/visibility", {"isPublic": True})
    await api.ok("PUT", f"{at}/restriction", {"isRestricted": False})
    await api.ok("PUT", f"{at}/collaborators", {"collaborator": "grace", "role": "Editor"})
    await api.ok("PUT", f"{at}/owner", {"owner": "grace"})
    await api.ok("DELETE", f"{at}/collaborators/ada")
    history = await api.ok("GET", f"{V1}/audit", params={"modelId": at.split("/")[-1], "limit": "5"})
    assert [(item["what"], item["actor"]["name"]) for item in history["items"]] == [
        (f"model.{what}", "ada")
        for what in (
            "collaborator-removed",
            "ownership-transferred",
            "collaborator-set",
            "restriction-set",
            "visibility-set",
        )
    ]


async def test_a_repeated_request_changes_nothing_more(api: Client, ledger: MongoLedger, at: str) -> None:
    grace = await id_of(await add_person(api, ledger))
    once = {"Idempotency-Key": "k"}
    for method, path, body in (
        ("PUT", "collaborators", {"collaborator": "grace", "role": "Viewer"}),
        ("DELETE", f"collaborators/{grace}", None),
        ("PUT", "visibility", {"isPublic": True}),
    ):
        first = await api(method, f"{at}/{path}", body, headers=once)
        again = await api(method, f"{at}/{path}", body, headers=once)
        assert (first.status, again.status, again.raw) == (200, 200, first.raw)
