"""R environments: packages from a real repository, locked, installed by the real R, and used by real instances."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.builder.backends.bundle import BundleBackend
from services.builder.r_install import NOBODY, groups_of_processes
from services.core.errors import BuildFailed, Invalid, Unavailable
from services.core.records import Bundle
from services.kit.blobs import Blobs
from tests.harness.r_instances import SERVE, RunningR, need_r
from tests.services.builder.parts import Lines, make_backend, make_order
from tests.services.builder.r_packages import Sources, make_repository, served

SCRIPT = "predict <- function(x) x\n"
NOT_SO = "is not available as it is asked for"
IS_ROOT = os.geteuid() == 0


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    need_r()
    return make_repository(tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def url(sources: Sources) -> Iterator[str]:
    with served(sources.repository) as url:
        yield url


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that most tests find their environment already made."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def blobs(home: Path) -> Blobs:
    return Blobs(f"file://{home}/blobs")


@pytest.fixture
def backend(home: Path, blobs: Blobs, url: str) -> BundleBackend:
    return with_repository(home, blobs, url)


def with_repository(home: Path, blobs: Blobs, url: str | None) -> BundleBackend:
    made = make_backend(home, blobs, r_repository=url, AWS_SECRET_ACCESS_KEY="hush", HTTPS_PROXY="http://me:pw@proxy")
    return replace(made, r_harness=SERVE.parent)


class Built:
    """What came of a build."""

    def __init__(self, backend: BundleBackend, bundle: Bundle, lock: str, log: str) -> None:
        self.bundle, self.lock, self.log = bundle, lock, log
        self.folder = backend.environments.folder / bundle.environment
        self.library = self.folder / "library"


async def build(
    backend: BundleBackend, folder: Path, requirements: str = "", revision: str = "c", **files: str
) -> Built:
    """Build an R version whose environment revision has these requirements."""
    work, lines = folder / "work", Lines()
    work.mkdir()
    project = {"model.R": SCRIPT, **{name.replace("_", "."): content for name, content in files.items()}}
    order = await make_order(
        backend.blobs, project, file="model.R", requirements=requirements, environment_revision_id=revision * 24
    )
    try:
        async with lines.log.opened():
            artifact = await backend.build(order, work, lines.log)
    except BaseException:
        (folder / "log").write_text(lines.text)
        raise
    finally:
        shutil.rmtree(work)
    bundle = await backend.blobs.get_document(artifact, Bundle)
    return Built(backend, bundle, (await backend.blobs.get(bundle.lock)).decode(), lines.text)


def printed(library: Path, program: str) -> str:
    """What R says whose packages are those of `library` and the machine's."""
    environ = {**os.environ, "R_LIBS": str(library), "R_LIBS_USER": "NULL"}
    said = subprocess.run(
        ["Rscript", "--vanilla", "-e", program], env=environ, check=True, capture_output=True, text=True
    )
    return said.stdout


def installed(lock: str) -> list[str]:
    return [line.rpartition(" ")[0] for line in lock.splitlines() if "sha256:" in line]


async def test_packages_are_installed_from_the_repository_with_what_they_need_and_locked(
    backend: BundleBackend, tmp_path: Path
) -> None:
    built = await build(backend, tmp_path, "beta\nstats\n")
    assert installed(built.lock) == ["alpha 1.1", "beta 2.0-1"]
    assert f"\nstats {built.bundle.r}\n" in built.lock
    assert printed(built.library, "cat(beta::twice(21))") == "42"
    assert (built.library / "beta" / "DESCRIPTION").stat().st_mode & 0o777 == 0o644
    assert {path.stat().st_uid for path in built.library.rglob("*")} == {os.geteuid()}
    assert "  beta 2.0-1" in built.log


async def test_code_alone_and_another_revision_with_the_same_packages_share_the_environment(
    backend: BundleBackend, tmp_path: Path
) -> None:
    first = await build(backend, tmp_path, "beta\nstats\n")
    code_only = await build(backend, tmp_path, "beta\nstats\n", other_R="x <- 1\n")
    other_revision = await build(backend, tmp_path, "stats\nbeta\n", revision="d")
    assert {built.bundle.environment for built in (first, code_only, other_revision)} == {first.bundle.environment}
    assert first.bundle.files != code_only.bundle.files
    assert "the lock of this environment revision is used" in code_only.log
    assert "is reused" in code_only.log
    assert "installing" not in code_only.log + other_revision.log


async def test_the_lock_of_a_revision_stays_when_the_repository_has_newer_versions_and_older_ones_are_found(
    home: Path, blobs: Blobs, sources: Sources, tmp_path: Path
) -> None:
    later = tmp_path / "later"
    shutil.copytree(sources.repository, later)
    with served(later) as url:
        backend = with_repository(tmp_path / "home", blobs, url)
        first = await build(backend, tmp_path, "alpha\n", revision="e")
        (later / "src/contrib/alpha_1.1.tar.gz").rename(later / "src/contrib/Archive/alpha/alpha_1.1.tar.gz")
        shutil.rmtree(first.folder)
        again = await build(backend, tmp_path, "alpha\n", revision="e")
    assert again.bundle.environment == first.bundle.environment
    assert printed(again.library, "cat(alpha::version)") == "1.1"


@pytest.mark.parametrize("requirements", ["alpha==1.0\n", "alpha (< 1.1)\n"])
async def test_an_older_version_comes_from_the_archive(
    backend: BundleBackend, tmp_path: Path, requirements: str
) -> None:
    built = await build(backend, tmp_path, requirements)
    assert installed(built.lock) == ["alpha 1.0"]
    assert printed(built.library, "cat(alpha::version)") == "1.0"


async def test_a_projects_renv_lock_says_the_exact_versions(backend: BundleBackend, tmp_path: Path) -> None:
    pinned = {"alpha": {"Package": "alpha", "Version": "1.0", "Source": "Repository", "Repository": "CRAN"}}
    renv = {"R": {"Version": "4.0.0"}, "Packages": {**pinned, "renv": {"Package": "renv", "Version": "1.0.0"}}}
    built = await build(backend, tmp_path, "beta\n", renv_lock=json.dumps(renv))
    assert installed(built.lock) == ["alpha 1.0", "beta 2.0-1"]


async def test_the_machines_own_packages_are_not_installed_again(backend: BundleBackend, tmp_path: Path) -> None:
    built = await build(backend, tmp_path, "jsonlite>=1.8\nR6\n")
    assert installed(built.lock) == []
    assert "\nR6 " in built.lock
    assert not built.library.exists()


@pytest.mark.parametrize(
    ("requirements", "message"),
    [
        ("alhpa\n", "the package repository has no R package named 'alhpa'; did you mean 'alpha'?"),
        ("orphan\n", "the package repository has no R package named 'nowhere', which orphan 1.0 asks for"),
        ("alpha>=7\n", f"the R package 'alpha' {NOT_SO}: 'alpha>=7' is asked for; there are 1.1, 1.0"),
        ("alpha==1.0\npicky\n", f"the R package 'alpha' {NOT_SO}: 'alpha==1.0' is asked for and picky 1.0 needs "
         "alpha>=1.1; there are 1.1, 1.0"),
        ("future\n", "future 1.0 needs R >=99.1, and here is R 4."),
        ("stats>=99\n", "the R package 'stats' comes with R, in version 4."),
        ("broken\n", "the R package 'broken' 1.0 cannot be installed: compilation failed for package "),
        ("jsonlite<1\n", f"the R package 'jsonlite' {NOT_SO}: 'jsonlite<1' is asked for and"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_told_in_one_sentence(
    backend: BundleBackend, tmp_path: Path, requirements: str, message: str
) -> None:
    with pytest.raises((BuildFailed, Invalid)) as caught:
        await build(backend, tmp_path, requirements)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    if "broken" in requirements:
        assert "error: unknown type name" in (tmp_path / "log").read_text()
    assert not list(backend.environments.folder.glob(".*.partial"))


async def test_a_machine_without_a_compiler_is_told_of(backend: BundleBackend, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as tools:  # not in `tmp_path`, which other users cannot go through
        os.chmod(tools, 0o755)  # noqa: S103
        for name in ("R", "sh", "sed", "rm", "make", "uname", "mkdir", "cp", "cat", "grep", "dirname", "expr", "tar"):
            os.symlink(shutil.which(name) or "/nowhere", f"{tools}/{name}")
        installer = replace(backend.r_environments.installer, environ={"PATH": tools})
        bare = replace(backend, r_environments=replace(backend.r_environments, installer=installer))
        with pytest.raises(
            BuildFailed, match=r"'broken' 1.0 cannot be installed: it has to be compiled, .* has no gcc$"
        ):
            await build(bare, tmp_path, "broken\n")


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:9", "file:///nowhere", "http://me:hush@127.0.0.1:9"])
async def test_a_repository_that_is_not_there_is_the_platforms_trouble_and_nobody_learns_its_address(
    home: Path, blobs: Blobs, tmp_path: Path, url: str | None
) -> None:
    need_r()
    expected = BuildFailed if url is None else Unavailable
    with pytest.raises(expected) as caught:
        await build(with_repository(home, blobs, url), tmp_path, "gamma\n")
    assert ("R_REPOSITORY" if url is None else "the repository of R packages ") in str(caught.value)
    assert "127.0.0.1" not in str(caught.value) + (tmp_path / "log").read_text()
    assert "hush" not in str(caught.value) + (tmp_path / "log").read_text()


async def test_a_source_that_is_not_what_was_locked_is_not_installed(
    blobs: Blobs, sources: Sources, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(sources.repository, other)
    with served(other) as url:
        backend = with_repository(tmp_path / "home", blobs, url)
        built = await build(backend, tmp_path, "alpha\n", revision="f")
        shutil.rmtree(built.folder)
        shutil.copy(other / "src/contrib/Archive/alpha/alpha_1.0.tar.gz", other / "src/contrib/alpha_1.1.tar.gz")
        with pytest.raises(BuildFailed, match=r"^alpha 1.1 in the package repository is not what was locked$"):
            await build(backend, tmp_path, "alpha\n", revision="f")


async def test_what_a_package_runs_at_its_installing_sees_no_secret_and_leaves_nothing_running(
    backend: BundleBackend, tmp_path: Path
) -> None:
    built = await build(backend, tmp_path, "curious\n")
    user, groups, *environ = (built.library / "curious" / "seen").read_text().splitlines()
    home = Path(next(line for line in environ if line.startswith("HOME=")).removeprefix("HOME="))
    assert int(user) == (NOBODY if IS_ROOT else os.geteuid())
    assert "hush" not in "\n".join(environ)
    assert "proxy" not in "\n".join(environ)
    assert "modelway-r-" in str(home)
    assert not await asyncio.to_thread(home.exists)
    if IS_ROOT:
        mark = int(groups.split()[-1])
        assert not [process for process, its in groups_of_processes().items() if mark in its]


async def test_an_environment_is_made_again_from_its_lock_by_its_own_name(
    backend: BundleBackend, tmp_path: Path
) -> None:
    built = await build(backend, tmp_path, "alpha==1.0\n")
    shutil.rmtree(built.folder)
    work, lines = tmp_path / "again", Lines()
    work.mkdir()
    async with lines.log.opened():
        await backend.remake(built.bundle, work, lines.log)
    assert printed(built.library, "cat(alpha::version)") == "1.0"
    assert (built.folder / "serve").stat().st_mode & 0o777 == 0o755


async def test_the_function_has_its_own_version_of_a_package_that_the_harness_needs_and_the_front_has_the_machines(
    backend: BundleBackend, tmp_path: Path
) -> None:
    built = await build(backend, tmp_path, "jsonlite>=99\nalpha==1.0\n")
    assert installed(built.lock) == ["alpha 1.0", "jsonlite 99.0"]
    await asyncio.to_thread(answers_with_its_own, built)


def answers_with_its_own(built: Built) -> None:
    script = """predict <- function(x) {
      list(
        json = as.character(packageVersion("jsonlite")), alpha = alpha::version, read = jsonlite::fromJSON(x)$a,
        child = system2("Rscript", c("--vanilla", "-e", shQuote("cat(alpha::version)")), stdout = TRUE)
      )
    }"""
    with tempfile.TemporaryDirectory(prefix="mw") as folder:
        instance = RunningR(Path(folder))
        instance.program = (str(built.folder / "serve"),)
        instance.write(script)
        try:
            answer = instance.ready().call(x='{"a": 7}')
            front = Path(f"/proc/{instance.worker_ids().pop()}/maps").read_text()
        finally:
            instance.clean()
    assert answer.json()["result"] == {"json": "99.0", "alpha": "1.0", "read": 7, "child": "1.0"}
    assert "jsonlite" in front
    assert str(built.folder) not in front
