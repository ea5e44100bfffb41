"""This package is the command line `modelway`: options in, one call to the SDK, text or JSON out."""
