"""Which versions of R packages are taken, without any R."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.builder.r_lock import Locked, RLock, RLocksmith, parse_r_lock
from services.builder.r_repository import Repository
from services.builder.r_requirements import Demand, needs_of, r_demands, renv_demands
from services.builder.r_resolution import Known, Package, R, Unknown, resolve
from services.core.errors import BuildFailed, Invalid
from services.core.ids import Digest
from services.kit.blobs import Blobs
from tests.services.builder.parts import Lines

DIGEST = Digest("d" * 64)


def package(name: str, version: str, needs: str = "", *, here: bool = False) -> Package:
    return Package(name, version, needs_of(needs, f"{name} {version}"), is_of_machine=here)


def machine(**versions: str) -> dict[str, Package]:
    r = Package(R, "4.2.2", is_of_machine=True, is_of_r=True)
    return {R: r, **{name: package(name, version, here=True) for name, version in versions.items()}}


def known(*offered: Package, on: dict[str, Package] | None = None, **archived: tuple[str, ...]) -> Known:
    offers = {each.name: each for each in offered}
    return Known(on or machine(), asked={*offers, *archived}, offered=offers, archived=dict(archived))


def taken(lines: str, facts: Known) -> list[str]:
    found = resolve(r_demands(lines), facts)
    assert not isinstance(found, Unknown)
    return [str(each) for each in found]


def test_each_package_comes_after_what_it_needs() -> None:
    facts = known(package("a", "1", "z, m (>= 2)"), package("m", "2", "z"), package("z", "1"))
    assert taken("a", facts) == ["z 1", "m 2", "a 1"]


def test_what_the_machine_has_is_taken_where_it_will_do_and_else_the_repositorys() -> None:
    facts = known(package("a", "2.0"), on=machine(a="1.5"))
    assert taken("a>=1.0", facts) == ["a 1.5"]
    assert taken("a>=1.6", facts) == ["a 2.0"]


def test_a_later_demand_replaces_what_was_chosen_and_what_that_needed_with_it() -> None:
    newest = package("a", "2.0", "only.of.two")
    facts = known(newest, package("b", "1", "a (< 2.0)"), a=("1.0",))
    facts.read["a", "1.0"] = package("a", "1.0")
    facts.asked.add("only.of.two")
    assert taken("a\nb", facts) == ["a 1.0", "b 1"]


def test_what_is_not_known_yet_is_asked_for() -> None:
    assert resolve(r_demands("a"), Known(machine())) == Unknown(names=frozenset({"a"}))
    facts = known(package("a", "2.0"), a=("1.0",))
    assert resolve(r_demands("a==1.0"), facts) == Unknown(older=frozenset({("a", "1.0")}))


def test_packages_that_need_each_other_and_a_chain_of_many_come_to_an_end() -> None:
    assert taken("a", known(package("a", "1", "b"), package("b", "1", "a"))) == ["b 1", "a 1"]
    chain = [package(f"p{number}", "1", f"p{number + 1}") for number in range(100)]
    assert len(taken("p0", known(*chain, package("p100", "1")))) == 101


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-e .", "requirements line 1: '-e .' is an option"),
        ("https://me:pw@host/a.tar.gz", "names an address"),
        ("a~=1.0", "'a~=1.0' is not an R package; allowed are names of R packages with versions"),
        ("a[extra]", "is not an R package"),
        ("a>=one", "is not an R package"),
    ],
)
def test_a_line_that_names_no_r_package_is_refused_with_its_number(line: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        r_demands(line)
    assert said in str(refused.value)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        (b"[]", "renv.lock is not what renv writes"),
        (b'{"Packages": {"a": {"Version": "1", "Source": "GitHub"}}}', "the package 'a' comes from 'GitHub'"),
        (b'{"Packages": {"a b": {"Version": "1"}}}', "renv.lock names 'a b' '1', which is no R package"),
    ],
)
def test_a_renv_lock_that_cannot_be_followed_says_why(lock: bytes, said: str) -> None:
    with pytest.raises(BuildFailed) as refused:
        renv_demands(lock)
    assert said in str(refused.value)


def test_a_lock_reads_as_it_is_written_also_one_without_packages_from_before() -> None:
    lock = RLock("4.2.2", "x86_64-pc-linux-gnu", {"jsonlite": "1.8.4"}, (Locked("a", "1.0-2", DIGEST),))
    assert parse_r_lock(str(lock)) == lock
    assert parse_r_lock("R 4.2.2 linux\njsonlite 1.8.4\n").packages == ()
    with pytest.raises(Invalid):
        parse_r_lock("flask==3.0 --hash=sha256:0\n")


async def test_a_lock_keeps_its_packages_when_the_machines_get_newer_and_is_made_anew_where_they_are_older(
    tmp_path: Path,
) -> None:
    smith, log = RLocksmith(Blobs(f"file://{tmp_path}/blobs"), Repository(None, {})), Lines().log
    wanted = (Demand("a", ((">=", "1.0"),)),)

    async def locked(**versions: str) -> dict[str, str]:
        on = machine(jsonlite="1.8.4", **versions)
        return dict((await smith.lock("e" * 24, wanted, on, "linux", tmp_path, log)).machine)

    assert (await locked(a="1.5"))["a"] == "1.5"
    assert (await locked(a="1.6"))["a"] == "1.6"
    assert (await locked(a="1.4"))["a"] == "1.4"
    with pytest.raises(BuildFailed, match=r"'a' is on this machine in version 0.9, and 'a>=1.0' is asked for"):
        await locked(a="0.9")
