"""This file is the command: rounds of chaos for some seeds, a table of them, and exit status 1 when one was lost."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from chaos.match import Match, Played
from chaos.plan import draw_round
from chaos.table import row, table
from tests.e2e.platform import Platform, platform

ROUND_S = 30.0


def main(arguments: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the platform is ended too
    options = _options(arguments)
    seeds = [options.seed] if options.seed is not None else range(options.first, options.first + options.seeds)
    played: list[Played] = []
    for seed in seeds:
        played += play_seed(seed, options)
    _say("\n" + table(played))
    lost = [each for each in played if each.wrong]
    for each in lost:
        again = f'make chaos CHAOS="--seed {each.seed} --rounds {each.number}"'
        _say(f"\n{each.name} was lost; play it again with: {again}")
        _say("\n".join(f"  - {said}" for said in each.wrong))
    return 1 if lost else 0


def play_seed(seed: int, options: argparse.Namespace) -> list[Played]:
    """All rounds of one seed on one platform; ends with the first round that is lost, whose home is kept."""
    played: list[Played] = []
    until = time.monotonic() + 60 * options.minutes
    with (
        platform() as running,
        tempfile.TemporaryDirectory(prefix="mw-chaos-") as folder,
        closing(Match(running, Path(folder))) as match,
    ):
        number = 0
        while number < options.rounds or (not options.rounds and time.monotonic() < until):
            number += 1
            plan = draw_round(seed, number, length_s=options.length, only=tuple(options.only))
            _say(f"{plan}: {', '.join(map(str, plan.faults))}; {len(plan.operations)} operations")
            played.append(match.play(plan))
            _say(row(played[-1]))
            if played[-1].wrong:
                _keep(running, seed, played[-1])
                break
    return played


def _keep(running: Platform, seed: int, lost: Played) -> None:
    kept = Path(tempfile.gettempdir()) / f"mw-chaos-lost-{seed}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(running.home / "logs", kept)
    (kept / "wrong.txt").write_text("\n".join((*lost.struck, "", *lost.wrong)) + "\n")
    _say(f"its logs are kept in {kept}")
    _say("\n".join(f"  - {said}" for said in lost.wrong))


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Kills a platform at random, and looks.")
    parser.add_argument("--seeds", type=int, default=3, help="how many, one platform each")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="just this one, to play it again")
    parser.add_argument("--minutes", type=float, default=5.0, help="of rounds for each seed")
    parser.add_argument("--rounds", type=int, default=0, help="so many rounds instead")
    parser.add_argument("--length", type=float, default=ROUND_S, help="seconds of operations and faults in a round")
    parser.add_argument("--only", nargs="*", default=(), help="these faults instead of drawn ones")
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
