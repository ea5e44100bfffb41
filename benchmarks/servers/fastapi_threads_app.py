"""This file serves the functions with FastAPI as fastapi_app.py does, but in threads: the event loop stays free."""

from typing import Annotated

import functions
from fastapi import Body, FastAPI

app = FastAPI()
Numbers = Annotated[list[float], Body(embed=True)]


@app.post("/add")
def add(x: Annotated[float, Body()], y: Annotated[float, Body()]) -> float:
    return functions.add(x, y)


@app.post("/total")
def total(values: Numbers) -> float:
    return functions.total(values)


@app.post("/project")
def project(x: Numbers) -> list[float]:
    return functions.project(x)
