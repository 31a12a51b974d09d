"""Fit the conventions of trained weights on held-out faces and write them into their meta.json.

Run:
    python -m benchmarks.conventions --weights artifacts/train --name fer2013=labels --name ferplus=votes
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from benchmarks.entry import run, say
from model.cli import workspace
from model.convention import Convention
from model.data.manifest import read_manifest
from model.errors import ConfigError
from model.evaluation.answers import answer_faces
from model.evaluation.calibration import fit_convention
from model.net.inference import FaceNet
from model.schema import EXPRESSIONS, FaceRecord
from model.storage import write_json
from model.weights import META_FILE

Array = npt.NDArray[np.float64]
Kind = Literal["labels", "votes"]

FOLDS = 5
_CLASSES = len(EXPRESSIONS)


def main() -> None:
    """Print each convention's accuracy on faces that it was not fitted to, then fit it to all and keep it."""
    options = _parse()
    net = FaceNet.load(options.weights)
    records = [record for record in read_manifest(options.manifest) if record.split == "val" and record.expression]
    answers = answer_faces(net, records, data=options.data, batch_size=64).probabilities_NE if records else None
    if answers is None:
        raise ConfigError(f"{options.manifest}: no held-out face with an expression, or weights that name none")
    found = {}
    for name, kind in options.name:
        chosen, targets_NE = held_out_targets(records, kind)
        found[name] = fit_convention(answers[chosen], targets_NE, kind)
        plain, translated = accuracies(answers[chosen], targets_NE, kind)
        say(f"{name}: {plain:.1f} % of {len(targets_NE):,} held-out faces as answered, {translated:.1f} % translated")
    keep(options.weights, net, found)


def held_out_targets(records: list[FaceRecord], kind: Kind) -> tuple[npt.NDArray[np.int64], Array]:
    """Places of the faces that have this kind of label, and what it says of each as shares of the classes.

    Raises:
        ConfigError: no face has it.
    """
    rows = list(_targets(records, kind))
    if not rows:
        raise ConfigError(f"no held-out face has {kind}; see `votes` of index.sources")
    return np.array([place for place, _ in rows]), np.array([shares for _, shares in rows])


def accuracies(probabilities_NE: Array, targets_NE: Array, kind: Kind) -> tuple[float, float]:
    """Share in percent of faces whose most probable class is the target's, before and after the translation.

    Each fifth of the faces is translated as the other four were fitted.
    """
    translated_NE = probabilities_NE.copy()
    fold_N = np.arange(len(targets_NE)) % FOLDS
    for fold in range(FOLDS):
        fitted = fit_convention(probabilities_NE[fold_N != fold], targets_NE[fold_N != fold], kind)
        translated_NE[fold_N == fold] = fitted.translate(probabilities_NE[fold_N == fold])
    true_N = targets_NE.argmax(axis=1)
    plain, translated = ((given.argmax(axis=1) == true_N).mean() for given in (probabilities_NE, translated_NE))
    return 100 * float(plain), 100 * float(translated)


def keep(folder: Path, net: FaceNet, conventions: dict[str, Convention]) -> None:
    """Write the conventions into the description of the weights, in place of those that it had."""
    meta = net.meta.model_copy(update={"conventions": conventions})
    write_json(folder / META_FILE, meta.model_dump(mode="json"))


def _targets(records: list[FaceRecord], kind: Kind) -> Iterator[tuple[int, Array]]:
    for place, record in enumerate(records):
        if kind == "labels":
            yield place, np.eye(_CLASSES)[EXPRESSIONS.index(str(record.expression))]
        elif record.votes is not None and (votes := np.array(record.votes[:_CLASSES], float)).any():
            yield place, votes / votes.sum()


def _named(text: str) -> tuple[str, Kind]:
    name, _, kind = text.partition("=")
    if name and kind == "labels":
        return name, "labels"
    if name and kind == "votes":
        return name, "votes"
    raise argparse.ArgumentTypeError(f"{text}: need NAME=labels or NAME=votes")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conventions", description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, default=workspace.TRAIN)
    parser.add_argument("--manifest", type=Path, default=workspace.VALID_MANIFEST)
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--name", type=_named, action="append", required=True, help="NAME=labels or NAME=votes")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
