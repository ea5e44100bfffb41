"""This file is the three functions that every server of the comparison serves. Nothing here knows how it is served."""

import numpy as np

_ROWS, _COLUMNS = 1000, 100
# The same numbers as in benchmarks/tasks.py, which works out without numpy what has to come out.
_MATRIX = np.fromfunction(lambda row, column: ((row * 31 + column * 17) % 97) / 97, (_ROWS, _COLUMNS))


def add(x, y):
    return x + y


def total(values):
    return sum(values)


def project(x):
    return (np.asarray(x) @ _MATRIX).tolist()
