"""Where a TrainJob runs, from the environment: what .env.example lists under distributed training."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import model
from model.environment import whole_number
from model.errors import ConfigError

Backend = Literal["kubernetes", "container"]


@dataclass(frozen=True)
class JobSettings:
    """Attributes:
    runtimes: folder with the manifest of the runtime; the container backend reads it there.
    shared: folder that this step and all nodes see.
    timeout_s: seconds after which a job is given up.
    """

    backend: Backend
    image: str
    runtime: str
    namespace: str | None
    runtimes: Path
    shared: Path
    timeout_s: int


def read_settings() -> JobSettings:
    """All settings at once.

    Raises:
        ConfigError: every problem with its variable, one a line.
    """
    problems: list[str] = []
    backend = os.environ.get("RMTL_TRAIN_BACKEND") or "kubernetes"
    if backend not in ("kubernetes", "container"):
        problems.append(f"RMTL_TRAIN_BACKEND={backend}: need kubernetes or container")
    shared = os.environ.get("RMTL_SHARED", "")
    if not shared or not Path(shared).is_dir():
        problems.append(f"RMTL_SHARED={shared}: need a folder that this machine and all nodes see")
    runtimes = Path(os.environ.get("RMTL_TRAIN_RUNTIMES") or "deploy/train").absolute()
    if backend == "container" and not runtimes.exists():
        problems.append(f"RMTL_TRAIN_RUNTIMES={runtimes}: no such folder; it holds the manifest of the runtime")
    timeout_s = 86_400
    try:
        timeout_s = whole_number("RMTL_TRAIN_TIMEOUT_S", timeout_s, least=10)
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join([f"environment: {len(problems)} wrong value(s)", *(f"  {it}" for it in problems)]))
    return JobSettings(
        backend=cast("Backend", backend),
        image=os.environ.get("RMTL_IMAGE") or f"residual-mtl:{model.__version__}",
        runtime=os.environ.get("RMTL_TRAIN_RUNTIME") or "residual-mtl",
        namespace=os.environ.get("RMTL_TRAIN_NAMESPACE") or None,
        runtimes=runtimes,
        shared=Path(shared).resolve(),
        timeout_s=timeout_s,
    )


def read_restarts() -> int:
    """How often a training that lost a process is started again: `RMTL_TRAIN_RESTARTS`, 2 by default."""
    return whole_number("RMTL_TRAIN_RESTARTS", 2, least=0)
