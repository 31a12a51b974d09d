"""How many planted wrong labels the audit finds, at how many false flags, and what wrong labels cost a classifier.

A share of the expression labels moves to another class drawn evenly (symmetric noise). On the bundled sample the
generator knows which labels it had moved itself; elsewhere every label counts as right before the planting, and FER+
votes, where they are, say how often the suspects of the unchanged set were right.

Run:
    python -m benchmarks.label_noise --manifest artifacts/manifest.valid.parquet --work artifacts/audit \
        --out docs/results/label-noise.json
    python -m benchmarks.label_noise --table docs/results/label-noise.json
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.entry import Report, measure_or_show, run
from benchmarks.sample.plan import Sizes, plan_faces
from model.audit.audit import find_suspects
from model.audit.classifier import Labels, Probabilities, fold_groups, out_of_fold
from model.audit.features import views_of
from model.audit.landmarks import load_landmark_net, train_landmark_net
from model.cli.app import PARAMS_FILE
from model.config import AuditConfig, load_config
from model.data.manifest import data_digest, read_manifest
from model.evaluation.expression import majority_label
from model.evaluation.markdown import markdown
from model.schema import EXPRESSIONS, NO_LABEL, FaceRecord

KIND = "label-noise"
FALSE_FLAGS = 0.1
SIZES = Sizes(train_landmarks=700, train_expressions=1400, val=200, test=600)
"""The bundled sample, as `python -m benchmarks.sample` makes it by default."""


def main() -> None:
    """Measure, or print the table of what was measured."""
    measure_or_show(_parser(), _measure, table)


def _measure(options: argparse.Namespace) -> Report:
    torch.set_num_threads(1)
    config = load_config(PARAMS_FILE)
    records = read_manifest(options.manifest)
    net = load_landmark_net(options.landmarks) if options.landmarks else None
    if net is None:
        net = train_landmark_net(
            config.audit, config.run, config.shard, records=records, data=options.data, out=options.work
        )
    faces = [record for record in records if record.expression is not None]
    views = views_of(faces, net, data=options.data, seed=config.seed)
    trial = Trial(config.audit, faces, views, seed=config.seed)
    rows = [trial.unchanged(), *(trial.planted(options.share, seed) for seed in range(options.plantings))]
    return {
        "format": 1,
        "kind": KIND,
        "data_digest": data_digest(records),
        "landmarks": net.meta.metrics if net else None,
        "audit": config.audit.model_dump(),
        "rows": rows,
    }


class Trial:
    """One set of faces under the audit, as it is and with planted flips."""

    def __init__(self, config: AuditConfig, faces: Sequence[FaceRecord], views: Any, *, seed: int) -> None:
        self._config, self._views, self._seed = config, views, seed
        self._label_N = np.array([EXPRESSIONS.index(str(face.expression)) for face in faces], dtype=np.int64)
        self._true_N = true_labels(faces)
        self._votes_N = np.array([majority_label(face.votes) for face in faces], dtype=np.int64)
        self._fold_N = fold_groups([face.group or face.record_id for face in faces], config.folds, seed=seed)

    def unchanged(self) -> dict[str, Any]:
        """The audit of the set as it is; by votes, where there are any."""
        probability_NE = self._judge(self._label_N)
        row = {"planted": 0, **self._measure(probability_NE, self._label_N, np.zeros(len(self._label_N), bool))}
        voted = self._votes_N != NO_LABEL
        if voted.any():
            flagged = _flags(self._label_N, probability_NE, self._config) & voted
            differs = self._votes_N != self._label_N
            row["votes_differ"] = _share(differs[voted])
            row["votes_differ_of_flagged"] = _share(differs[flagged])
            row["suggestion_is_vote"] = _share((probability_NE.argmax(axis=1) == self._votes_N)[flagged])
        return row

    def planted(self, share: float, planting: int) -> dict[str, Any]:
        """The audit after `share` of the labels moved to another class."""
        generator = np.random.default_rng([self._seed, planting])
        chosen = generator.permutation(len(self._label_N))[: round(share * len(self._label_N))]
        label_N = self._label_N.copy()
        label_N[chosen] = (label_N[chosen] + generator.integers(1, len(EXPRESSIONS), len(chosen))) % len(EXPRESSIONS)
        planted = np.zeros(len(label_N), bool)
        planted[chosen] = True
        return {"planted": len(chosen), **self._measure(self._judge(label_N), label_N, planted)}

    def _judge(self, label_N: Labels) -> Probabilities:
        classes = len(EXPRESSIONS)
        return out_of_fold(self._views, label_N, self._fold_N, classes=classes, seed=self._seed)

    def _measure(self, probability_NE: Probabilities, label_N: Labels, planted_N: Any) -> dict[str, Any]:
        """`found` at `FALSE_FLAGS` of the right labels; `found_planted` where every label not planted counts as right.

        A planted flip may undo one of the generator's.
        """
        score_N = probability_NE[np.arange(len(label_N)), label_N]
        wrong_N = label_N != self._true_N
        flagged_N = _flags(label_N, probability_NE, self._config)
        return {
            "faces": len(label_N),
            "wrong": int(wrong_N.sum()),
            "accuracy": _share(probability_NE.argmax(axis=1) == self._true_N),
            "found": _found_at(score_N, wrong_N),
            "found_planted": _found_at(score_N, planted_N),
            "flagged": int(flagged_N.sum()),
            "flagged_of_wrong": _share(flagged_N[wrong_N]),
            "flagged_of_right": _share(flagged_N[~wrong_N]),
        }


def true_labels(faces: Sequence[FaceRecord]) -> Labels:
    """The class that the generator drew, for faces of the bundled sample; the given label for all others."""
    drawn = {f"sample/{job.split}.tar!{job.index:06d}.webp": job for job in plan_faces(SIZES, seed=0)}
    names = []
    for face in faces:
        job = drawn.get(face.image)
        names.append(job.shown if job is not None and job.label == face.expression else str(face.expression))
    return np.array([EXPRESSIONS.index(name) for name in names], dtype=np.int64)


def table(report: Report) -> str:
    """Markdown: the unchanged set, then the mean over the plantings."""
    heads = ["labels", "wrong", "found at 10 % false", "of planted alone", "flagged", "of wrong %", "of right %"]
    plantings = [row for row in report["rows"] if row["planted"]]
    rows = [_cells("as they are", [row for row in report["rows"] if not row["planted"]])]
    if plantings:
        rows.append(_cells(f"{plantings[0]['planted']:,} planted, {len(plantings)} times", plantings))
    return markdown([*heads, "accuracy out of fold %"], rows)


def _cells(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    def mean(key: str) -> float | None:
        values = [row[key] for row in rows if row[key] is not None]
        return float(np.mean(values)) if values else None

    counts = {key: mean(key) for key in ("wrong", "flagged")}
    shares = {key: mean(key) for key in ("found", "found_planted", "flagged_of_wrong", "flagged_of_right", "accuracy")}
    told = {key: "-" if value is None else f"{value:,.0f}" for key, value in counts.items()}
    told |= {key: "-" if value is None else f"{100 * value:.1f}" for key, value in shares.items()}
    order = ("wrong", "found", "found_planted", "flagged", "flagged_of_wrong", "flagged_of_right", "accuracy")
    return [name, *(told[key] for key in order)]


def _flags(label_N: Labels, probability_NE: Probabilities, config: AuditConfig) -> Any:
    flagged = np.zeros(len(label_N), bool)
    flagged[find_suspects(label_N, probability_NE, flagged=config.flagged)[1]] = True
    return flagged


def _found_at(score_N: Any, wrong_N: Any) -> float | None:
    """Share of the wrong rows that score below the lowest tenth of the right ones."""
    if not wrong_N.any():
        return None
    return _share(score_N[wrong_N] < np.quantile(score_N[~wrong_N], FALSE_FLAGS))


def _share(values: Any) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.label_noise", description=__doc__.splitlines()[0])
    parser.add_argument("--manifest", type=Path, default=Path("artifacts/manifest.valid.parquet"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--work", type=Path, default=Path("artifacts/audit"), help="where the landmark network trains")
    parser.add_argument("--landmarks", type=Path, help="weights that find points, instead of training some")
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--plantings", type=int, default=5)
    return parser


if __name__ == "__main__":
    run(main)
