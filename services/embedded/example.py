"""This file publishes examples/iris and calls it, in the way a person would: with the command line."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from services.embedded import credentials
from services.embedded.home import Home
from services.embedded.parts import REPOSITORY, find
from services.embedded.programs import ADMINISTRATOR
from services.embedded.progress import Progress
from services.embedded.trouble import Trouble

NAME = "iris"
FOLDER = REPOSITORY / "examples" / NAME
BODY = '{"data": {"sepal_length": 6.3, "sepal_width": 2.9, "petal_length": 5.6, "petal_width": 1.8}}'
_COMMAND_S = 60.0
_PUBLISH_S = 1800.0
_RUNNING_S = 360.0
_CALL_S = 60.0


@dataclass(frozen=True)
class Shown:
    """The example as it answers now; without an `answer` it was stopped by a person."""

    endpoint: str
    curl: str
    answer: str


def publish_and_call(home: Home, progress: Progress) -> Shown:
    """The example, published if it is not there yet, and its answer to a call. Raises Trouble."""
    model = _find(home)
    if model is None or model["status"] == "Failed" or model["version"] is None:
        progress.step(f"Publishing {FOLDER.relative_to(REPOSITORY)}; the first time takes a minute or two")
        _publish(home)
    elif model["status"] != "Running":
        model = _wait_until_running(home, progress)
    shown = _modelway(home, "show", NAME)
    if model is not None and model["status"] == "Stopped":
        return Shown(shown["endpoint"], _curl(shown["curl"]), "")
    progress.step(f"Calling {NAME}")
    line = _curl(shown["curl"])
    return Shown(shown["endpoint"], line, _call(home, "predict" if line.startswith("curl") else "invoke"))


def say_how_to_go_on(home: Home, url: str, shown: Shown | None, progress: Progress) -> None:
    """The lines that `up` ends with, the same every time."""
    own = "" if home.root == REPOSITORY / ".modelway" else f" MODELWAY_HOME={shlex.quote(str(home.root))}"
    config = f"MODELWAY_CONFIG={shlex.quote(str(home / 'cli.toml'))} " if own else ""
    lines = [("Modelway runs at", url)]
    if shown is not None:
        lines += [("endpoint", shown.endpoint), ("call it", shown.curl)]
        stopped = f"nothing, it is stopped; start it with: {config}.venv/bin/modelway start {NAME}"
        lines += [("it answers", shown.answer or stopped)]
    lines += [
        ("command line", f"{config}.venv/bin/modelway --help"),
        ("in a browser", sign_in(home)),
        ("logs", str(home / "logs")),
        ("stop", f"make down{own}"),
    ]
    progress.say()
    for label, text in lines:
        progress.say(f"{label + ':':<18}{text}")


def sign_in(home: Home) -> str:
    """As whom, and where the password is: a file, so that it is on no screen and in no log."""
    password = credentials.administrator_password(home)
    return f"sign in as {ADMINISTRATOR}, with the password in {password} until another one is set"


def _find(home: Home) -> dict[str, Any] | None:
    models: list[dict[str, Any]] = _modelway(home, "list")
    return next((model for model in models if model["name"] == NAME), None)


def _publish(home: Home) -> None:
    command = [
        *("publish", str(FOLDER), "--name", NAME, "--file", "model.py", "--function", "predict"),
        *("--requirements", str(FOLDER / "requirements.txt"), "--example", BODY),
    ]
    # Its progress goes straight to the terminal; what it answers is asked for again by `show`.
    done = subprocess.run(
        [str(find("modelway")), *command],
        env=_environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=_PUBLISH_S,
        check=False,
    )
    if done.returncode != 0:
        raise Trouble(f"Modelway runs, but examples/{NAME} could not be published; the reason stands above.")


def _wait_until_running(home: Home, progress: Progress) -> dict[str, Any]:
    """The example once it is at rest again: running, or stopped as it was before."""
    deadline = time.monotonic() + _RUNNING_S
    said = ""
    while True:
        model = _find(home)
        status = model["status"] if model else "gone"
        if model is not None and status in {"Running", "Stopped"}:
            return model
        if status == "Failed" or time.monotonic() > deadline:
            raise Trouble(
                f"Modelway runs, but {NAME} does not: its status is {status}. Its log may say why: "
                f".venv/bin/modelway logs {NAME} --kind deployment"
            )
        if status != said:
            progress.step(f"{NAME}: {status}")
            said = status
        time.sleep(0.5)


def _call(home: Home, how: str) -> str:
    """By its access token, or without one where none can be shown."""
    deadline = time.monotonic() + _CALL_S
    while True:
        done = _run(home, how, NAME, BODY, "--json")
        if done.returncode == 0:
            return json.dumps(json.loads(done.stdout)["result"])
        if time.monotonic() > deadline:
            raise Trouble(f"Modelway runs, but {NAME} gives no answer: {done.stderr.strip()}")
        time.sleep(0.5)


def _curl(line: str) -> str:
    """The curl line with the example's own input in place of the one that fits every function."""
    words = shlex.split(line)
    words[words.index("-d") + 1 if "-d" in words else -1] = BODY
    return shlex.join(words)


def _modelway(home: Home, *arguments: str) -> Any:
    done = _run(home, *arguments, "--json")
    if done.returncode != 0:
        raise Trouble(f"Modelway runs, but `modelway {arguments[0]}` failed: {done.stderr.strip()}")
    return json.loads(done.stdout)


def _run(home: Home, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(find("modelway")), *arguments],
        env=_environment(home),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=_COMMAND_S,
        check=False,
    )


def _environment(home: Home) -> dict[str, str]:
    return {**os.environ, "MODELWAY_CONFIG": str(home / "cli.toml")}
