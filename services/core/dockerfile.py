"""This file reads Dockerfile instructions that only install packages with pip, as the requirements they come to.

Programs that were written for another platform describe environments in this way. Environments are lists of packages
here, so whatever else such instructions say is refused: to leave it out silently would make another environment than
the one that was asked for.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from services.core.errors import Invalid
from services.core.requirements import line_fault, logical_lines, shown

FIELD = "dockerfileInstructions"
ALLOWED = "allowed is RUN pip install with packages and versions, as in: RUN pip install numpy==2.1.0 'pandas>=2,<3'"

_INSTRUCTION = re.compile(r"(?P<name>\S+)(?:\s+(?P<rest>.*))?")
_PIP = re.compile(r"pip[0-9.]*")
_PYTHON = re.compile(r"python[0-9.]*")
_SHELL = re.compile(r"[();<>|&]+")  # what the shell would not hand to pip

# They change how pip goes about it, not which packages there are afterwards.
_IDLE_FLAG = re.compile(
    r"-[qUvI]+|--(no-cache-dir|no-cache|upgrade|user|quiet|verbose|disable-pip-version-check|no-input|prefer-binary"
    r"|no-warn-script-location|break-system-packages|force-reinstall|ignore-installed|compile|no-compile"
    r"|only-binary=:all:|(progress-bar|root-user-action|upgrade-strategy|timeout|default-timeout|retries)=\S+)"
)
_IDLE_WITH_VALUE = re.compile(r"--(progress-bar|root-user-action|upgrade-strategy|timeout|default-timeout|retries)")

_VERSION = r"[<>=!~]{1,3} ?[A-Za-z0-9.*+!_-]+"
_REQUIREMENT = re.compile(
    rf"[A-Za-z0-9][A-Za-z0-9._-]*(?: ?\[[A-Za-z0-9._, -]*\])?(?: ?{_VERSION}(?: ?, ?{_VERSION})*)?(?: ?;[^#\\]+)?"
)


def requirements_in(instructions: str) -> str:
    """The text of the requirements file that `instructions` come to, a package a line, each once.

    Raises `Invalid` about the first line that does anything but install packages by their names.

    >>> requirements_in("# what it needs\\nRUN pip install --no-cache-dir \\\\\\n  numpy==2.1.0 'pandas>=2,<3'")
    'numpy==2.1.0\\npandas>=2,<3'
    >>> requirements_in("RUN apt-get update")
    Traceback (most recent call last):
    ...
    services.core.errors.Invalid: dockerfileInstructions line 1: 'apt-get update' is no pip install; allowed is RUN \
pip install with packages and versions, as in: RUN pip install numpy==2.1.0 'pandas>=2,<3'
    """
    wanted: dict[str, None] = {}
    for number, line in _logical_lines(instructions):
        try:
            for command in _commands(line):
                wanted.update(dict.fromkeys(_installed(command)))
        except ValueError as fault:
            raise Invalid(f"{FIELD} line {number}: {fault}; {ALLOWED}", field=FIELD) from None
    return "\n".join(wanted)


def instructions_for(requirements: str) -> str | None:
    """Instructions that come to `requirements`; None where pip takes such lines from a file only.

    >>> instructions_for("numpy==2.1.0\\npandas>=2,<3  # as in production")
    "RUN pip install numpy==2.1.0 'pandas>=2,<3'"
    """
    lines = [line for _, line in logical_lines(requirements)]
    if any(" -" in line for line in lines):
        return None
    return f"RUN pip install {shlex.join(lines)}" if lines else ""


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Each instruction with the number of its first line. Comment lines go, also between continued ones."""
    start, pending = 0, ""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines, start=1):
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        start = start if pending else number
        if bare.endswith("\\"):
            pending += bare[:-1] + " "
            continue
        yield start, (pending + bare).strip()
        pending = ""
    if pending.strip():
        yield start, pending.strip()


def _commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a RUN instruction, as the shell would split them."""
    instruction = _INSTRUCTION.fullmatch(line)
    if instruction is None or instruction["name"].upper() != "RUN":
        raise ValueError(f"{shown(line)!r} is no RUN instruction")
    rest = instruction["rest"] or ""
    if not rest.isprintable() or any(character in rest for character in "$`"):
        raise ValueError(f"{shown(rest)!r} has a character in it that only a shell understands")
    command: list[str] = []
    for word in [*_words(rest), "&&"]:
        if word == "&&":
            yield command
            command = []
        elif _SHELL.fullmatch(word) is not None:
            raise ValueError(f"{shown(rest)!r} has {word} outside quotes, which a shell takes for its own")
        else:
            command.append(word)


def _words(command: str) -> Iterator[str]:
    split = shlex.shlex(command, posix=True, punctuation_chars=True)
    split.whitespace_split, split.commenters = True, ""
    try:
        for word in split:
            if word.startswith("#"):
                return
            yield word
    except ValueError:
        raise ValueError(f"{shown(command)!r} has a quote that does not end") from None


def _installed(command: list[str]) -> Iterator[str]:
    """The requirements that one command has pip install."""
    arguments = _arguments(_pip_words(command), command)
    requirements = [" ".join(word.split()) for word in arguments]
    if not requirements:
        raise ValueError(f"{shown(' '.join(command))!r} names no package")
    for requirement in requirements:
        if (fault := line_fault(requirement)) is not None:
            raise ValueError(f"{shown(requirement)!r} {fault}")
        if " -" in requirement or _REQUIREMENT.fullmatch(requirement) is None:
            raise ValueError(f"{shown(requirement)!r} is not a package with its versions")
        yield requirement


def _pip_words(command: list[str]) -> list[str]:
    """What follows the name of pip."""
    if command and _PIP.fullmatch(command[0]) is not None:
        return command[1:]
    if command[1:3] == ["-m", "pip"] and _PYTHON.fullmatch(command[0]) is not None:
        return command[3:]
    raise ValueError(f"{shown(' '.join(command))!r} is no pip install")


def _arguments(words: list[str], command: list[str]) -> list[str]:
    """The arguments of `install`, flags that change nothing left out."""
    plain: list[str] = []
    rest = iter(words)
    for word in rest:
        if _IDLE_WITH_VALUE.fullmatch(word) is not None:
            next(rest, None)
        elif _IDLE_FLAG.fullmatch(word) is None:
            plain.append(word)
    if plain[:1] != ["install"]:
        raise ValueError(f"{shown(' '.join(command))!r} is no pip install")
    return plain[1:]
