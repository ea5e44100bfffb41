"""This file trains a small model and has MLflow save it, in the folder `model` beside it: that folder is published."""

import shutil
from importlib.metadata import version
from pathlib import Path

import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

FOLDER = Path(__file__).parent / "model"
NEEDED = ("mlflow-skinny", "scikit-learn", "pandas", "numpy", "cloudpickle")


def main() -> None:
    """Learn who leaves, from twelve customers."""
    customers = pd.DataFrame(
        {
            "months": [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 18.0, 24.0, 30.0, 36.0, 48.0],
            "calls to support": [5.0, 4.0, 6.0, 3.0, 5.0, 2.0, 1.0, 2.0, 0.0, 1.0, 0.0, 0.0],
        }
    )
    leaves = [True] * 6 + [False] * 6
    model = LogisticRegression().fit(customers, leaves)
    shutil.rmtree(FOLDER, ignore_errors=True)
    mlflow.sklearn.save_model(
        model,
        FOLDER,
        serialization_format="cloudpickle",
        signature=infer_signature(customers, model.predict(customers)),
        input_example=customers[:1],
        pip_requirements=[f"{name}=={version(name)}" for name in NEEDED],
    )
    print(f"Saved in {FOLDER}")


if __name__ == "__main__":
    main()
