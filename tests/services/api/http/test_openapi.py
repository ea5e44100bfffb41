"""What programs and people can read about the API: all of it, and every field with words of its own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from services.api.http.app import Deps, create_app, routes
from services.api.http.openapi.document import document
from services.api.http.openapi.operation import refusals
from services.api.http.openapi.parameters import document_path
from services.api.http.routes import API, Route
from services.core.access import Action
from tests.services.api.http.client import Client

DOCUMENT_AT = f"{API}/openapi.json"
PAGE_AT = f"{API}/docs"
LONGEST_SUMMARY = 140


@pytest.fixture
def described(deps: Deps) -> dict[str, Any]:
    return document(routes(deps), version="0.1.0", cookie="modelway_session")


def operations(described: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, by_method in described["paths"].items():
        for method, operation in by_method.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_is_described(deps: Deps, described: dict[str, Any]) -> None:
    served = {
        f"{route.method} {document_path(route.resource.canonical)}"
        for route in create_app(deps).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served == {name for name, _ in operations(described)}


def test_every_operation_says_in_a_line_what_it_does(described: dict[str, Any]) -> None:
    summaries = {name: operation["summary"] for name, operation in operations(described)}
    assert not [name for name, summary in summaries.items() if not 0 < len(summary) <= LONGEST_SUMMARY]
    assert not [name for name, summary in summaries.items() if not summary[0].isupper()]


def test_every_operation_has_a_name_of_its_own(described: dict[str, Any]) -> None:
    names = Counter(operation["operationId"] for _, operation in operations(described))
    assert not [name for name, times in names.items() if times > 1]
    assert not [name for name in names if re.fullmatch(r"[a-z][A-Za-z]+", name) is None]


def test_every_operation_succeeds_somehow(described: dict[str, Any]) -> None:
    assert not [
        name
        for name, operation in operations(described)
        if not any(status.startswith(("2", "3")) for status in operation["responses"])
    ]


def test_every_field_and_every_parameter_says_what_it_is(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    fields = {
        f"{name}.{field}": told
        for name, schema in schemas.items()
        for field, told in schema.get("properties", {}).items()
    }
    parameters = {
        f"{name} {parameter['name']}": parameter
        for name, operation in operations(described)
        for parameter in operation["parameters"]
    }
    assert len(fields) > 300
    assert not [name for name, told in (fields | parameters).items() if not told.get("description")]
    assert not [name for name, schema in schemas.items() if "properties" in schema and not schema.get("description")]


def test_what_may_be_left_out_of_a_body_has_a_default_or_says_what_happens_then(described: dict[str, Any]) -> None:
    """A list or an object that is left out is none; that needs no words."""
    untold = [
        f"{name}.{field}"
        for name, schema in described["components"]["schemas"].items()
        if name.endswith("Body") and "left out" not in schema["description"]
        for field, told in schema["properties"].items()
        if field not in schema.get("required", ()) and "default" not in told and "left out" not in told["description"]
    ]
    assert not untold


WHOLE = {
    # Existing clients read them whole, and send neither a limit nor an offset.
    *("projectsIndex", "projectsRelated", "projectsUsers", "environmentsIndex", "choicesEnvironments"),
    *("modelsListOfProject", "versionsListNumbers", "controlModels", "projectFilesIndex", "projectFilesCommits"),
    # Bounded: 2 labels, 20 receipts, 500 collaborators, 200 quotas, every key there is, 20 sessions, 100 API keys; and
    # the calls of one request id.
    *("canariesIndex", "canariesRollouts", "sharingIndex", "projectSharingIndex", "projectCollaboratorsIndex"),
    *("resourceQuotasIndex", "choicesHardwareTiers", "centralConfigurationIndex"),
    *("apiKeysIndex", "browserSessionsIndex", "callRecordsShow"),
}
LISTS = ("items", "data", "results", "environments")


def test_what_can_grow_is_answered_in_parts(described: dict[str, Any]) -> None:
    whole = {
        operation["operationId"]
        for name, operation in operations(described)
        if name.startswith("GET ") and _is_list(operation, described["components"]["schemas"])
        if not {"limit", "pageSize"} & {parameter["name"] for parameter in operation["parameters"]}
    }
    assert whole == WHOLE


def _is_list(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> bool:
    content = operation["responses"].get("200", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    fields = schemas.get(schema.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
    return schema.get("type") == "array" or any(fields.get(name, {}).get("type") == "array" for name in LISTS)


def test_schemas_have_plain_names(described: dict[str, Any]) -> None:
    """Two types of one name would be told apart by their modules."""
    assert not [name for name in described["components"]["schemas"] if not name.isalnum()]


def test_a_change_needs_its_csrf_token_beside_a_session_and_a_look_does_not(described: dict[str, Any]) -> None:
    at = described["paths"][f"{API}/modelApis"]
    assert {"session": []} in at["get"]["security"]
    assert {"session": [], "csrfToken": []} in at["post"]["security"]
    assert {"session": []} not in at["post"]["security"]
    assert {"apiKey": []} in at["post"]["security"]
    assert described["paths"]["/livez"]["get"]["security"] == []


@pytest.mark.parametrize(
    ("route", "status"),
    [
        (Route("GET", "/x", print, Action.LOOK_AROUND), 401),  # type: ignore[arg-type]  # who answers does not matter
        (Route("GET", "/x", print, Action.VIEW_PLATFORM), 403),  # type: ignore[arg-type]
        (Route("POST", "/x", print, Action.LOOK_AROUND), 403),  # type: ignore[arg-type]
        (Route("GET", "/x/{model}", print, Action.VIEW), 404),  # type: ignore[arg-type]
        (Route("POST", "/x", print, None, takes=str), 413),  # type: ignore[arg-type]
        (Route("PUT", "/x", print, Action.LOOK_AROUND, is_tagged=True), 412),  # type: ignore[arg-type]
    ],
)
def test_refusals_follow_from_the_route(route: Route, status: int) -> None:
    assert status in refusals(route)


def test_nobody_is_told_of_refusals_that_cannot_be() -> None:
    assert refusals(Route("GET", "/x", print, Action.LOOK_AROUND)) == {400, 401, 429, 503}  # type: ignore[arg-type]


async def test_the_document_is_open_to_everyone_and_sent_once(api: Client) -> None:
    nobody = api.as_holder_of(None)
    first = await nobody("GET", DOCUMENT_AT)
    assert first.status == 200
    assert first.headers["Content-Type"].startswith("application/json")
    assert first.body["openapi"] == "3.1.0"
    again = await nobody("GET", DOCUMENT_AT, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.raw) == (304, b"")


async def test_the_page_needs_no_script_and_no_other_host(api: Client) -> None:
    nobody = api.as_holder_of(None)
    page = await nobody("GET", PAGE_AT)
    text = page.raw.decode()
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert re.search(r"<script|https?://|url\(|@import| style=| on\w+=", text) is None
    assert "/modelApis/{model}/versions" in text
    assert 'href="#type-ModelApi"' in text
    for leads_to in set(re.findall(r'href="#([^"]+)"', text)):
        assert f'id="{leads_to}"' in text


async def test_no_other_site_may_read_what_is_answered(api: Client) -> None:
    """CORS is off: there is no header about it at all, also where a browser asks beforehand."""
    asked = {"Origin": "http://elsewhere.example", "Access-Control-Request-Method": "GET"}
    for method, path in (("GET", "/version"), ("GET", f"{API}/modelApis"), ("OPTIONS", f"{API}/modelApis")):
        answer = await api(method, path, headers=asked)
        assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_a_list_that_is_answered_whole_can_be_asked_for_in_parts(api: Client) -> None:
    model = await api.model()
    at = f"{API}/modelApis/{model['id']}/accessTokens"
    for name in ("b", "c"):
        await api.ok("POST", at, {"name": name})
    whole, part = await api("GET", at), await api("GET", at, params={"offset": "1", "limit": "1"})
    assert [len(whole.body), part.body] == [3, whole.body[1:2]]
    assert whole.headers["X-Total-Count"] == part.headers["X-Total-Count"] == "3"
    assert (await api("GET", at, params={"limit": "0"})).status == 400
