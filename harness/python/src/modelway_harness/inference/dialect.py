"""This file is the Open Inference Protocol, version 2, over HTTP: a second way to call the function, with tensors.

What it takes and gives as tensors: slots.py. The model is known by its function's name, and by its own id.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..binding import Binding, DoesNotFit
from ..calls import Answered
from ..config import Instance
from ..dialect import Asked
from ..endpoint import Refused
from ..wire import Answer, Head

if TYPE_CHECKING:
    from .request import Request
    from .slots import Slots

EXTENSIONS = ["binary_tensor_data"]
_INFER = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)
_JSON_LENGTH = "inference-header-content-length"
_KINDS = ("/json", "+json", "application/octet-stream")


class Inference:
    """The dialect, for one function. What few workers ever need is imported with the first request."""

    def __init__(self, instance: Instance, function: Callable[..., object]) -> None:
        self._names = (instance.function, instance.model_id)
        self._version = str(instance.version_number)
        self._function = function

    @cached_property
    def _slots(self) -> Slots:
        from .slots import Slots

        return Slots(self._names[0], self._function)

    def takes(self, path: str) -> bool:
        return _INFER.fullmatch(path) is not None

    def check(self, head: Head) -> None:
        self.check_model(*_named(head.path))
        kind = head.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind and not kind.endswith(_KINDS):
            raise Refused(415, f'the body must be JSON, or JSON and binary data: send "application/json", not "{kind}"')
        length = head.headers.get(_JSON_LENGTH)
        if length is not None and not _LENGTH.fullmatch(length):
            raise Refused(400, "Inference-Header-Content-Length must be a whole number")

    def check_model(self, name: str, version: str | None) -> None:
        """Refuse what was meant for another model, or another version."""
        if name not in self._names:
            raise Refused(404, f"there is no model {name!r} here; this is {self._names[0]!r}")
        if version not in (None, self._version):
            raise Refused(404, f"there is no version {version!r} of {name!r} here; this is version {self._version!r}")

    def asked(self, head: Head, body: bytes, binding: Binding) -> Asked:
        from .request import BadRequest, read
        from .tensors import NoTensor

        name, _ = _named(head.path)
        length = head.headers.get(_JSON_LENGTH)
        if self._slots.why_not:
            raise Refused(400, self._slots.why_not)
        try:
            request = read(body, json_length=None if length is None else int(length))
            call = binding.fit({"data": self._slots.arguments(request)})
        except (BadRequest, DoesNotFit, NoTensor) as error:
            raise Refused(400, str(error)) from error
        return Asked(call, lambda result: self._encoded(result, request, name))

    def answered(self, _asked: Asked, outcome: Answered, _request_id: str) -> Answer:
        answer: Answer = outcome.result
        return answer

    def error(self, status: int, reason: str, _request_id: str) -> Answer:
        from .answer import refusal

        return refusal(status, re.sub(r"\Adata(?=[.\[])", "inputs", reason))  # binding names places in `data`

    def described(self, name: str) -> dict[str, Any]:
        """The model's metadata. Raises Refused where it takes no tensors."""
        slots = self._slots
        if slots.why_not:
            raise Refused(400, slots.why_not)
        return {
            "name": name,
            "versions": [self._version],
            "platform": "python",
            "inputs": [slot.told(each) for each, slot in slots.inputs.items() if each != slots.table],
            "outputs": [slot.told(each) for each, slot in slots.outputs.items()],
        }

    def server(self) -> dict[str, Any]:
        """The server's metadata."""
        return {"name": "modelway", "version": __version__, "extensions": EXTENSIONS}

    def _encoded(self, result: object, request: Request, name: str) -> Answer:
        from .answer import answer
        from .results import tensors_of

        return answer(request, tensors_of(result), model=name, version=self._version)


def _named(path: str) -> tuple[str, str | None]:
    """The model and the version that a path to `infer` names."""
    match = _INFER.fullmatch(path)
    assert match is not None  # noqa: S101 - it is taken
    return as_text(match[1]), match[2]


def as_text(name: str) -> str:
    """A name in a path, of which `wire` knows bytes only."""
    return name.encode("latin-1").decode("utf-8", "replace")
