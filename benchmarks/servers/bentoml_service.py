"""This file serves the functions with BentoML, in the event loop itself: a thread for each call would cost more."""

import bentoml
import functions


@bentoml.service(
    workers=1,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    monitoring={"enabled": False},
)
class Functions:
    @bentoml.api
    async def add(self, x: float, y: float) -> float:
        return functions.add(x, y)

    @bentoml.api
    async def total(self, values: list[float]) -> float:
        return functions.total(values)

    @bentoml.api
    async def project(self, x: list[float]) -> list[float]:
        return functions.project(x)
