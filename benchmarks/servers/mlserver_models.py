"""This file serves the functions with MLServer: tensors of the Open Inference Protocol in and out."""

from functions import add, project, total
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput


class Function(MLModel):
    async def predict(self, payload):
        result = self.call(*(list(each.data) for each in payload.inputs))
        output = ResponseOutput(name="result", datatype="FP64", shape=[len(result)], data=result)
        return InferenceResponse(model_name=self.name, outputs=[output])


class Add(Function):
    def call(self, x, y):
        return [add(x[0], y[0])]


class Total(Function):
    def call(self, values):
        return [total(values)]


class Project(Function):
    def call(self, x):
        return project(x)
