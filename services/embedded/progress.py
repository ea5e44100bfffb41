"""This file is what a person sees while the platform starts: a line for each step, with the seconds since the start."""

from __future__ import annotations

import sys
import time
from typing import TextIO


class Progress:
    """Writes lines at once, also into a pipe."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._began = time.monotonic()

    def step(self, text: str) -> None:
        self._write(f"[{time.monotonic() - self._began:6.1f} s] {text}")

    def say(self, text: str = "") -> None:
        self._write(text)

    def _write(self, line: str) -> None:
        print(line, file=self._out, flush=True)
