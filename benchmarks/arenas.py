"""This file starts the servers of the comparison: each in its own environment, on an address of its own, afresh."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.instance_alone import write_config
from benchmarks.processes import REPOSITORY, started
from benchmarks.router_alone import Crowd, instance_of, model_of, serving
from benchmarks.tasks import TASKS
from tests.parts import free_port

__all__ = ["Arena", "Service", "model_of"]

SERVERS = Path(__file__).with_name("servers")
_HARNESS = REPOSITORY / "harness" / "python" / "src"
_PREPARING_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Service:
    """Where each function answers, and what runs for it."""

    addresses: Mapping[str, str]
    processes: Sequence[psutil.Process]


@dataclass(kw_only=True)
class Arena:
    """Where one server runs for one round: what is started ends with `parts`. `kept` is the same in all rounds."""

    parts: AsyncExitStack
    folder: Path
    kept: Path
    python: Path
    _count: int = field(default=0, init=False)

    def start(self, *command: str, **environment: str) -> psutil.Process:
        """A process in this environment; its programs come first on the path."""
        self._count += 1
        own = ExitStack()
        self.parts.push(own.__exit__)
        log = self.folder / f"{self._count}.log"
        return started(own, log, [str(self.python.with_name(command[0])), *command[1:]], self.environment(environment))

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        """One thread for linear algebra: a server has one worker. Nobody is told that it runs."""
        own = {
            "PATH": f"{self.python.parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "PYTHONPATH": str(SERVERS),
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "DO_NOT_TRACK": "true",
        }
        return {**own, **more}

    def log(self) -> str:
        """The end of what was said last."""
        logs = sorted(self.folder.glob("*.log"), key=lambda each: each.stat().st_mtime)
        return logs[-1].read_text(errors="replace")[-500:] if logs else ""


def _everywhere(port: int) -> dict[str, str]:
    return {task.function: f"127.0.0.1:{port}" for task in TASKS}


async def mosec(arena: Arena, script: str = "mosec_server.py") -> Service:
    port = free_port()
    where = ("--address", "127.0.0.1", "--port", str(port))
    process = arena.start("python", str(SERVERS / script), *where, "--log-level", "warning", "--timeout", "30000")
    return Service(addresses=_everywhere(port), processes=[process])


async def mosec_orjson(arena: Arena) -> Service:
    return await mosec(arena, "mosec_orjson_server.py")


async def fastapi(arena: Arena, app: str = "fastapi_app:app") -> Service:
    port = free_port()
    where = ("--host", "127.0.0.1", "--port", str(port))
    process = arena.start("uvicorn", app, *where, "--no-access-log", "--log-level", "warning")
    return Service(addresses=_everywhere(port), processes=[process])


async def fastapi_threads(arena: Arena) -> Service:
    return await fastapi(arena, "fastapi_threads_app:app")


async def litserve(arena: Arena) -> Service:
    port = free_port()
    process = arena.start("python", str(SERVERS / "litserve_server.py"), str(port))
    return Service(addresses=_everywhere(port), processes=[process])


async def bentoml(arena: Arena) -> Service:
    port = free_port()
    command = ("bentoml", "serve", "bentoml_service:Functions", "--working-dir", str(SERVERS))
    process = arena.start(*command, "--host", "127.0.0.1", "--port", str(port), BENTOML_DO_NOT_TRACK="True")
    return Service(addresses=_everywhere(port), processes=[process])


async def mlserver(arena: Arena) -> Service:
    settings = {
        "debug": False,
        "host": "127.0.0.1",
        "http_port": free_port(),
        "grpc_port": free_port(),
        "metrics_endpoint": None,
        "parallel_workers": 0,
    }
    (arena.folder / "settings.json").write_text(json.dumps(settings))
    for task in TASKS:
        model = arena.folder / "models" / task.function
        model.mkdir(parents=True)
        implementation = f"mlserver_models.{task.function.title()}"
        (model / "model-settings.json").write_text(
            json.dumps({"name": task.function, "implementation": implementation})
        )
    process = arena.start("mlserver", "start", str(arena.folder))
    return Service(addresses=_everywhere(int(str(settings["http_port"]))), processes=[process])


async def mlflow(arena: Arena) -> Service:
    quiet = {"UVICORN_ACCESS_LOG": "false", "UVICORN_LOG_LEVEL": "warning", "MLFLOW_DISABLE_TELEMETRY": "true"}
    addresses, processes = {}, []
    for task in TASKS:
        model, port = arena.kept / task.function, free_port()
        if not model.exists():
            command = [str(arena.python), str(SERVERS / "mlflow_models.py"), task.function, str(model)]
            environment = arena.environment(quiet)
            await asyncio.to_thread(
                subprocess.run, command, env=environment, check=True, capture_output=True, timeout=_PREPARING_S
            )
        serve = ("mlflow", "models", "serve", "-m", str(model), "-h", "127.0.0.1", "-p", str(port), "-w", "1")
        processes.append(arena.start(*serve, "--env-manager", "local", **quiet))
        addresses[task.function] = f"127.0.0.1:{port}"
    return Service(addresses=addresses, processes=processes)


async def instances(arena: Arena) -> Service:
    processes = [_instance(arena, number, "-m", "modelway_harness") for number in range(len(TASKS))]
    addresses = {task.function: str(_socket(arena, number)) for number, task in enumerate(TASKS)}
    return Service(addresses=addresses, processes=processes)


async def instances_on_tcp(arena: Arena) -> Service:
    ports = [free_port() for _ in TASKS]
    launcher = str(SERVERS / "modelway_over_tcp.py")
    processes = [_instance(arena, number, launcher, str(port)) for number, port in enumerate(ports)]
    addresses = {task.function: f"127.0.0.1:{port}" for task, port in zip(TASKS, ports, strict=True)}
    return Service(addresses=addresses, processes=processes)


async def instances_behind_the_router(arena: Arena) -> Service:
    """Each is the only one of a model, which goes by the number of its task."""
    processes: list[psutil.Process] = []

    @contextmanager
    def behind(_: Sequence[str]) -> Iterator[None]:
        processes.extend(_instance(arena, number, "-m", "modelway_harness") for number in range(len(TASKS)))
        yield

    crowd = Crowd(models=len(TASKS), instances=1, sockets=len(TASKS))
    router = await arena.parts.enter_async_context(serving(arena.folder, crowd, behind=behind))
    processes += [router.processes["haproxy"], router.processes["router"]]
    return Service(addresses=_everywhere(router.port), processes=processes)


def _socket(arena: Arena, number: int) -> Path:
    return arena.folder / f"{number}.sock"  # where `serving` looks for it


def _instance(arena: Arena, number: int, *launcher: str) -> psutil.Process:
    function, name = TASKS[number].function, instance_of(number, 0)
    folder = arena.folder / function
    folder.mkdir()
    config = write_config(folder, SERVERS / "functions.py", function, _socket(arena, number), name)
    return arena.start("python", *launcher, "--instance", name, "--config", str(config), PYTHONPATH=str(_HARNESS))
