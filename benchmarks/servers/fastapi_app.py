"""This file serves the functions with FastAPI, in the event loop itself: a thread for each call would cost more."""

from typing import Annotated

import functions
from fastapi import Body, FastAPI

app = FastAPI()
Numbers = Annotated[list[float], Body(embed=True)]


@app.post("/add")
async def add(x: Annotated[float, Body()], y: Annotated[float, Body()]) -> float:
    return functions.add(x, y)


@app.post("/total")
async def total(values: Numbers) -> float:
    return functions.total(values)


@app.post("/project")
async def project(x: Numbers) -> list[float]:
    return functions.project(x)
