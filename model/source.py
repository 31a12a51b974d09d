"""Digests of this project's own source, which tell whether something was made by the code that is here now."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from model.storage import digest_bytes, digest_tree

ROOT = Path(__file__).parents[1]

TRAINING = (
    "model/data/augment.py",
    "model/data/batches.py",
    "model/data/codec.py",
    "model/data/faces.py",
    "model/data/loader.py",
    "model/data/sampler.py",
    "model/data/shards.py",
    "model/data/transforms.py",
    "model/evaluation/calibration.py",
    "model/evaluation/expression.py",
    "model/evaluation/landmarks.py",
    "model/net",
    "model/schema.py",
    "model/train",
)
"""What decides which weights a training makes of given shards: the sources of stage `train` in dvc.yaml."""


def digest_source(items: Iterable[str]) -> str:
    """SHA-256 over files and folders of source, named from the folder that holds `model`; compiled files left out."""
    return digest_bytes("\n".join(_digest(ROOT / item) for item in sorted(items)).encode())


@cache
def training_digest() -> str:
    """Digest of the source that decides which weights a training makes."""
    return digest_source(TRAINING)


def _digest(path: Path) -> str:
    files = [path] if path.is_file() else sorted(path.rglob("*"))
    kept = (file for file in files if file.is_file() and "__pycache__" not in file.parts)
    return digest_bytes("".join(f"{file.name} {digest_tree(file)}\n" for file in kept).encode())
