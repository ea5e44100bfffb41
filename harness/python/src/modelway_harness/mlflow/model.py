"""This file is MLflow models as they are served: one is loaded from its folder, and called by what its signature says.

MLflow comes from the model's own environment, and is imported by nothing else of the harness.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..binding import DoesNotFit
from ..forms import Schema
from ..loader import LoadFailed
from ..traces import trace_of
from ..whole import TakesWhole
from ..wording import cut, described
from .data import data_form
from .inputs import kind_of
from .types import Spec

EXAMPLE_BYTES = 256 * 1024
_JUDGES = ("mlflow.models.utils", "mlflow.types.type_hints", "mlflow.pyfunc.utils.data_validation")


def load_model(folder: Path, file: str) -> TakesWhole:
    """The model that was saved in `folder`; `file` is what people call it. Raises LoadFailed, and nothing else."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # models tell nobody that they run
    try:
        from mlflow import pyfunc  # type: ignore[import-not-found]  # of the model's own environment
    except ImportError as error:
        if error.name != "mlflow":
            raise _failed("mlflow could not be imported", file, error) from error
        raise LoadFailed(
            f"{file} needs mlflow, or mlflow-skinny, which is not installed: name it in the requirements"
        ) from error
    except BaseException as error:
        raise _failed("mlflow could not be imported", file, error) from error
    try:
        return Predict(pyfunc.load_model(str(folder)), folder)
    except BaseException as error:
        raise _failed(f"{file} could not be loaded", file, error) from error


def _failed(what: str, file: str, error: BaseException) -> LoadFailed:
    return LoadFailed(f"{what}: {' '.join(described(error).split())}", trace_of(error))


class Predict(TakesWhole):
    """`predict` of a loaded model."""

    def __init__(self, model: Any, folder: Path) -> None:
        self._model = model
        described_as = _Signature(model.metadata)
        is_checked_by_hint = getattr(model.metadata, "_is_signature_from_type_hint", lambda: False)()
        kind = kind_of(
            described_as.inputs,
            is_checked_by_hint=is_checked_by_hint,
            numpy=sys.modules["numpy"],
            pandas=sys.modules["pandas"],
        )
        self.takes = data_form(kind, described_as.params)
        self.gives = described_as.result
        self.example = _example(folder, model.metadata)
        self.__doc__ = f"Predict with an MLflow model.\n\n{_told(model.metadata)}"

    def __call__(self, inputs: Any, params: dict[str, Any] | None = None) -> object:
        try:
            found: object = self._model.predict(inputs, params=params) if params else self._model.predict(inputs)
        except Exception as error:
            if not _is_refusal(error):
                raise
            why = str(error).rpartition("Error: ")[2]
            raise DoesNotFit(f"data was refused by MLflow: {cut(' '.join(why.split()), 400)}") from error
        return found


def _is_refusal(error: Exception) -> bool:
    """Whether it is MLflow's own check of the input that failed, and not the model."""
    if type(error).__name__ != "MlflowException":
        return False
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    judge = "" if where is None else where.tb_frame.f_globals.get("__name__")
    return judge in _JUDGES or str(error).startswith("Failed to enforce schema")


class _Signature:
    """What a model's signature says, as the plain values that it is saved as; None where it says nothing."""

    def __init__(self, metadata: Any) -> None:
        signature = metadata.signature
        saved: Mapping[str, Any] = signature.to_dict() if signature is not None else {}
        self.inputs: Sequence[Spec] | None = json.loads(saved.get("inputs") or "null")
        self.params: Sequence[Spec] = json.loads(saved.get("params") or "null") or ()
        self.result = _result_schema(json.loads(saved.get("outputs") or "null") or ())


def _result_schema(specs: Sequence[Spec]) -> Schema:
    """What the result most probably is: nobody holds a model to the outputs of its signature."""
    named = [spec for spec in specs if spec.get("name")]
    if named and all(spec.get("type") != "tensor" for spec in named):
        row = {"type": "object", "properties": {spec["name"]: {} for spec in named}}
        return {"anyOf": [{"type": "array", "items": row}, {"type": "object"}, {"type": "array"}]}
    return {"type": "array"} if len(specs) == 1 and specs[0].get("type") == "tensor" and not named else {}


def _example(folder: Path, metadata: Any) -> str:
    """A request body that is made of the input example that the model was saved with; "" where there is none."""
    saved = getattr(metadata, "saved_input_example_info", None) or {}
    try:
        if saved.get("serving_input_path"):
            data = _json_in(folder, saved["serving_input_path"])
        else:
            held = _json_in(folder, saved["artifact_path"])
            is_split = saved.get("type") == "dataframe" and saved.get("pandas_orient") == "split"
            data = {"dataframe_split": held} if is_split else held if "inputs" in held else {"inputs": held}
        return json.dumps({"data": data}) if isinstance(data, dict) else ""
    except (OSError, ValueError, KeyError, TypeError):  # it is only for those who read about the model
        return ""


def _json_in(folder: Path, name: str) -> Any:
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()) or file.stat().st_size > EXAMPLE_BYTES:
        raise ValueError(name)
    return json.loads(file.read_bytes())


def _told(metadata: Any) -> str:
    flavors = [name for name in getattr(metadata, "flavors", {}) if name != "python_function"]
    told = {
        "Flavors": ", ".join(flavors),
        "Saved": str(getattr(metadata, "utc_time_created", None) or ""),
        "Run": str(getattr(metadata, "run_id", None) or ""),
    }
    return "\n".join(f"{name}: {value}" for name, value in told.items() if value)
