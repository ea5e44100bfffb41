"""The harness: serves one function of a project's script inside a Modelway instance."""

__version__ = "0.1.0"
