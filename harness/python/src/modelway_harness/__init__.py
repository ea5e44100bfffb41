"""The harness: serves one function of a project's script inside a Modelway instance."""

from .asking import request_id

__all__ = ["request_id"]
__version__ = "0.2.0"
