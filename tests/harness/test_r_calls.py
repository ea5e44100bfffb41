"""What an instance of the R harness answers: calls, bodies, its document, and health while it computes."""

from __future__ import annotations

import gzip
import json
import re
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import httpx
import pytest

from tests.harness.instances import INSTANCE, VERSION, until
from tests.harness.r_instances import RunningR, run_r

MOST = 7_000_000
GATES = count()
# One function for all tests of this file: `what` chooses. `wait` waits until the test puts a file into the project.
SCRIPT = """
seen <- list()
inner <- function(x) stop("no such flower")

#' Tell the species: \u017d.
#'
#' By its
#' length.
#' @param x The length,
#'   in cm.
#' @param y,what Other "things".
#' @return nothing
predict <- function(x = 1, y = 2, what = c("sum", "echo", "length", "wait", "remember", "fail", "fft", "sleep"),
                    never, ..., deep = list(a = -1, b = list()), by = Sys.time()) {
  if (!missing(never)) file.create("never")
  switch(match.arg(what),
    sum = x + y,
    echo = x,
    length = nchar(x),
    wait = { file.create(paste0("entered-", x)); while (!file.exists(paste0("go-", x))) Sys.sleep(0.01); x },
    remember = { seen <<- c(seen, x); list(seen, file.exists("predict.R")) },
    fail = { print("seen"); inner(x) },
    fft = { file.create(paste0("entered-", x)); length(fft(as.numeric(1:200003))) },
    sleep = { file.create(paste0("entered-", x)); Sys.sleep(600) }
  )
}
"""


@pytest.fixture(scope="module")
def served() -> Iterator[RunningR]:
    with run_r() as running:
        running.write(SCRIPT)
        running.ready(max_body_bytes=MOST, example_input='{"data": {"x": 1.5,\n "deep": {}}}')
        yield running


@pytest.fixture
def gate(served: RunningR) -> str:
    """A name that no other test waits by."""
    until(served.is_healthy, "the instance to be healthy")
    return f"{next(GATES)}"


def has_entered(served: RunningR, gate: str) -> bool:
    return (served.project / f"entered-{gate}").exists()


def client_of(served: RunningR) -> httpx.Client:
    return served.client(headers={"Content-Type": "application/json"})


def post(served: RunningR, body: bytes, **headers: str) -> httpx.Response:
    with client_of(served) as client:
        return client.post("/model", content=body, headers={key.replace("_", "-"): v for key, v in headers.items()})


def test_an_instance_answers_calls_with_their_time_and_release(served: RunningR) -> None:
    head = {"X-Modelway-Server": f"{INSTANCE}.0", "X-Request-Id": "IREU167VFABC3K4T"}
    response = served.call(x=8, headers=head)
    body = response.json()
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["X-Request-Id"] == "IREU167VFABC3K4T"
    assert isinstance(body.pop("model_time_in_ms"), int)
    assert isinstance(body.pop("timing"), float)
    release = {"harness_version": "0.2.0", "model_version": VERSION, "model_version_number": 3}
    assert body == {"request_id": "IREU167VFABC3K4T", "release": release, "result": 10}
    assert stat.S_IMODE(served.sockets[0].stat().st_mode) == 0o600
    assert list((served.folder / "home").iterdir()) == []


def timing(response: httpx.Response) -> dict[str, float]:
    parts = re.findall(r"(\w+);dur=([0-9.]+)(?:, |$)", response.headers["Server-Timing"])
    return {name: float(milliseconds) for name, milliseconds in parts}


def test_every_answer_of_a_call_tells_where_its_time_went(served: RunningR, gate: str) -> None:
    late = served.call(x=gate, what="sleep", headers={"X-Modelway-Remaining-Ms": "1500"})
    until(served.is_healthy, "the next worker")
    answered, refused, failed = served.call(), post(served, b"{}"), served.call(what="fail")
    for response, status in [(answered, 200), (refused, 400), (failed, 500), (late, 504)]:
        assert response.status_code == status
        assert list(timing(response)) == ["import", "wait"] + ["compute"] * (status != 400)
    assert timing(late)["compute"] > 0
    assert timing(answered)["import"] == timing(failed)["import"] > 0
    assert timing(answered)["compute"] == pytest.approx(answered.json()["timing"], abs=0.001)


def test_what_comes_over_http_and_is_no_call_is_told_in_one_shape(served: RunningR) -> None:
    with client_of(served) as client:
        nothing, get = client.get("/nothing"), client.get("/model")
        stranger = client.get("/health", headers={"X-Modelway-Server": "i-2.0"})
    answers = {
        404: (nothing, "there is nothing at /nothing; a worker answers POST /model, GET /health and /openapi.json"),
        405: (get, "GET is not answered at /model"),
        421: (stranger, f"this is {INSTANCE}.0, not i-2.0"),
        413: (post(served, b"x" * (MOST + 1)), f"the body has {MOST + 1} bytes; at most {MOST} are taken"),
        415: (
            post(served, b"a", Content_Type="text/csv"),
            'the body must be JSON: send "Content-Type: application/json", not "text/csv"',
        ),
    }
    for status, (response, reason) in answers.items():
        assert response.status_code == status
        assert response.json()["errors"] == [reason]
        assert response.json()["request_id"] == response.headers["X-Request-Id"]
        assert response.json()["release"]["model_version"] == VERSION
    assert get.headers["Allow"] == "POST"


def test_bodies_come_in_pieces_or_packed_and_stay_within_bounds(served: RunningR) -> None:
    text = json.dumps({"data": {"x": "a" * 150_000, "what": "length"}}).encode()
    bomb = gzip.compress(b" " * (MOST + 1))
    with client_of(served) as client:
        pieces = client.post("/model", content=iter([text[:70_000], text[70_000:]]))
        many = client.post("/model", content=iter([b" " * 100_000] * 71))
    assert pieces.json()["result"] == 150_000
    too_many = f"the body has more than the {MOST} bytes that are taken"
    assert (many.status_code, many.json()["errors"]) == (413, [too_many])
    assert post(served, gzip.compress(text), Content_Encoding="gzip").json()["result"] == 150_000
    assert post(served, bomb, Content_Encoding="gzip").status_code == 413
    assert post(served, b"{}", Content_Encoding="gzip").status_code == 400
    assert post(served, bomb[:100], Content_Encoding="gzip").status_code == 400
    assert post(served, b"{}", Content_Encoding="br").status_code == 415


def test_large_bodies_and_results_pass(served: RunningR) -> None:
    text = "ä" * 3_000_000
    body = json.dumps({"data": {"x": text, "what": "echo"}}, ensure_ascii=False).encode()
    assert post(served, body).json()["result"] == text


def test_globals_stay_in_memory_and_the_scripts_folder_is_the_working_one(served: RunningR) -> None:
    results = [served.call(x=number, what="remember").json()["result"] for number in (1, 2)]
    assert results == [[[1], True], [[1, 2], True]]


def test_an_error_goes_to_the_log_with_the_calls_that_led_to_it(served: RunningR) -> None:
    response = served.call(x="secret", what="fail")
    assert response.status_code == 500
    assert response.json()["errors"] == ["Error: no such flower"]
    begins = (
        f"call_failed request_id={response.headers['X-Request-Id']}\nError: no such flower\n  in inner(x) (predict.R:"
    )
    until(lambda: begins in served.says(), "the log")
    assert "\n  in predict(x = x, what = what)\n" in served.says().partition(begins)[2]
    assert "secret" not in served.says()
    assert '[1] "seen"\n' in served.says("stdout")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ({"X-Modelway-Remaining-Ms": "0"}, 504),
        ({"X-Modelway-Deadline-Ms": "1000"}, 504),
        ({"X-Modelway-Remaining-Ms": "soon"}, 200),
    ],
)
def test_a_call_without_time_left_is_not_started(served: RunningR, head: dict[str, str], status: int) -> None:
    (served.project / "never").unlink(missing_ok=True)
    assert served.call(never=1, headers=head).status_code == status
    assert (served.project / "never").exists() == (status == 200)


def test_health_and_the_document_are_answered_while_a_call_runs_and_a_second_one_is_refused_or_held(
    served: RunningR, gate: str
) -> None:
    with ThreadPoolExecutor(2) as callers:
        first = callers.submit(served.call, x=gate, what="wait")
        until(lambda: has_entered(served, gate), "the first call to begin")
        assert served.is_healthy()
        assert served.get("/openapi.json").json()["info"]["title"] == "predict"
        second = served.call()
        assert (second.status_code, second.headers["Retry-After"]) == (503, "1")
        assert second.json()["errors"] == ["this worker is busy"]
        assert list(timing(second)) == ["import", "wait"]
        assert served.call(headers={"X-Modelway-Hold-Ms": "20"}).status_code == 503
        held = callers.submit(served.call, headers={"X-Modelway-Hold-Ms": "20000"})
        (served.project / f"go-{gate}").touch()
        assert [first.result().status_code, held.result().status_code] == [200, 200]


@pytest.mark.parametrize("computes", ["fft", "sleep"])  # long within C, where R looks at nothing else
def test_health_is_answered_during_a_computation_that_is_ended_and_replaced_past_its_deadline(
    served: RunningR, gate: str, computes: str
) -> None:
    worker = served.front_children()
    with ThreadPoolExecutor(1) as callers:
        running = callers.submit(served.call, x=gate, what=computes, headers={"X-Modelway-Remaining-Ms": "1500"})
        until(lambda: has_entered(served, gate), "the call to begin")
        answers = 0
        while not running.done() and answers < 20:
            assert served.is_healthy()
            answers += 1
        assert running.result().status_code == 504
    assert answers == 20
    until(lambda: not worker & served.front_children(), "the worker to end")
    until(served.is_healthy, "the next worker")
    assert served.call().json()["result"] == 3


def test_the_function_is_described_by_its_arguments_and_the_comment_above_it(served: RunningR) -> None:
    document = served.get("/openapi.json").json()
    call = document["paths"]["/model"]["post"]
    assert document["info"] == {
        "title": "predict",
        "version": "3",
        "description": "Tell the species: Ž.\n\nBy its\nlength.",
    }
    assert (call["operationId"], call["summary"]) == ("predict", "Tell the species: Ž.")
    content = call["requestBody"]["content"]["application/json"]
    assert content["example"] == {"data": {"x": 1.5, "deep": {}}}
    by_name, by_position = content["schema"]["oneOf"]
    arguments = by_name["properties"]["data"]
    properties = arguments["properties"]
    assert list(properties) == ["x", "y", "what", "never", "deep", "by"]
    assert properties["x"] == {"description": "The length, in cm.", "default": 1}
    assert properties["y"] == {"description": 'Other "things".', "default": 2}
    assert (properties["what"]["enum"][:2], properties["what"]["default"]) == (["sum", "echo"], "sum")
    assert properties["deep"] == {"default": {"a": -1, "b": []}}
    assert properties["never"] == properties["by"] == {}
    assert (arguments["required"], arguments["additionalProperties"]) == ([], {})
    places = by_position["properties"]["parameters"]
    assert [place["title"] for place in places["prefixItems"]] == ["x", "y", "what", "never"]
    assert (places["minItems"], places["items"]) == (0, {})


@pytest.mark.parametrize("base", [f"/models/{'0a' * 12}/latest", f"/models/{'0a' * 12}/labels/prod"])
def test_through_the_router_the_document_tells_the_models_own_address_and_ways_in(served: RunningR, base: str) -> None:
    here = served.get("/openapi.json").json()
    with served.client(headers={"X-Modelway-Base": base}) as client:
        there = client.get("/openapi.json").json()
    assert there["servers"] == [{"url": base}]
    assert there["security"] == [{"token": []}, {"basic": []}]
    assert {way["scheme"] for way in there["components"]["securitySchemes"].values()} == {"bearer", "basic"}
    assert list(there["paths"]) == ["/model"]
    assert there["paths"]["/model"] == here["paths"]["/model"]
    assert (here["servers"], list(here["paths"])) == ([{"url": "."}], ["/model", "/health"])
    assert "security" not in here


@pytest.mark.parametrize("base", ["/models/1/latest", f"https://other/models/{'0a' * 12}/latest", "x", '"}'])
def test_an_address_that_is_none_of_the_routers_is_not_taken_into_the_document(served: RunningR, base: str) -> None:
    with served.client(headers={"X-Modelway-Base": base}) as client:
        assert client.get("/openapi.json").json()["servers"] == [{"url": "."}]
