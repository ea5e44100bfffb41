"""This file is the command: a drill on the platform that is up, a table of it, and exit status 1 when it was lost."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from modelway import Client, ModelwayError, Plan, Published

from drill.act import Drill
from drill.found import NoPlatform, find_platform
from drill.strikes import Strike, strikes
from drill.table import HEAD, Struck, complaints, row, verdict
from tests.e2e.platform import Platform, write_project
from tests.load.load import calling, lane

INSTANCES, WORKERS = 2, 1
CALLS_PER_S = 40.0
_SCRIPT = "import time\n\n\ndef predict(x):\n    time.sleep(0.01)\n    return x\n"
_BODY = {"parameters": [1]}


def main(arguments: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the model is archived too
    options = _options(arguments)
    try:
        platform, configuration = find_platform()
        chosen = _chosen(platform, options.only)
        with Client.from_configuration(configuration) as client:
            struck = _drill(platform, client, chosen, options.rate)
    except (NoPlatform, ModelwayError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    _say("\n".join((*complaints(struck), verdict(struck))))
    return 1 if any(each.is_lost for each in struck) else 0


def _drill(platform: Platform, client: Client, chosen: Sequence[Strike], per_second: float) -> list[Struck]:
    with tempfile.TemporaryDirectory(prefix="mw-drill-") as folder:
        name = f"drill-{time.time_ns():x}"
        _say(f"Publishing {name} with {INSTANCES} instances at {client.url}")
        published = _publish(client, name, Path(folder))
        try:
            return _carry_out(platform, client, published, chosen, per_second)
        finally:
            client.archive(published.model.id, timeout_s=120)
            _say(f"{name} is archived")


def _publish(client: Client, name: str, folder: Path) -> Published:
    project = write_project(folder / name, _SCRIPT)
    plan = Plan(
        directory=project,
        name=name,
        file="predict.py",
        function="predict",
        instances=INSTANCES,
        workers=WORKERS,
        description="a drill; archived when it is over",
    )
    return client.publish(plan)


def _carry_out(
    platform: Platform, client: Client, published: Published, chosen: Sequence[Strike], per_second: float
) -> list[Struck]:
    path = published.endpoint.partition("/models/")[2]
    lanes = [
        lane(f"router {number}", f"{url}/models/{path}", published.token or "", _BODY, per_second=per_second)
        for number, url in enumerate(platform.urls, 1)
    ]
    with calling(*lanes) as load:
        drill = Drill(
            platform=platform,
            client=client,
            model_id=published.model.id,
            version_id=published.version.id,
            instances=INSTANCES,
            load=load,
        )
        _say(HEAD)
        struck = []
        for strike in chosen:
            struck.append(drill.carry_out(strike))
            _say(row(struck[-1]))
    return struck


def _chosen(platform: Platform, only: Sequence[str]) -> list[Strike]:
    everything = strikes(platform.programs, workers=WORKERS)
    unknown = set(only) - {each.what for each in everything}
    if unknown:
        raise NoPlatform(f"There is no {sorted(unknown)[0]}: there are {', '.join(each.what for each in everything)}.")
    return [each for each in everything if not only or each.what in only]


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m drill", description="Kills a platform's parts under load.")
    parser.add_argument("--only", nargs="*", default=(), help="just these of the strikes")
    parser.add_argument("--rate", type=float, default=CALLS_PER_S, help="calls a second to each router")
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
