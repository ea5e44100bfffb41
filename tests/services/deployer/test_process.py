"""What the process home promises beyond the port: sessions, environment, files, rights, memory, and no orphans."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from msgspec.structs import replace

from services.core.errors import Unavailable, WorkloadRejected
from services.core.ids import Digest, InstanceId
from services.core.languages import Language
from services.core.ports import Observed
from services.core.records import Bundle, Volume
from services.deployer.runtimes.process import procfs, spawn
from services.deployer.runtimes.process.output import ProcessOutput
from services.deployer.runtimes.process.runtime import ProcessRuntime, keeps_connections
from tests.instances import Bench, harness_processes, instance_id, mode_of, workload
from tests.makers import version_id
from tests.parts import wait_for, wait_until, wait_until_async

SYSTEM_PYTHON = "/usr/bin/python3"


@pytest_asyncio.fixture
async def runtime(bench: Bench) -> AsyncIterator[ProcessRuntime]:
    runtime = bench.runtime()
    yield runtime
    await runtime.stop_all(grace_s=0)
    runtime.close()


async def run(runtime: ProcessRuntime, bench: Bench, script: str, **changes: object) -> InstanceId:
    work = workload(await bench.desired(script, **changes))
    await runtime.ensure(work)
    return work.instance_id


async def ended(runtime: ProcessRuntime, instance: InstanceId) -> Observed:
    found: list[Observed] = []

    async def has_ended() -> bool:
        found[:] = [each for each in await runtime.observe() if each.instance_id == instance and not each.is_alive]
        return bool(found)

    await wait_until_async(has_ended, what="it ends")
    return found[0]


async def written(bench: Bench, instance: InstanceId, lines: int = 1) -> list[str]:
    output = ProcessOutput(bench.folders)
    texts: list[str] = []

    async def is_there() -> bool:
        texts[:] = [line.text for line in (await output.read(instance, is_final=True)).lines]
        return len(texts) >= lines

    await wait_until_async(is_there, what="it writes")
    return texts


async def test_an_instance_gets_its_own_environment_and_nothing_of_the_platforms(
    runtime: ProcessRuntime, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATS_PASSWORD", "hush")
    script = "import os; print(*sorted(os.environ)); print(os.environ['HOME']); print(os.environ['DOMINO_WORKING_DIR'])"
    variables = bench.sealed(COLOUR="red", HOME="/elsewhere")
    instance = await run(runtime, bench, script, environment_variables=variables)

    names, home, working_dir, *_ = await written(bench, instance, 3)

    given = {"COLOUR", "DOMINO_WORKING_DIR", "HOME", "LANG", "OMP_NUM_THREADS", "PATH", "PYTHONUNBUFFERED", "TMPDIR"}
    assert set(names.split()) - {"LC_CTYPE"} == given
    assert home == str(bench.folders.home(instance))
    assert working_dir.endswith("/mnt/ada/iris")


async def test_it_works_in_the_project_which_it_cannot_write(runtime: ProcessRuntime, bench: Bench) -> None:
    instance = await run(runtime, bench, "import os; print(os.getcwd()); print(sorted(os.listdir()))")
    folder, files, *_ = await written(bench, instance, 2)
    assert folder.startswith(str(bench.versions_dir))
    assert files == "['predict.py']"
    assert mode_of(Path(folder)) == 0o555
    assert mode_of(Path(folder, "predict.py")) == 0o444


async def test_the_files_are_unpacked_once_for_all_instances_of_a_version(
    runtime: ProcessRuntime, bench: Bench
) -> None:
    wanted = await bench.desired()
    await runtime.ensure(workload(wanted, "a"))
    (folder,) = bench.versions_dir.iterdir()
    before = folder.stat().st_ino
    await runtime.ensure(workload(wanted, "b"))
    assert [each.stat().st_ino for each in bench.versions_dir.iterdir()] == [before]


async def test_files_of_an_earlier_boot_are_unpacked_anew(runtime: ProcessRuntime, bench: Bench) -> None:
    wanted = await bench.desired("print('whole')")
    await runtime.ensure(workload(wanted, "a"))
    (folder,) = bench.versions_dir.iterdir()
    (folder / "boot").write_text("another boot")
    script = folder / "mnt" / "ada" / "iris" / "predict.py"
    script.chmod(0o644)
    script.write_text("")  # as a power cut may leave it

    await runtime.ensure(workload(wanted, "b"))

    assert script.read_text() == "print('whole')"


async def test_whatever_an_instance_started_ends_with_it(runtime: ProcessRuntime, bench: Bench) -> None:
    script = (
        "import subprocess\n"
        "subprocess.Popen(['sleep', '600'])\n"
        "subprocess.Popen(['setsid', 'sleep', '600'])\n"
        "subprocess.Popen(['sh', '-c', 'setsid sleep 600 &'])\n"
        "print('started')"
    )
    instance = await run(runtime, bench, script)
    await written(bench, instance)
    await wait_until(lambda: len(harness_processes(bench.instances_dir)) == 4, what="all four run")

    await runtime.stop(instance, grace_s=1)

    assert harness_processes(bench.instances_dir) == []


async def test_an_instance_that_does_not_listen_to_its_end_is_made_to(runtime: ProcessRuntime, bench: Bench) -> None:
    instance = await run(runtime, bench, "import signal; signal.signal(15, signal.SIG_IGN); print('deaf')")
    await written(bench, instance)
    await runtime.stop(instance, grace_s=0.1)
    assert harness_processes(bench.instances_dir) == []


@pytest.mark.parametrize(
    ("language", "harness_version", "keeps"),
    [
        (Language.PYTHON, "0.2.0", True),
        (Language.PYTHON, "0.10", True),
        (Language.PYTHON, "0.1.0", False),
        (Language.R, "0.2.0", False),
    ],
)
def test_connections_are_kept_to_harnesses_whose_supervisor_answers_for_its_workers(
    language: Language, harness_version: str, keeps: bool
) -> None:
    digest = Digest("0" * 64)
    bundle = Bundle(files=digest, environment=digest, lock=digest, language=language, harness_version=harness_version)
    assert keeps_connections(bundle) is keeps


async def test_an_instance_of_a_python_function_keeps_connections_also_for_the_next_deployer(
    runtime: ProcessRuntime, bench: Bench
) -> None:
    await run(runtime, bench, "")
    assert [each.keeps_connections for each in await bench.runtime().observe()] == [True]


async def test_an_instance_killed_from_outside_is_told_by_its_signal(runtime: ProcessRuntime, bench: Bench) -> None:
    instance = await run(runtime, bench, "")
    os.kill(harness_processes(bench.instances_dir)[0], signal.SIGKILL)
    assert (await ended(runtime, instance)).exit_reason == "was killed by SIGKILL"


async def test_an_adopted_instance_that_ends_has_no_known_reason(runtime: ProcessRuntime, bench: Bench) -> None:
    instance = await run(runtime, bench, "")
    successor = bench.runtime()
    assert [each.is_alive for each in await successor.observe()] == [True]
    await wait_until(lambda: bool(harness_processes(bench.instances_dir)))
    os.kill(harness_processes(bench.instances_dir)[0], signal.SIGKILL)
    seen = await ended(successor, instance)
    successor.close()
    assert (seen.exit_reason, seen.was_stopped) == ("", False)


async def test_a_process_started_by_a_deployer_that_died_before_writing_it_down_is_adopted(
    runtime: ProcessRuntime, bench: Bench
) -> None:
    instance = await run(runtime, bench, "")
    record = next(iter(bench.folders.load()))
    bench.folders.save(replace(record, process=None))  # as it stood just before the process was started

    successor = bench.runtime()
    observed = await successor.observe()
    await successor.stop(instance, grace_s=1)
    successor.close()

    assert [each.is_alive for each in observed] == [True]
    assert harness_processes(bench.instances_dir) == []


async def test_a_process_of_another_home_that_has_the_same_id_is_not_adopted(
    runtime: ProcessRuntime, bench: Bench, tmp_path: Path
) -> None:
    instance = await run(runtime, bench, "")
    record = next(iter(bench.folders.load()))
    here = Bench(tmp_path / "here", tmp_path / "s")
    here.folders.create(instance, None)
    here.folders.save(replace(record, process=None))

    successor = here.runtime()
    (seen,) = await successor.observe()
    assert (seen.is_alive, seen.was_stopped) == (False, True)
    assert await successor.stop_all(grace_s=0) == 0
    await successor.forget(instance)
    successor.close()

    assert [each.is_alive for each in await runtime.observe()] == [True]


async def test_a_start_that_was_cut_short_before_its_process_is_nobodys_fault(bench: Bench) -> None:
    runtime = bench.runtime()
    await run(runtime, bench, "")
    record = next(iter(bench.folders.load()))
    await runtime.stop_all(grace_s=0)
    bench.folders.save(replace(record, process=None))

    successor = bench.runtime()
    (seen,) = await successor.observe()
    assert (seen.is_alive, seen.was_stopped) == (False, True)
    for each in (runtime, successor):
        each.close()


def test_a_process_id_of_another_boot_or_start_is_not_taken_for_ours(bench: Bench) -> None:
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        identity = procfs.identify(stranger.pid)
        assert identity is not None
        assert procfs.is_alive(identity)
        older = procfs.Process(identity.boot_id, identity.pid, identity.start_ticks - 1)
        procfs.send(older, signal.SIGKILL)
        procfs.send(procfs.Process("another boot", identity.pid, identity.start_ticks), signal.SIGKILL)
        assert procfs.members(older, procfs.table()) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen(["true"])
    identity = procfs.identify(child.pid)
    assert identity is not None
    wait_for(lambda: not procfs.is_alive(identity), what="it is a zombie")
    child.wait()


async def test_memory_of_all_its_processes_is_measured(runtime: ProcessRuntime, bench: Bench) -> None:
    script = (
        "import os, time\nx = b'x' * (40 << 20)\nif os.fork() == 0:\n    y = b'y' * (40 << 20)\n    time.sleep(600)\n"
    )
    instance = await run(runtime, bench, script)

    async def is_measured() -> bool:
        return any(
            each.instance_id == instance and 80 << 20 < each.memory_bytes < 150 << 20
            for each in await runtime.observe()
        )

    await wait_until_async(is_measured, what="its memory is known")


async def test_stop_all_finds_instances_whose_folder_is_lost(runtime: ProcessRuntime, bench: Bench) -> None:
    await run(runtime, bench, "")
    await asyncio.to_thread(shutil.rmtree, bench.instances_dir)
    successor = bench.runtime()
    assert await successor.stop_all(grace_s=0) == 1
    successor.close()
    assert harness_processes(bench.instances_dir) == []


async def test_a_missing_environment_or_artifact_is_one_sentence(runtime: ProcessRuntime, bench: Bench) -> None:
    gone = await bench.artifact("", environment=Digest("f" * 64))
    wanted = await bench.desired()
    with pytest.raises(Unavailable, match="is not on this machine; it is made anew if that can be"):
        await runtime.ensure(workload(replace(wanted, artifact=gone)))
    with pytest.raises(WorkloadRejected, match="not in the blob store"):
        await runtime.ensure(workload(replace(wanted, artifact=Digest("1" * 64))))


async def test_volumes_are_refused_in_one_sentence(runtime: ProcessRuntime, bench: Bench) -> None:
    volume = Volume(name="data", mount_path="/data", host_path="/srv/data")
    with pytest.raises(
        WorkloadRejected, match="volumes cannot be mounted here: instances are processes of this machine"
    ):
        await runtime.ensure(workload(await bench.desired(volumes=(volume,))))
    assert await runtime.observe() == []


async def test_the_example_is_told_in_a_file_that_only_the_platform_and_the_instance_may_read(
    runtime: ProcessRuntime, bench: Bench
) -> None:
    instance = await run(runtime, bench, "", example_input='{"data": {"x": 1}}')
    (found,) = await runtime.observe()
    settings = bench.folders.of(instance) / "instance.json"
    assert json.loads(settings.read_text())["example_input"] == '{"data": {"x": 1}}'
    assert json.loads(settings.read_text())["memory_bytes"] == found.memory_limit_bytes > 0
    assert mode_of(settings) == 0o600


async def test_variables_that_cannot_be_opened_here_are_one_sentence_without_a_value(
    runtime: ProcessRuntime, bench: Bench
) -> None:
    for sealed in ("in clear", "", "é"):
        wanted = await bench.desired(environment_variables=(("PASSWORD", sealed),))
        with pytest.raises(WorkloadRejected, match="the model's environment variables cannot be opened") as refused:
            await runtime.ensure(workload(wanted))
        assert "in clear" not in refused.value.reason
    assert not bench.instances_dir.exists() or not list(bench.instances_dir.iterdir())


async def test_a_tar_that_reaches_out_of_its_folder_is_refused(runtime: ProcessRuntime, bench: Bench) -> None:
    wanted = await bench.desired(version_id=version_id(2))
    artifact = await bench.artifact("", files={"../../../../../outside": "x"})
    with pytest.raises(WorkloadRejected, match="cannot be unpacked"):
        await runtime.ensure(workload(replace(wanted, artifact=artifact)))


async def test_last_words_are_read_without_following_what_the_instance_laid_out(
    runtime: ProcessRuntime, bench: Bench, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text('{"reason": "a secret"}')
    script = f"import os; os.symlink({str(secret)!r}, os.environ['HOME'] + '/exit.json'); os._exit(4)"
    instance = await run(runtime, bench, script)
    assert (await ended(runtime, instance)).exit_reason == "ended with exit status 4"


async def test_last_words_in_a_pipe_hold_nobody_up(runtime: ProcessRuntime, bench: Bench) -> None:
    instance = await run(runtime, bench, "import os; os.mkfifo(os.environ['HOME'] + '/exit.json'); os._exit(4)")
    assert (await ended(runtime, instance)).exit_reason == "ended with exit status 4"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start processes of other users")
@pytest.mark.skipif(not Path(SYSTEM_PYTHON).exists(), reason="needs an interpreter that every user may run")
class TestAsRoot:
    @pytest.fixture
    def open_bench(self) -> Iterator[Bench]:
        folder = Path("/tmp", f"modelway-test-{os.getpid()}")
        folder.mkdir(mode=0o711)
        bench = Bench(folder / "b", folder / "s")
        (folder / "b").chmod(0o711)
        bench.environments_dir.chmod(0o755)
        bench.install(SYSTEM_PYTHON)
        yield bench
        shutil.rmtree(folder)

    async def test_a_process_that_hides_from_its_instance_ends_with_it_all_the_same(self, open_bench: Bench) -> None:
        """Another session, no parent, no environment, another name: what it cannot put off is its group."""
        runtime = open_bench.runtime(range(61000, 61100))
        hides = (
            "import os, sys\n"
            "if os.fork() == 0:\n"
            "    os.setsid()\n"
            "    if os.fork() == 0:\n"
            "        os.execve('/bin/sleep', ['in-hiding', '1000'], {})\n"
            "    os._exit(0)\n"
            "os.wait()\n"
            "print('hidden')\n"
        )
        instance = await run(runtime, open_bench, hides)
        neighbour = await run(runtime, open_bench, hides, version_id=version_id(2))
        await written(open_bench, instance)
        await written(open_bench, neighbour)
        await wait_until(lambda: len(_hidden()) == 2)
        await runtime.stop(instance, grace_s=1)
        assert len(_hidden()) == 1
        await runtime.stop_all(grace_s=1)
        runtime.close()
        assert _hidden() == []

    def test_what_a_deployer_starts_can_fork_and_open_files_up_to_a_limit(self) -> None:
        assert (spawn.TASKS, spawn.OPEN_FILES) == (4096, 8192)  # as the documentation says
        program = (
            "import errno, os, signal\n"
            "made = []\n"
            "try:\n"
            "    while len(made) < 500:\n"
            "        made.append(os.fork() or signal.pause())\n"
            "except OSError as error: print(10 < len(made) < 31, errno.errorcode[error.errno])\n"
            "for pid in made: os.kill(pid, 9)\n"
            "try:\n"
            "    kept = [open('/dev/null') for _ in range(500)]\n"
            "except OSError as error: print(errno.errorcode[error.errno])\n"
        )
        deployer = (
            "import subprocess\n"
            "from services.deployer.runtimes.process.spawn import limit_instances\n"
            "limit_instances(have_own_users=True, open_files=60, tasks=30)\n"
            f"arguments = [{SYSTEM_PYTHON!r}, '-c', {program!r}]\n"
            "subprocess.run(arguments, user=61500, group=61500, extra_groups=[], cwd='/')\n"
        )
        done = subprocess.run([sys.executable, "-c", deployer], capture_output=True, text=True, timeout=30, check=True)
        assert done.stdout.split("\n")[:2] == ["True EAGAIN", "EMFILE"], done.stderr

    async def test_an_instance_drops_to_a_user_of_its_model_and_can_gain_no_rights(self, open_bench: Bench) -> None:
        runtime = open_bench.runtime(range(61000, 61100))
        script = (
            "import os, sys\n"
            "assert open(sys.argv[sys.argv.index('--config') + 1]).read()\n"
            "print(os.getuid() in range(61000, 61100), os.getuid() == os.getgid())\n"
            "print(len(os.getgroups()), os.getgroups()[0] in range(61100, 61200))\n"
            "status = open('/proc/self/status').read()\n"
            "print('NoNewPrivs:\\t1' in status)\n"
            "print(open('predict.py').read()[:9], os.access('.', os.W_OK), os.access('predict.py', os.W_OK))\n"
        )
        instance = await run(runtime, open_bench, script)
        texts = await written(open_bench, instance, 4)
        second = workload(await open_bench.desired(script), "second")
        await runtime.ensure(second)
        others = await written(open_bench, second.instance_id, 4)
        sockets = open_bench.sockets_dir / instance
        assert mode_of(open_bench.folders.of(instance) / "instance.json") == 0o640
        await runtime.stop_all(grace_s=1)
        runtime.close()

        assert texts == ["True True", "1 True", "True", "import os False False"]
        assert others == texts
        assert mode_of(sockets) == 0o700
        assert mode_of(next(open_bench.versions_dir.iterdir())) == 0o750
        assert harness_processes(open_bench.instances_dir) == []

    async def test_models_have_users_of_their_own(self, open_bench: Bench) -> None:
        runtime = open_bench.runtime(range(61000, 61002))
        uids = []
        for number, model in enumerate(("a" * 24, "b" * 24), start=1):
            work = workload(
                await open_bench.desired("import os; print(os.getuid())", version_id=version_id(number), model_id=model)
            )
            await runtime.ensure(work)
            uids += await written(open_bench, work.instance_id)
        await runtime.stop_all(grace_s=1)
        runtime.close()
        assert sorted(uids) == ["61000", "61001"]


def test_ids_of_instances_make_short_socket_paths(bench: Bench) -> None:
    (path,) = bench.folders.sockets(instance_id(version_id(1)), 1)
    assert path.startswith(str(bench.sockets_dir))
    with pytest.raises(WorkloadRejected, match="too long a path"):
        bench.folders.sockets(InstanceId("x" * 100), 1)


def _hidden() -> list[int]:
    found = []
    for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdecimal()):
        try:
            is_it = Path("/proc", str(pid), "cmdline").read_bytes().startswith(b"in-hiding\0")
        except OSError:
            continue
        if is_it:
            found.append(pid)
    return found
