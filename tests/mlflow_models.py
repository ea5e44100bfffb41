"""This file has real MLflow models saved, by real MLflow in an environment of its own.

    python tests/mlflow_models.py FOLDER

It runs in that environment (`tests.peers.peer("mlflow")`); `saved` runs it from the tests.
"""

# mypy: disable-error-code="import-not-found,import-untyped"
from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("mlflow-skinny", "pandas", "numpy", "cloudpickle")


def saved(python: Path, folder: Path) -> Path:
    """A folder with one model in each folder, saved by MLflow."""
    done = subprocess.run([python, "-W", "ignore", __file__, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def _save_all(folder: Path) -> None:
    from importlib.metadata import version

    import mlflow.pyfunc
    import mlflow.sklearn
    import numpy as np
    import pandas as pd
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Array, Object, Property
    from sklearn.linear_model import LinearRegression

    class Echo(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # what MLflow is, is not known where this is checked
        """Gives back what it was given, and says what that was."""

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            if isinstance(model_input, pd.DataFrame) and "x" in model_input and (model_input["x"] == 13).any():
                raise ValueError("thirteen")
            kinds = getattr(model_input, "dtypes", getattr(model_input, "dtype", type(model_input).__name__))
            told = [str(each) for each in kinds] if isinstance(kinds, pd.Series) else str(kinds)
            return {"input": model_input, "kinds": told, "params": params}

    class Hinted(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        def predict(self, model_input: list[str]) -> list[str]:
            return [each.upper() for each in model_input]

    pinned = [f"{name}=={version(name)}" for name in PACKAGES]

    def save(name: str, inputs: Any, params: Any = None, model: Any = None, **more: Any) -> None:
        signature = None if inputs is None else ModelSignature(Schema(inputs), None, params)
        made = {"python_model": model or Echo(), "signature": signature, "pip_requirements": pinned}
        mlflow.pyfunc.save_model(folder / name, **made, **more)

    point = Object([Property("name", DataType.string), Property("at", DataType.double, required=False)])
    columns = [
        ColSpec("double", "x"),
        ColSpec("long", "y"),
        ColSpec("datetime", "when", required=False),
        ColSpec("binary", "raw", required=False),
        ColSpec("boolean", "is it", required=False),
        ColSpec("integer", "short", required=False),
        ColSpec("float", "rough", required=False),
        ColSpec(Array(DataType.double), "many", required=False),
        ColSpec(point, "point", required=False),
    ]
    params = ParamSchema([ParamSpec("top", "long", 3), ParamSpec("names", "string", ["a"], shape=(-1,))])
    save("table", columns, params, input_example=pd.DataFrame({"x": [1.5], "y": [2]}))
    save("tensor", [TensorSpec(np.dtype("float32"), (-1, 2))])
    save("tensors", [TensorSpec(np.dtype("float32"), (-1, 2), "a"), TensorSpec(np.dtype("int64"), (-1,), "inputs")])
    save("texts", [ColSpec("string")])
    save("places", [ColSpec("double"), ColSpec("string")])
    save("unsigned", None)
    save("hinted", None, model=Hinted())

    frame = pd.DataFrame({"rooms": [1.0, 2.0, 3.0], "area (m2)": [30.0, 50.0, 70.0]})
    prices = pd.Series([100.0, 200.0, 300.0], name="price")
    fitted = LinearRegression().fit(frame, prices)
    signature = infer_signature(frame, fitted.predict(frame))
    packages = [*pinned, f"scikit-learn=={version('scikit-learn')}"]
    about = {"signature": signature, "input_example": frame[:1], "pip_requirements": packages}
    mlflow.sklearn.save_model(fitted, folder / "sklearn", serialization_format="cloudpickle", **about)


if __name__ == "__main__":
    _save_all(Path(sys.argv[1]))
