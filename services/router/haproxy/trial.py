"""This file asks HAProxy what it thinks of a configuration, before it is put where HAProxy starts from."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from services.core.errors import Unavailable
from services.core.ids import VersionId, is_object_id

_TRIAL_S = 30.0
_LINE = re.compile(r"\[[^\s\]]*:(\d+)\]")
_CHARACTERS = 2000  # of a complaint that are kept


async def complaint(binary: Path, config: Path) -> str:
    """What HAProxy has against the file, "" when it would start on it. Raises `Unavailable` when it cannot be asked."""
    try:
        process = await asyncio.create_subprocess_exec(
            binary, "-c", "-f", config, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise Unavailable(f"{binary} cannot be run: {error.strerror}") from error
    try:
        async with asyncio.timeout(_TRIAL_S):
            _, said = await process.communicate()
    except TimeoutError as error:
        raise Unavailable("HAProxy did not finish checking a configuration in time") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return "" if process.returncode == 0 else said.decode(errors="replace")[:_CHARACTERS] or "HAProxy gave no reason"


def offenders(complaint: str, config: str) -> frozenset[VersionId]:
    """The versions in whose sections the lines are that HAProxy complains about; none, if it means something else.

    >>> config = f"backend {'a' * 24}\\n    server s x"
    >>> offenders("[ALERT] (1) : parsing [/x/haproxy.cfg:2] : no", config) == {"a" * 24}
    True
    """
    lines = config.splitlines()
    numbers = (int(each) for each in _LINE.findall(complaint))
    sections = (_section(lines[:number]) for number in numbers if number <= len(lines))
    return frozenset(VersionId(each) for each in sections if is_object_id(each))


def _section(lines: list[str]) -> str:
    heads = (line for line in reversed(lines) if line and not line.startswith((" ", "#")))
    return [*next(heads, "").split(), "", ""][1]
