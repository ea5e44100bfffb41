"""The decisions: pure values and functions, without I/O, clock, randomness or logging."""
