"""This file is how tensors become an answer of the Open Inference Protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..wire import Answer
from ..wording import quoted
from .request import Request
from .tensors import NoTensor, Tensor

JSON_LENGTH = "Inference-Header-Content-Length"


def answer(request: Request, given: Mapping[str, Tensor], *, model: str, version: str) -> Answer:
    """What `request` is answered, the function having given these tensors."""
    wanted = request.outputs or dict.fromkeys(given, request.is_binary)
    unknown = [name for name in wanted if name not in given]
    if unknown:
        return refusal(400, f"there is no output {quoted(unknown)}; there is {quoted(given) or 'none'}")
    outputs: list[dict[str, Any]] = []
    pieces: list[bytes] = []
    for name, is_binary in wanted.items():
        tensor = given[name]
        written: dict[str, Any] = {"name": name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if is_binary:
            pieces.append(tensor.binary())
            written["parameters"] = {"binary_data_size": len(pieces[-1])}
        else:
            try:
                written["data"] = tensor.json()
            except NoTensor as error:
                return refusal(400, f'output {name!r} {error}: ask for it with "binary_data": true')
        outputs.append(written)
    told: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": outputs}
    return _answer(told if request.id is None else {"id": request.id, **told}, pieces)


def _answer(told: dict[str, Any], pieces: list[bytes]) -> Answer:
    text = json.dumps(told, allow_nan=False)
    if not pieces:
        return Answer(200, text)
    body = text.encode()
    return Answer(200, b"".join((body, *pieces)), ((JSON_LENGTH, str(len(body))),), "application/octet-stream")


def refusal(status: int, reason: str) -> Answer:
    """An error as the protocol has it."""
    return Answer(status, json.dumps({"error": reason}))
