"""This file is instances for tests: a small program in place of the harness, with a process runtime to run it in.

The stand-in keeps the harness's contract (command line, instance.json, exit file, sockets, `/health`) and starts in a
tenth of a second. The project's script is executed before it listens; `/health` answers with the status that the
script's global `health` has, or that the file `health` in HOME says.
"""

from __future__ import annotations

import io
import os
import stat
import sys
import tarfile
from pathlib import Path

from cryptography.fernet import Fernet
from msgspec.structs import replace

from services.core.ids import Digest, InstanceId, VersionId
from services.core.ports import Workload
from services.core.records import Bundle, Desired, HealthCheck, Target
from services.deployer.runtimes.process.folders import Folders
from services.deployer.runtimes.process.owners import Owners
from services.deployer.runtimes.process.processors import Processors
from services.deployer.runtimes.process.runtime import ProcessRuntime
from services.deployer.runtimes.process.version_files import VersionFiles
from services.kit.blobs import Blobs
from services.kit.config import Secret
from services.kit.vault import Vault
from tests.makers import MODEL_ID, version_id

ENVIRONMENT = Digest("e" * 64)

STAND_IN = """
import argparse, json, os, pathlib, socketserver, sys, threading, traceback
from http.server import BaseHTTPRequestHandler

parser = argparse.ArgumentParser()
parser.add_argument("-m", dest="module")
parser.add_argument("--instance")
parser.add_argument("--config")
arguments = parser.parse_args()
assert arguments.module == "modelway_harness"
config = json.loads(pathlib.Path(arguments.config).read_text())
assert config["instance_id"] == arguments.instance
script = {"__name__": "script", "health": 200}
try:
    path = pathlib.Path(config["project_dir"], config["file"])
    exec(compile(path.read_text(), str(path), "exec"), script)
except Exception as error:
    words = {"reason": f"{config['file']} cannot be imported: {error}", "detail": traceback.format_exc(), "kind": "x"}
    pathlib.Path(config["exit_file"]).write_text(json.dumps(words))
    sys.exit(3)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        told = pathlib.Path(os.environ["HOME"], "health")
        status = int(told.read_text()) if told.exists() else script["health"]
        if not self.headers["X-Modelway-Server"].startswith(config["instance_id"] + "."):
            status = 421
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"{}")

    def address_string(self):
        return "unix"

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


servers = [Server(path, Handler) for path in config["sockets"]]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever, daemon=True).start()
servers[0].serve_forever(0.05)
"""


class Bench:
    """Folders, blobs and an environment for process instances, below one folder."""

    def __init__(self, folder: Path, sockets_dir: Path) -> None:
        self.blobs_url = f"file://{folder / 'blobs'}"
        self.instances_dir = folder / "instances"
        self.versions_dir = folder / "versions"
        self.environments_dir = folder / "environments"
        self.sockets_dir = sockets_dir
        self.blobs = Blobs(self.blobs_url)
        self.variable_keys = Fernet.generate_key().decode()
        self.vault = Vault.from_text(Secret(self.variable_keys), "VARIABLE_KEYS")
        self.folders = Folders(self.instances_dir, sockets_dir)
        self.install(sys.executable)

    def install(self, interpreter: str) -> None:
        """Make the environment's `python` the stand-in, run by `interpreter`."""
        python = self.environments_dir / ENVIRONMENT / "bin" / "python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text(f"#!{interpreter}\n{STAND_IN}")
        python.chmod(0o755)

    def runtime(self, uids: range = range(0), processors: Processors | None = None) -> ProcessRuntime:
        """A runtime as a deployer that has just been started would have."""
        files = VersionFiles(self.versions_dir, self.environments_dir, self.blobs)
        owners = Owners(self.instances_dir / "owners.json", uids)
        return ProcessRuntime(self.folders, files, owners, self.vault, processors)

    def sealed(self, **variables: str) -> tuple[tuple[str, str], ...]:
        """Environment variables as the bus carries them."""
        return tuple((name, self.vault.seal(value)) for name, value in variables.items())

    async def artifact(
        self, script: str, *, files: dict[str, str] | None = None, environment: Digest = ENVIRONMENT
    ) -> Digest:
        """The digest of a bundle whose project holds predict.py with `script`."""
        tar = await self.blobs.put(tar_of({"predict.py": script, **(files or {})}))
        bundle = Bundle(files=tar, environment=environment, lock=Digest("0" * 64), harness_version="0.2.0")
        return await self.blobs.put_document(bundle)

    async def desired(self, script: str = "", **changes: object) -> Desired:
        """One instance of `script`, wanted now."""
        return desired(await self.artifact(script), **changes)


def desired(artifact: Digest, **changes: object) -> Desired:
    made = Desired(
        revision=1,
        model_id=MODEL_ID,
        version_id=version_id(1),
        version_number=1,
        generation=1,
        target=Target.RUNNING,
        instances=1,
        artifact=artifact,
        user_name="ada",
        project_name="iris",
        file="predict.py",
        function="predict",
        memory_bytes=1 << 30,
        request_timeout_s=1.0,
        start_deadline_s=60.0,
        health_check=HealthCheck(period_s=0.2, timeout_s=2.0, failure_threshold=6),
    )
    return replace(made, **changes)


def workload(wanted: Desired, name: str = "a") -> Workload:
    return Workload(instance_id=instance_id(wanted.version_id, name, wanted.generation), desired=wanted, grace_s=2.0)


def instance_id(version: VersionId, name: str = "a", generation: int = 1) -> InstanceId:
    return InstanceId(f"{version[-8:]}-{generation}-{name}")


def tar_of(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


def harness_processes(instances_dir: Path) -> list[int]:
    """Every process on this machine that works for an instance below `instances_dir`."""
    marks = (f"HOME={instances_dir}/".encode(), f"{instances_dir}/".encode())
    found = []
    for pid in (entry for entry in os.listdir("/proc") if entry.isdecimal()):
        try:
            environment = Path("/proc", pid, "environ").read_bytes()
            state = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if marks[0] in environment and state not in "ZX":
            found.append(int(pid))
    return found


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
