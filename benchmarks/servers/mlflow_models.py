"""This file is a function as an MLflow model, in the folder that it is told.

python mlflow_models.py FUNCTION FOLDER
"""

import sys
from pathlib import Path

import functions
import mlflow.pyfunc


class Function(mlflow.pyfunc.PythonModel):
    def __init__(self, name):
        self.name = name

    def predict(self, context, model_input, params=None):
        call = getattr(functions, self.name)
        return call(**model_input) if isinstance(model_input, dict) else call(model_input)


if __name__ == "__main__":
    name, folder = sys.argv[1:]
    mlflow.pyfunc.save_model(
        folder,
        python_model=Function(name),
        code_paths=[str(Path(functions.__file__))],
        pip_requirements=[],
    )
