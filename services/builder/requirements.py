"""This file is what a person may ask for in a requirements file: plain requirements of packages, and nothing else.

No options, addresses, paths or editable installs: every package comes from the platform's index as a wheel,
so a build executes no code of theirs. Hashes are kept: the lock then holds no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from services.core.errors import Invalid
from services.core.requirements import ALLOWED, line_fault, logical_lines, shown

MAX_BYTES = 256 * 1024
MAX_LINES = 5000
MAX_LENGTH = 2000  # of one requirement without its hashes
_HASH = re.compile(r"--hash=(\S+)")
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Wanted:
    """One requirement, as `packaging` understood it. `hashes` empty: any."""

    text: str
    name: str  # canonical
    hashes: frozenset[str] = field(default_factory=frozenset)


def bounded_lines(text: str) -> Iterator[tuple[int, str]]:
    """The logical lines of requirements, with their numbers. Raises `Invalid` when they are too many or too long."""
    if len(text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise Invalid(f"the requirements are longer than {MAX_BYTES // 1024} kB", field="requirements")
    for number, line in logical_lines(text):
        if number > MAX_LINES:
            raise Invalid(f"the requirements have more than {MAX_LINES} lines", field="requirements")
        yield number, line


def parse_requirements(text: str, *, own: frozenset[str] = frozenset()) -> tuple[Wanted, ...]:
    """The requirements in `text`, in its order. Raises `Invalid` naming the first line that is not allowed.

    `own` are the canonical names of packages that the platform itself installs.

    >>> [wanted.text for wanted in parse_requirements("six == 1.17  # old\\n\\nnumpy[all]>=2")]
    ['six==1.17', 'numpy[all]>=2']
    """
    wanted = []
    for number, line in bounded_lines(text):
        try:
            one = _parse(line)
        except ValueError as error:
            raise Invalid(
                f"requirements line {number}: {shown(line)!r} {error}; {ALLOWED}", field="requirements"
            ) from error
        if one.name in own:
            raise Invalid(
                f"requirements line {number}: {one.name!r} is installed by the platform; leave it out",
                field="requirements",
            )
        wanted.append(one)
    return tuple(wanted)


def _parse(line: str) -> Wanted:
    head, *options = " ".join(line.split()).replace(" --hash ", " --hash=").split(" --hash=")
    hashes = frozenset(options)
    if any(_SHA256.fullmatch(one) is None for one in hashes):
        raise ValueError("has a hash that is not sha256:<64 hexadecimal digits>")
    if (fault := line_fault(head)) is not None:
        raise ValueError(fault)
    if len(head) > MAX_LENGTH:
        raise ValueError(f"is longer than {MAX_LENGTH} characters")
    try:
        requirement = Requirement(head)
    except (InvalidRequirement, RecursionError) as error:
        raise ValueError("is not a requirement") from error
    if requirement.url is not None:
        raise ValueError("names an address, which is not allowed")
    return Wanted(text=str(requirement), name=canonicalize_name(requirement.name), hashes=hashes)


_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==")


def locked_versions(lock: str) -> list[str]:
    """What `lock` holds, as `name==version`."""
    return [line.split()[0] for line in lock.splitlines() if _LOCKED.match(line)]


def narrowed(lock: str, wanted: Sequence[Wanted]) -> str:
    """`lock` without the hashes that the person who gave hashes did not give. Raises `Invalid` when none is left."""
    allowed = {one.name: one.hashes for one in wanted if one.hashes}
    if not allowed:
        return lock
    return "".join(_narrow(entry, allowed) for entry in re.split(r"(?m)^(?=\S)", lock))


def _narrow(entry: str, allowed: dict[str, frozenset[str]]) -> str:
    match = _LOCKED.match(entry)
    hashes = allowed.get(canonicalize_name(match[1])) if match else None
    if hashes is None:
        return entry
    head = entry.split("--hash=", 1)[0].rstrip(" \\\n")
    kept = [one for one in _HASH.findall(entry) if one in hashes]
    if not kept:
        raise Invalid(
            f"requirement {head!r} does not resolve: no wheel in the package index has one of its hashes",
            field="requirements",
        )
    return " \\\n    ".join([head, *(f"--hash={one}" for one in kept)]) + "\n"
