"""This file is the command line: `python -m modelway_harness --instance ID --config instance.json`.

Python puts the working directory, which is the user's project, first on its path. It is taken off before
anything else is imported, so that a project's own `queue.py` or `flask.py` does not replace what the harness
needs; the loader puts it back for the script.
"""

import sys

USAGE_ERROR = 2


def main() -> int:
    """The exit status: 0 after a stop, 2 for a wrong configuration; a failed load ends the process with 3."""
    import argparse
    from pathlib import Path

    parser = argparse.ArgumentParser(prog="modelway_harness", description="Serves one function of a script.")
    parser.add_argument("--instance", required=True, help="id of this instance; must be the one in the file")
    parser.add_argument("--config", required=True, type=Path, help="path of instance.json")
    arguments = parser.parse_args()

    from modelway_harness.config import InvalidConfig, read
    from modelway_harness.server import serve

    try:
        instance = read(arguments.config, instance_id=arguments.instance)
    except InvalidConfig as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    return serve(instance)


if __name__ == "__main__":
    if not sys.flags.safe_path:  # `python -P` leaves the working directory out by itself
        del sys.path[0]
    sys.exit(main())
