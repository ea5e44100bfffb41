"""What both harnesses are held to by harness_cases.json: how a case is sent, and what its answer must be."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.harness.instances import VERSION, Running

TABLE = Path(__file__).with_name("harness_cases.json")
CASES: list[dict[str, Any]] = json.loads(TABLE.read_text())["cases"]
HEAD = {"model_time_in_ms", "timing", "request_id", "release"}
REQUEST_ID = "IREU167VFABC3K4T"
RELEASE = {"harness_version": "0.2.0", "model_version": VERSION, "model_version_number": 3}
MOST = 200_000  # bytes of a body


def says(case: dict[str, Any]) -> str:
    return str(case["says"])


def in_language(case: dict[str, Any], language: str) -> dict[str, Any]:
    """The case with what only holds for one language."""
    other: dict[str, Any] = case.get(language, {})
    return case | other


def body_of(case: dict[str, Any]) -> bytes:
    """The bytes that a case sends."""
    if "nested" in case:
        text = '{"data": {"x": ' + "[" * case["nested"] + "]" * case["nested"] + "}}"
    elif "body" in case:
        text = json.dumps(case["body"], ensure_ascii=False)
    else:
        text = case["raw"] * case.get("times", 1)
    body = text.encode(case.get("encoding", "utf-8"))
    body = gzip.compress(body) if case.get("packed") else body
    return body[: case.get("cut", len(body))]


def sent(running: Running, case: dict[str, Any]) -> httpx.Response:
    body = body_of(case)
    headers = {"Content-Type": case.get("content_type", "application/json"), "X-Request-Id": REQUEST_ID}
    with running.client() as client:
        return client.request(
            case.get("method", "POST"),
            case.get("path", "/model"),
            content=pieces(body) if case.get("in_pieces") else body,
            headers=headers | case.get("headers", {}),
        )


def pieces(body: bytes) -> Iterator[bytes]:
    half = len(body) // 2
    yield body[:half]
    yield body[half:]


def check(response: httpx.Response, case: dict[str, Any]) -> None:
    """Hold an answer to its case."""
    answer = response.json()
    assert (response.status_code, answer.get("errors", [])) == (case["status"], answer.get("errors", []))
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Request-Id"] == case.get("request_id", REQUEST_ID)
    for name, value in case.get("answer_headers", {}).items():
        assert response.headers[name] == value
    if "errors" in case:
        assert set(answer) == {"errors", "request_id", "release"}
        assert len(answer["errors"]) == 1
        assert re.search(case["errors"], answer["errors"][0])
    if "result" in case:
        assert set(answer) == HEAD | {"result"}
        assert is_same(answer["result"], case["result"])
        assert isinstance(answer["model_time_in_ms"], int)
        assert isinstance(answer["timing"], int | float)
    if "errors" in case or "result" in case:
        assert (answer["request_id"], answer["release"]) == (REQUEST_ID, RELEASE)
    if case.get("path", "/model") == "/model" and case["status"] in (200, 400, 500):
        check_timing(
            response.headers["Server-Timing"], {"import", "wait"} | ({"compute"} if "result" in case else set())
        )


def check_timing(told: str, names: set[str]) -> None:
    parts = [each.strip().partition(";dur=") for each in told.split(",")]
    assert names <= {name for name, _, _ in parts}
    assert all(float(took_ms) >= 0 for _, _, took_ms in parts)


def is_same(one: Any, other: Any) -> bool:
    """3 and 3.0 are the same to JSON; true and 1 are not."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)
