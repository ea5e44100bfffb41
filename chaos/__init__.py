"""Chaos: a whole platform under random operations and random deaths, and what must hold afterwards.

`python -m chaos --help`. `plan` draws a round from a seed, `faults` and `operations` carry it out on a real platform,
`expected` says where every version should be by the history alone, `findings` compares that with what is there.
"""
