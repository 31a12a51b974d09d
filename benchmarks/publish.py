"""Put trained weights into the folder that is published: smaller numbers, and a model card from what was measured.

First without reports; then measure what lies there (`benchmarks.published`, `.robustness`, `.speed`, each with
`--out`), and publish again with the reports. Rounding is repeatable, so both times the weights are the same bytes;
nothing is measured here. Last `dvc add weights && dvc push weights.dvc --remote bundled`, and commit weights.dvc and
benchmarks/store.

Run:
    python -m benchmarks.publish --weights artifacts/train --out weights --dtype bf16
    python -m benchmarks.publish --weights artifacts/train --out weights --dtype bf16 \\
        --reports docs/results/published.json docs/results/robustness.json docs/results/speed.json
"""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.card import Published, render
from benchmarks.entry import run, say
from model.cli import workspace
from model.errors import CheckpointError, ConfigError, GateError
from model.net.counting import parameters
from model.net.inference import FaceNet
from model.net.multitask import MultiTaskNet, build_net
from model.storage import atomic_path, read_json
from model.weights import META_FILE, WEIGHTS_FILE, Meta, file_digest, load_meta, load_weights, save_weights

CARD = "MODEL_CARD.md"
LARGEST = 6_000_000
KINDS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def main() -> None:
    """Write the folder; the former one stays where anything is wrong."""
    options = _parse()
    reports = read_reports(options.reports)
    meta = publish(options.weights, options.out, kind=options.dtype, reports=reports)
    size = sum(file.stat().st_size for file in options.out.iterdir())
    say(f"{options.out}: {size:,} bytes, weights {meta.weights_digest}")
    say("dvc add weights && dvc push weights.dvc --remote bundled" if reports else "no report given: no model card yet")


def publish(source: Path, out: Path, *, kind: str, reports: Mapping[str, Any]) -> Meta:
    """Write weights of `kind` numbers, their description and, where there are reports, the model card to `out`.

    Raises:
        CheckpointError: weights that cannot be read or rounded, or a report about other weights.
        GateError: the folder would hold more than `LARGEST` bytes.
    """
    state, meta = load_weights(source)
    net = build_net(meta.net, None, mean_shape_K2=np.asarray(meta.mean_shape), seed=0)
    with atomic_path(out) as folder:
        written = save_weights(folder, rounded(state, net, kind), meta)
        FaceNet.load(folder)
        if reports:
            _check_reports(reports, written)
            size = (folder / WEIGHTS_FILE).stat().st_size
            weights = Published(written, size, kind, meta.weights_digest, parameters(net), earlier_trainings(meta))
            (folder / CARD).write_text(render(weights, reports))
        total = sum(file.stat().st_size for file in folder.iterdir())
        if total > LARGEST:
            raise GateError(
                f"{out}: {total:,} bytes, at most {LARGEST:,} may be published; use --dtype bf16 or a smaller net"
            )
    return written


def earlier_trainings(meta: Meta) -> list[Meta]:
    """Trainings whose weights this one began from, the latest first, as far as their folders still hold them.

    Raises:
        CheckpointError: a folder that holds something unreadable.
    """
    found: list[Meta] = []
    while meta.start_digest:
        folder = Path(meta.config["train"]["start_from"])
        if not (folder / META_FILE).is_file() or file_digest(folder) != meta.start_digest:
            break
        meta = load_meta(folder)
        found.append(meta)
    return found


def rounded(state: Mapping[str, Tensor], net: MultiTaskNet, kind: str) -> dict[str, Tensor]:
    """The tensors with the factors of convolutions and matrices as `kind`; all else, a few per cent, stays as it is.

    Loading turns them back into fp32 exactly, so that only this rounding changes answers.

    Raises:
        CheckpointError: a number too large for `kind`.
    """
    factors = {name for name, item in net.named_parameters() if item.ndim > 1}
    result = {name: item.to(KINDS[kind]) if name in factors else item for name, item in state.items()}
    lost = [name for name, item in result.items() if item.is_floating_point() and not item.isfinite().all()]
    if lost:
        raise CheckpointError(f"{lost[0]}: not finite as {kind}; take --dtype bf16, which has the range of fp32")
    return result


def read_reports(paths: Iterable[Path]) -> dict[str, Any]:
    """Reports by their kind; one without a kind is an evaluation.

    Raises:
        ConfigError: two of a kind, or no evaluation among them.
    """
    reports: dict[str, Any] = {}
    for path in paths:
        report = read_json(path)
        kind = report.get("kind", "evaluation")
        if kind in reports:
            raise ConfigError(f"{path}: a second report of {kind}; give one of each")
        reports[kind] = report
    if reports and "evaluation" not in reports:
        raise ConfigError("--reports: no evaluation among them; `python -m benchmarks.published --out` writes one")
    return reports


def _check_reports(reports: Mapping[str, Any], meta: Meta) -> None:
    for kind, report in reports.items():
        if report["weights_digest"] != meta.weights_digest:
            raise CheckpointError(
                f"report of {kind}: about weights {report['weights_digest'][:12]}, these are "
                f"{meta.weights_digest[:12]}; publish without reports first, then measure that folder"
            )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publish", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=workspace.TRAIN, help="trained weights")
    parser.add_argument("--out", type=Path, default=workspace.PUBLISHED_WEIGHTS)
    parser.add_argument("--dtype", choices=KINDS, default="bf16")
    parser.add_argument("--reports", type=Path, nargs="+", default=[], help="JSON files about the published weights")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
