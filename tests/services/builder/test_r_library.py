"""R versions: the script is looked at, the machine's library compared, the harness copied. With the real R."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from services.builder.backends.bundle import BundleBackend
from services.core.errors import BuildFailed, Invalid, Unavailable
from services.core.languages import Language
from services.core.records import BuildOrder, Bundle
from services.kit.blobs import Blobs
from tests.harness.r_instances import SERVE, need_r
from tests.services.builder.parts import Lines, make_backend, make_order

GOOD = "predict <- function(x) x\n"


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(f"file://{tmp_path}/blobs")


@pytest.fixture
def backend(tmp_path: Path, blobs: Blobs) -> BundleBackend:
    need_r()
    return replace(make_backend(tmp_path / "home", blobs), r_harness=SERVE.parent)


async def build(backend: BundleBackend, order: BuildOrder, folder: Path) -> tuple[Bundle, str]:
    """The bundle and the log."""
    lines, work = Lines(), folder / "work"
    work.mkdir()
    try:
        async with lines.log.opened():
            artifact = await backend.build(order, work, lines.log)
    finally:
        shutil.rmtree(work)
    return await backend.blobs.get_document(artifact, Bundle), lines.text


async def test_an_r_version_is_its_files_the_machines_library_and_the_harness(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    order = await make_order(blobs, {"model.R": GOOD}, file="model.R", requirements="jsonlite>=1\n")
    bundle, said = await build(backend, order, tmp_path)
    assert (bundle.language, bundle.python) == (Language.R, "")
    lock = (await blobs.get(bundle.lock)).decode()
    assert lock.startswith(f"R {bundle.r} ")
    assert "\nplumber " in lock
    environment = backend.environments.folder / bundle.environment
    assert (environment / "serve").read_bytes() == SERVE.read_bytes()
    assert (environment / "serve").stat().st_mode & 0o777 == 0o755
    assert (environment / "R" / "front.R").stat().st_mode & 0o777 == 0o644
    assert "function predict" in said
    again, said = await build(backend, order, tmp_path)
    assert again == bundle
    assert "is reused" in said


@pytest.mark.parametrize(
    ("script", "requirements", "message"),
    [
        ("x <- 1\npredict <- function( {\n", "", "model.R:2: syntax error: unexpected '{'"),
        ("predit <- function(x) x\n", "", "model.R: function 'predict' is not defined at the top level"),
        (GOOD, "nonesuch\n", "the R package 'nonesuch' is not on this machine; the platform was set up without a"),
        (GOOD, "jsonlite<1\n", "the R package 'jsonlite' is on this machine in version "),
        (GOOD, "scikit-learn\n", "requirements line 1: 'scikit-learn' is not an R package; allowed are names of R"),
    ],
)
async def test_what_is_wrong_is_told_in_one_sentence(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path, script: str, requirements: str, message: str
) -> None:
    order = await make_order(blobs, {"model.R": script}, file="model.R", requirements=requirements)
    with pytest.raises((BuildFailed, Invalid)) as caught:
        await build(backend, order, tmp_path)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "script",
    [
        'source("other.R")\n',
        'assign("predict", function(x) x)\n',
        "if (TRUE) predict <- function(x) x\n",
        "setGeneric('predict', function(x) standardGeneric('predict'))\n",
        "make <- function() predict <<- function(x) x\nmake()\n",
    ],
)
async def test_a_function_that_may_come_about_otherwise_is_left_to_the_harness(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path, script: str
) -> None:
    order = await make_order(blobs, {"model.r": script}, file="model.r")
    bundle, _ = await build(backend, order, tmp_path)
    assert bundle.language is Language.R


async def test_a_language_that_was_said_counts_and_not_the_name(
    backend: BundleBackend, blobs: Blobs, tmp_path: Path
) -> None:
    order = await make_order(blobs, {"score.rscript": GOOD}, file="score.rscript", language=Language.R)
    bundle, said = await build(backend, order, tmp_path)
    assert bundle.language is Language.R
    assert "score.rscript can be read" in said


async def test_nothing_of_the_project_is_executed(backend: BundleBackend, blobs: Blobs, tmp_path: Path) -> None:
    trace = tmp_path / "executed"
    order = await make_order(blobs, {"model.R": f'file.create("{trace}")\n{GOOD}'}, file="model.R")
    await build(backend, order, tmp_path)
    assert not trace.exists()


async def test_a_platform_without_the_harness_says_so(backend: BundleBackend, blobs: Blobs, tmp_path: Path) -> None:
    order = await make_order(blobs, {"model.R": GOOD}, file="model.R")
    with pytest.raises(BuildFailed, match="without its R harness"):
        await build(replace(backend, r_harness=None), order, tmp_path)
    with pytest.raises(Unavailable, match="R_HARNESS"):
        await build(replace(backend, r_harness=tmp_path / "nowhere"), order, tmp_path)
