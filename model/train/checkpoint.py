"""What a training needs to go on as if it had never stopped: `last/state.json` and the tensors it names.

The JSON is readable and is renamed into place last, so a kill at any moment leaves the former checkpoint whole. No
random state is kept: every draw of a step is seeded by the number of the step.
"""

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from model.config import TrainRun
from model.errors import CheckpointError
from model.source import training_digest
from model.storage import atomic_path, digest_bytes, read_json, write_json
from model.train.spool import SPOOL_FILE
from model.weights import file_digest

logger = logging.getLogger(__name__)

FOLDER = "last"
STATE_FILE = "state.json"


@dataclass
class Progress:
    """Where a training stands, in plain values.

    Attributes:
        epoch: epochs finished, validation included.
        step: steps done in the epoch that runs.
        bad_steps: non-finite steps in a row, up to now.
        sums: total and number of each loss term since the epoch began.
        best_epoch: the epoch whose weights are kept, -1 before the first validation.
        best_metrics: its held-out metrics, by name.
        transfer_since: epoch at whose end the association map first beat chance by the margin; -1 before that.
        transfer_margin: held-out median cross-entropy of the map's moving average, the `m` of the third loss.
    """

    epoch: int = 0
    step: int = 0
    bad_steps: int = 0
    sums: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = -1
    best_score: float = 0.0
    best_metrics: dict[str, float] = field(default_factory=dict)
    transfer_since: int = -1
    transfer_margin: float = 0.0


@dataclass(frozen=True)
class Origin:
    """What a checkpoint belongs to; training goes on only with the same configuration, data and shards of them.

    Attributes:
        code_digest: the source that decided the weights; what it has changed since tells whether they are up to date.
    """

    config_digest: str
    data_digest: str
    shards_digest: str
    code_digest: str


def origin_of(run: TrainRun, index: Mapping[str, Any]) -> Origin:
    """What a training by the code here belongs to.

    Args:
        index: `index.json` of the shards.
    """
    return Origin(config_digest(run), str(index["data_digest"]), shards_digest(index), training_digest()[:16])


def shards_digest(index: Mapping[str, Any]) -> str:
    """Digest of the shards that `index.json` describes: of their bytes, and of how the faces were cut."""
    return digest_bytes(json.dumps(index, sort_keys=True).encode())[:16]


def config_digest(run: TrainRun) -> str:
    """Digest of the seed and the section `train`; weights that training starts from count by their content."""
    settings = run.model_dump(mode="json")
    if run.train.start_from:
        settings["train"]["start_from"] = file_digest(Path(run.train.start_from))
    return digest_bytes(json.dumps(settings, sort_keys=True).encode())[:16]


def save(out: Path, progress: Progress, tensors: dict[str, Tensor], origin: Origin) -> None:
    """Replace the checkpoint under `out`; one that is not finite is refused.

    Raises:
        CheckpointError: a tensor holds NaN or infinity.
        StorageError: no room on the disk; the former checkpoint is unchanged.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CheckpointError(f"{out / FOLDER}: {name} is not finite, the former checkpoint stays; lower train.lr")
    content = save_tensors({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    digest = digest_bytes(content)
    folder = out / FOLDER
    path = folder / f"tensors-{digest[:16]}.safetensors"
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    write_json(
        folder / STATE_FILE,
        {"tensors": path.name, "digest": digest, "origin": asdict(origin), "progress": asdict(progress)},
    )
    for former in folder.glob("tensors-*.safetensors"):
        if former != path:
            former.unlink()


def load(out: Path, origin: Origin) -> tuple[Progress, dict[str, Tensor]] | None:
    """The checkpoint under `out`, or None where there is none.

    Raises:
        CheckpointError: it belongs to another configuration or other data, or it is damaged.
    """
    folder = out / FOLDER
    if not (folder / STATE_FILE).exists():
        return None
    state = read_json(folder / STATE_FILE)
    try:
        _check_origin(folder, state["origin"], origin)
        content = (folder / state["tensors"]).read_bytes()
        if digest_bytes(content) != state["digest"]:
            raise CheckpointError(f"{folder / state['tensors']}: altered since it was written; {_remedy(folder)}")
        return Progress(**state["progress"]), load_tensors(content)
    except (KeyError, TypeError, OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: not a checkpoint of this version ({error}); {_remedy(folder)}") from error


def drop_foreign(out: Path, origin: Origin) -> bool:
    """Remove a checkpoint under `out` that has another configuration, data, shards or code; whether there was one.

    Without a checkpoint to go on from, the spool goes too: whoever follows it would take it for that of the new
    training. For callers whose outputs follow the configuration, such as a DVC stage; `load` refuses such a checkpoint.
    """
    folder = out / FOLDER
    found = (folder / STATE_FILE).exists()
    if found and read_json(folder / STATE_FILE).get("origin") == asdict(origin):
        return False
    (out / SPOOL_FILE).unlink(missing_ok=True)
    if not found:
        return False
    shutil.rmtree(folder)
    logger.warning("%s: made with another configuration, other data or code; training begins anew", folder)
    return True


def pack(**parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """One flat dictionary; the names of each part get its prefix."""
    return {f"{part}/{name}": tensor for part, tensors in parts.items() for name, tensor in tensors.items()}


def unpack(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    """The part of a packed dictionary."""
    prefix = f"{part}/"
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _check_origin(folder: Path, found: dict[str, Any], wanted: Origin) -> None:
    labels = {
        "config_digest": "configuration (seed or section train)",
        "data_digest": "data",
        "shards_digest": "shards (section shard)",
    }
    for name, label in labels.items():
        now = getattr(wanted, name)
        if found[name] != now:
            raise CheckpointError(
                f"{folder}: made with another {label}: {found[name]}, now {now}; {_remedy(folder)}",
            )


def _remedy(folder: Path) -> str:
    return f"delete {folder} to begin anew, or choose another output folder"
