"""Instances as local processes: sessions of their own, which outlive the deployer and are adopted when it is back.

Not a sandbox. It needs Linux: /proc tells which processes live and belong together.
"""
