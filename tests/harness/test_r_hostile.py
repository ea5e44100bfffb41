"""Functions in R that do their worst harm nobody but their own call, and no document does: through a real instance."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.harness.instances import WITHIN_S, until
from tests.harness.r_instances import RunningR, run_r

MEMORY_KB = 900_000  # of addresses, for each process
SCRIPT = r"""
odd <- function(class, ...) structure(class = c(class, "condition"), list(...))
act <- function(what = "echo", x = NULL) {
  print(what)
  switch(what,
    echo = x,
    raise = stop(x),
    quit = quit("no"),
    status = q("no", status = 7),
    restart = invokeRestart("abort"),
    connections = closeAllConnections(),
    kill = tools::pskill(Sys.getpid(), 9),
    condition = stop(odd("weird", message = "odd", call = NULL)),
    nameless = stop(odd(c("weird", "error"))),
    closure = stop(odd(c("weird", "error"), message = function() 1, call = 3)),
    latin = stop("caf\xe9"),
    exit = { on.exit(stop("again")); stop("first") },
    deep = { deeper <- function(n) deeper(n + 1) + 1; deeper(1) },
    nested = { nest <- list(); for (n in 1:2000) nest <- list(nest); nest },
    vector = numeric(1e12),
    memory = { kept <- list(); repeat kept[[length(kept) + 1L]] <- numeric(1e7) + 1 },
    late = setTimeLimit(elapsed = 0.0001),
    children = { parallel::mcparallel(Sys.sleep(600)); 1L },
    fork = { born <- parallel:::mcfork(); inherits(born, "masterProcess") },
    sink = { sink(tempfile()); sink(file(tempfile(), "w"), type = "message") },
    warnings = { options(warn = 2); as.numeric("a") },
    numbers = { options(OutDec = ",", digits = 1, scipen = -100, warn = 1); 1234567.25 },
    locale = { Sys.setlocale("LC_ALL", "C"); 1.5 },
    folder = { setwd("/"); unlink(tempdir(), recursive = TRUE) },
    variables = { Sys.setenv(PATH = "", R_HOME = ""); Sys.unsetenv(c("TMPDIR", "HOME")) },
    masks = for (name in c("c", "list", "paste", "paste0", "is.null", "tryCatch", "sprintf", "names", "vapply")) {
      assign(name, function(...) stop("masked"), globalenv())
    },
    attached = attach(list(answer = 1, encode = 2, bind = 3, serve_next = 4), name = "mine")[["answer"]],
    seed = { set.seed(1); runif(1) },
    clear = rm(list = ls(all.names = TRUE, envir = globalenv()), envir = globalenv())
  )
}
"""
ENDED = "^the function's process ended with "
WORST = {
    "quit": ENDED + "status 0 during the call$",
    "status": ENDED + "status 7 during the call$",
    "restart": ENDED,
    "connections": ENDED,
    "kill": ENDED + "signal 9 during the call$",
    "condition": "^Error: odd$",
    "nameless": "^weird",
    "closure": "^weird: ",
    "latin": "^Error: caf",
    "exit": "^Error: again$",
    "deep": "nested too deeply|C stack usage",
    "vector": "^Error: cannot allocate",
    "memory": "^Error: cannot allocate",
    "warnings": "converted from warning",
}
STRANGE = [
    "nested",
    "late",
    "children",
    "fork",
    "sink",
    "numbers",
    "locale",
    "folder",
    "variables",
    "attached",
    "seed",
    "clear",
    "masks",
]  # the last one bars the function itself from much
DOCUMENT = [1.5, 'Ž 花 "quoted" \\', None, True, {"a": [1, 1e300]}]
PATIENT = {"X-Modelway-Hold-Ms": "20000"}


@pytest.fixture(scope="module")
def harmed() -> Iterator[RunningR]:
    with run_r() as running:
        running.program = ("/bin/sh", "-c", f'ulimit -v {MEMORY_KB}; exec "$0" "$@"', *RunningR.program)
        running.write(SCRIPT)
        running.ready(function="act")
        yield running


def is_well(running: RunningR) -> bool:
    until(running.is_healthy, "the instance to be healthy")
    return bool(running.call(x=DOCUMENT).json()["result"] == DOCUMENT)


@pytest.mark.parametrize("what", WORST)
def test_a_call_that_does_its_worst_gets_a_500_and_the_next_one_its_answer(harmed: RunningR, what: str) -> None:
    fronts = harmed.worker_ids()
    assert is_well(harmed)
    response = harmed.call(what=what)
    assert response.status_code == 500
    (reason,) = response.json()["errors"]
    assert re.search(WORST[what], reason)
    assert is_well(harmed)
    assert harmed.worker_ids() == fronts


@pytest.mark.parametrize("what", STRANGE)
def test_what_a_call_leaves_behind_does_not_reach_how_others_are_answered(harmed: RunningR, what: str) -> None:
    until(harmed.is_healthy, "the instance to be healthy")
    response = harmed.call(what=what)
    assert response.status_code == 200
    assert is_well(harmed)
    printed = harmed.says("stdout").count("echo")
    assert is_well(harmed)
    until(lambda: harmed.says("stdout").count("echo") == printed + 1, "what the function printed")


def test_a_worker_that_was_forked_answers_no_call(harmed: RunningR) -> None:
    until(harmed.is_healthy, "the instance to be healthy")
    (worker,) = harmed.front_children()
    assert harmed.call(what="fork").json()["result"] is False
    ids = {harmed.call(x=number).json()["result"] for number in range(5)}
    assert ids == set(range(5))
    assert harmed.front_children() == {worker}


@pytest.mark.timeout(180)
def test_calls_at_once_get_their_own_answers_also_when_some_fail_or_end_the_worker(harmed: RunningR) -> None:
    until(harmed.is_healthy, "the instance to be healthy")
    together = Barrier(6, timeout=WITHIN_S)
    with ThreadPoolExecutor(6) as callers:
        lists = callers.map(lambda who: answers_of(harmed, who, together), range(6))
        answers = [answer for told in lists for answer in told]
    for token, response in answers:
        if response.status_code == 200:
            assert response.json()["result"] == token
        else:
            assert response.json()["errors"][0] in _REFUSALS | {f"Error: {token}"}
    assert sum(response.status_code == 200 for _, response in answers) >= 10


def answers_of(running: RunningR, who: int, together: Barrier) -> list[tuple[str, httpx.Response]]:
    """Those that one caller gets on one connection, each beside what was sent. Turned away, it waits for the worker."""
    with running.client(headers=PATIENT) as client:
        answers = []
        client.get("/health")  # who is not connected when the worker ends finds nobody for a while
        together.wait()
        for number in range(12):
            what = "raise" if number % 3 == 2 else "status" if (who, number) == (3, 6) else "echo"
            data = {"what": what, "x": f"token-{who}-{number}"}
            answers.append((data["x"], client.post("/model", json={"data": data})))
            if answers[-1][1].status_code == 503:
                until(running.is_healthy, "the next worker")
        return answers


_REFUSALS = {
    "the function's process ended with status 7 during the call",
    "this worker is busy",
    "this worker is not ready",
}

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    LEAVES | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT.filter(bool), inner, min_size=1, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["x", "y", "only", "c", "...", "..1", ".argument1", "echo", "NA"]) | st.text(max_size=3)
BODIES = st.one_of(
    JSON.map(lambda document: json.dumps(document).encode()),
    st.dictionaries(NAMES, JSON, max_size=4).map(lambda data: json.dumps({"data": data}).encode()),
    st.lists(JSON, max_size=4).map(lambda given: json.dumps({"parameters": given}).encode()),
    st.text().map(lambda text: json.dumps({"data": {"x": text, "\ud800": 1}}).encode()),
    st.binary(max_size=20),
)
SIGNATURES = {
    "usual": "echo <- function(x, y = 1) list(x, y)\n",
    "open": "echo <- function(x, ...) list(x, ...length(), list(...))\n",
    "named": "echo <- function(..., only = x, x = NULL) list(only, ...names())\n",
}


@pytest.fixture(scope="module", params=SIGNATURES.values(), ids=list(SIGNATURES))
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with run_r() as running:
        running.write(request.param)
        running.ready(function="echo")
        with running.client() as client:
            yield client


@pytest.mark.timeout(180)  # with an instance started, on a machine that does much else
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES)
def test_any_body_is_answered_or_refused_in_one_sentence(client: httpx.Client, body: bytes) -> None:
    response = client.post("/model", content=body, headers={"Content-Type": "application/json"})
    answer = response.json()
    assert response.status_code in (200, 400), (body, answer)
    if response.status_code == 400:
        (reason,) = answer["errors"]
        assert reason


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(document=JSON)
def test_any_document_comes_back_as_it_was_sent(client: httpx.Client, document: object) -> None:
    response = client.post("/model", json={"data": {"x": document, "only": document}})
    if response.status_code == 200:
        assert response.json()["result"][0] == document
