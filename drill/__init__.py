"""A drill: a platform that is up loses one part after another under load, and its callers should not notice.

`make drill`, or `python -m drill`. `found` finds the platform as the command line does, `strikes` says what is struck
in which order, `act` strikes and waits until all is whole again, `table` has the words and the verdict.
"""
