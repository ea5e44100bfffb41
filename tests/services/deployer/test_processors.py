"""How much of the processors an instance may use: where a control group can be made, and that it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.deployer.runtimes.process.processors import Base, Processors, find_base, this_machine
from services.deployer.runtimes.process.runtime import ProcessRuntime
from tests.instances import Bench, workload
from tests.parts import wait_until

OLD = "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n"
NEW = "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\n"


def test_with_the_older_kind_of_groups_ours_are_made_below_our_own() -> None:
    base = find_base("4:cpu,cpuacct:/docker/abc\n0::/\n", OLD, lambda _: True)
    assert base == Base(Path("/sys/fs/cgroup/cpu,cpuacct/docker/abc"), is_unified=False)


def test_with_the_newer_kind_the_nearest_group_that_hands_the_controller_down_is_taken() -> None:
    tried: list[Path] = []

    def can_make(base: Base) -> bool:
        tried.append(base.folder)
        return base.folder == Path("/sys/fs/cgroup/user.slice")

    base = find_base("0::/user.slice/app.service\n", NEW, can_make)
    assert base == Base(Path("/sys/fs/cgroup/user.slice"), is_unified=True)
    assert tried == [Path("/sys/fs/cgroup/user.slice/app.service"), Path("/sys/fs/cgroup/user.slice")]


@pytest.mark.parametrize("mounts", ["", OLD, NEW])
def test_where_no_group_can_be_made_there_is_no_base(mounts: str) -> None:
    assert find_base("4:cpu,cpuacct:/\n0::/a/b\n", mounts, lambda _: False) is None


async def test_where_nothing_can_be_limited_one_sentence_says_so(bench: Bench) -> None:
    runtime = bench.runtime()
    said = runtime.concessions(await bench.desired(cpu_limit=1.5))
    assert said == (
        "processors are not limited here, at most 1.5 of them were asked for: "
        "this machine lets us make no control group",
    )
    assert runtime.concessions(await bench.desired()) == ()
    runtime.close()


@pytest.mark.skipif(this_machine() is None, reason="needs a machine on which control groups can be made")
async def test_an_instance_is_held_to_its_limit_and_its_group_goes_with_it(bench: Bench) -> None:
    base = this_machine()
    assert base is not None
    groups = Processors(base, bench.instances_dir)
    runtime: ProcessRuntime = bench.runtime(processors=groups)
    work = workload(await bench.desired("while True: pass", cpu_limit=0.2, cpu_requested=0.1))
    try:
        await runtime.ensure(work)
        assert runtime.concessions(work.desired) == ()
        (group,) = base.folder.glob(f"modelway-*-{work.instance_id}")
        await wait_until(lambda: throttled(group) > 2, what="it is held back")
    finally:
        await runtime.forget(work.instance_id)
        runtime.close()
    assert not group.exists()


def throttled(group: Path) -> int:
    told = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(told["nr_throttled"])
