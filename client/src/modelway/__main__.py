"""This file is `python -m modelway`, the same as the command `modelway`."""

from modelway.commands.main import main

if __name__ == "__main__":
    main()
