"""This file is what the builder reads from its environment, besides what every service reads."""

from __future__ import annotations

from pathlib import Path

from services.builder.r_install import NOBODY
from services.core.collection import EVERY_S, GRACE_S
from services.kit.config import Secret, ServiceConfig


class BuilderConfig(ServiceConfig, frozen=True, kw_only=True):
    """`model_python` may be a virtual environment's interpreter: models get the one it was made from."""

    blobs_url: str
    environments_dir: Path
    build_dir: Path  # scratch space; what this builder left in it is taken away at its start
    harness_wheel: Path
    r_harness: Path | None = None  # the folder of the R harness; without, no R model is built
    r_repository: Secret | None = None  # of R packages; its address may have a password in it
    r_install_uid: int = NOBODY  # who installs R packages when the builder is root
    uv_path: Path
    model_python: Path
    build_concurrency: int = 1
    collect_every_s: float = EVERY_S
    collect_grace_s: float = GRACE_S
