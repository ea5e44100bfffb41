"""This file is the one error that ends a command of the embedded home."""

from __future__ import annotations


class Trouble(Exception):
    """What is wrong and what to do about it, for the person at the terminal. Never holds a secret."""
