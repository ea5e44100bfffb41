"""This file walks through the official client: it runs the program beside it, in the environment tests/locks has."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.peers import peer

PROGRAM = Path(__file__).with_name("official_client.py")
STEPS = PROGRAM.read_text().count("\n@step\n")
WALKED_WITHIN_S = 120.0


def walk(url: str, *, user_name: str, key: str, colleague: str) -> dict[str, str]:
    """What went wrong, by the names of the steps; all of them were taken. `colleague` is NAME with NAME@example.org."""
    own = {"DOMINO_API_HOST": url, "DOMINO_USER_NAME": user_name, "DOMINO_USER_API_KEY": key, "COLLEAGUE": colleague}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    walked = subprocess.run(
        [peer("dominodatalab"), "-P", PROGRAM],  # -P: the modules beside the program are not its own
        env={**kept, **own, "DOMINO_LOG_LEVEL": "CRITICAL"},
        capture_output=True,
        text=True,
        timeout=WALKED_WITHIN_S,
        check=False,
    )
    assert walked.returncode == 0, walked.stderr
    steps = [json.loads(line) for line in walked.stdout.splitlines()]
    assert len(steps) == STEPS > 0
    return {each["step"]: each["fault"] for each in steps if each["fault"] is not None}
