"""Weights without pickle: `weights.safetensors` beside a readable `meta.json` that says what they are.

The digest in `meta.json` binds the two files; class names and sizes are checked before a tensor is used.
"""

import os
import subprocess
from functools import cache
from pathlib import Path
from platform import python_version
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

import model
from model.config import NetConfig, TrainRun
from model.convention import Convention
from model.errors import CheckpointError
from model.schema import EXPRESSIONS, LANDMARKS
from model.storage import atomic_path, digest_bytes, read_json, write_json

WEIGHTS_FILE = "weights.safetensors"
META_FILE = "meta.json"
# What weights were before a key of `train.net` could say so.
_BEFORE = {"trunk": "residual"}


class Meta(BaseModel):
    """What a set of weights is: enough to rebuild the network, read its answers and trace its origin.

    `mean_shape` is the frozen mean of aligned training shapes in crop units; `temperature` calibrates the class
    logits (fitted on val, 1 where it was not); `restricted` marks weights trained on non-commercial sources;
    `start_digest` is that of the weights which training took over at its start, empty where it began anew;
    `conventions` are other ways to name expressions that the same answers can be translated to.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    net: NetConfig
    expressions: tuple[str, ...]
    mean_shape: tuple[tuple[float, float], ...]
    temperature: float
    conventions: dict[str, Convention] = {}
    data_digest: str
    restricted: bool
    weights_digest: str
    start_digest: str = ""
    config: dict[str, Any]
    code: dict[str, str]
    versions: dict[str, str]
    metrics: dict[str, float]


def describe(
    run: TrainRun,
    *,
    mean_shape: tuple[tuple[float, float], ...],
    data_digest: str,
    restricted: bool,
    temperature: float = 1.0,
    metrics: dict[str, float] | None = None,
) -> Meta:
    """The description of weights about to be saved; `save_weights` fills in their digest."""
    return Meta(
        net=run.train.net,
        expressions=EXPRESSIONS,
        mean_shape=mean_shape,
        temperature=temperature,
        data_digest=data_digest,
        restricted=restricted,
        weights_digest="",
        config=run.model_dump(mode="json"),
        code={"version": model.__version__, "git": git_revision()},
        versions={"python": python_version(), "torch": torch.__version__},
        metrics=metrics or {},
    )


def save_weights(folder: Path, state: dict[str, Tensor], meta: Meta) -> Meta:
    """Write both files as one; an interrupted call leaves `folder` as it was.

    Returns:
        The meta with the digest of the weights filled in.
    """
    content = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    meta = meta.model_copy(update={"weights_digest": digest_bytes(content)})
    # Both are complete on disk before either takes its place; the digest tells a pair torn by a kill in between.
    with atomic_path(folder / META_FILE) as meta_path, atomic_path(folder / WEIGHTS_FILE) as weights_path:
        weights_path.write_bytes(content)
        write_json(meta_path, meta.model_dump(mode="json"))
    return meta


def load_weights(folder: Path) -> tuple[dict[str, Tensor], Meta]:
    """Read weights written by `save_weights`.

    Raises:
        CheckpointError: a pickle, a missing or swapped file, another class order, a damaged tensor file, or NaN in it.
    """
    _refuse_pickle(folder)
    meta = load_meta(folder)
    return read_tensors(folder)[0], meta


def read_tensors(folder: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors of `weights.safetensors` and the digest of the file; foreign weights may lack a `meta.json`.

    Raises:
        CheckpointError: as `load_weights`.
    """
    path = folder / WEIGHTS_FILE
    content, digest = _read(folder)
    if (folder / META_FILE).exists() and digest != (expected := load_meta(folder).weights_digest):
        raise CheckpointError(
            f"{path}: digest {digest[:12]} is not the {expected[:12]} of {META_FILE}; "
            "the file was altered or swapped: fetch both again"
        )
    try:
        tensors = load_tensors(content)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a safetensors file: {error}") from error
    wrong = [name for name, item in tensors.items() if item.is_floating_point() and not bool(item.isfinite().all())]
    if wrong:
        raise CheckpointError(f"{path}: {wrong[0]} holds NaN or infinity; train again, or fetch another version")
    return tensors, digest


def file_digest(folder: Path) -> str:
    """The digest of `weights.safetensors`.

    Raises:
        CheckpointError: it cannot be read.
    """
    return _read(folder)[1]


def load_meta(folder: Path) -> Meta:
    """Read and check `meta.json` alone.

    Raises:
        CheckpointError: missing, malformed, or of another class order or number of landmarks.
    """
    path = folder / META_FILE
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give a folder written by `rmtl train`")
    try:
        meta = Meta.model_validate(_as_now(read_json(path)))
    except ValidationError as error:
        raise CheckpointError(f"{path}: not a description of weights: {error}") from error
    if meta.expressions != EXPRESSIONS:
        raise CheckpointError(f"{path}: classes {meta.expressions}, this version reads {EXPRESSIONS}")
    if len(meta.mean_shape) != LANDMARKS:
        raise CheckpointError(f"{path}: mean shape of {len(meta.mean_shape)} points, need {LANDMARKS}")
    return meta


def git_revision() -> str:
    """Commit of the code, `RMTL_GIT_REVISION` inside an image, or `unknown`.

    One answer for the whole process, whatever is committed after the first call.
    """
    return os.environ.get("RMTL_GIT_REVISION") or _commit()


@cache
def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _as_now(values: Any) -> Any:
    """The description with the keys of `net` that versions before them did without."""
    if isinstance(values, dict) and isinstance(values.get("net"), dict):
        return {**values, "net": _BEFORE | values["net"]}
    return values


def _read(folder: Path) -> tuple[bytes, str]:
    _refuse_pickle(folder)
    path = folder / WEIGHTS_FILE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}; give a folder written by `rmtl train`") from error
    return content, digest_bytes(content)


def _refuse_pickle(folder: Path) -> None:
    if folder.suffix in (".pth", ".pt", ".pkl", ".pickle", ".ckpt", ".bin"):
        raise CheckpointError(f"{folder}: may hold a pickle, which is never loaded; give a folder with {WEIGHTS_FILE}")
