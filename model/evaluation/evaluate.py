"""Step `evaluate`: weights and a checked manifest in, a report with intervals, plots and predictions out.

Run: rmtl evaluate
"""

import logging
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.config import EvaluateConfig
from model.data.manifest import data_digest, read_manifest
from model.data.restricted import Restricted
from model.errors import DataContractError
from model.evaluation.answers import FaceAnswers, answer_faces, read_truth
from model.evaluation.bootstrap import Resampler
from model.evaluation.findings import Errors, Findings
from model.evaluation.landmarks import Array
from model.evaluation.measures import (
    all_statistics,
    convention_statistics,
    face_errors,
    measure,
    simple_statistics,
)
from model.evaluation.report import write_report
from model.evaluation.simple import answer_simply
from model.evaluation.slices import ALL, slice_masks
from model.net.inference import FaceNet
from model.schema import EXPRESSIONS, EvaluationReport, FaceRecord, Measure, to_json
from model.storage import atomic_path, write_json
from model.weights import Meta

logger = logging.getLogger(__name__)

REPORT_FORMAT = 1


def evaluate(  # noqa: PLR0913  the step's inputs and outputs, each a path of its own
    config: EvaluateConfig, *, weights: Path, manifest: Path, data: Path, reports: Path, predictions: Path, seed: int
) -> EvaluationReport:
    """Measure a set of weights on one split.

    Pictures are opened, cut and answered as the predictor does it; beside the answers stand those of a simple model
    fitted on the training faces. Writes `reports/evaluation.json`, plots and their
    tables under `reports/plots/`, `reports/evaluation.html`, and one row a face to `predictions`. Equal inputs give
    equal bytes.

    Raises:
        DataContractError: the split is empty, or a picture is not the one that was indexed.
        CheckpointError: the weights cannot be loaded, or answer with something that is not finite.
    """
    every = read_manifest(manifest)
    records = [record for record in every if record.split == config.split and record.problem is None]
    if not records:
        raise DataContractError(
            f"{manifest}: no face in split {config.split}; check `index.sources` and `rmtl validate`"
        )
    net = FaceNet.load(weights)
    answers = answer_faces(net, records, data=data, batch_size=config.batch_size)
    simple = answer_simply(
        [record for record in every if record.split == "train" and record.problem is None],
        records,
        data=data,
        seed=seed,
    )
    truth = read_truth(records)
    errors = face_errors(answers, truth, config)
    masks = slice_masks(records, truth.landmarks_NK2, truth.box_N4, config)
    resampler = Resampler.of_faces(records, config, seed=seed)
    measures = [
        row
        for statistic in chain(
            all_statistics(answers, truth, errors, config=config, temperature=net.meta.temperature),
            convention_statistics(answers, truth, net.meta.conventions),
            simple_statistics(simple, truth, config),
        )
        for row in measure(statistic, masks, resampler, config.split)
    ]
    report = EvaluationReport(
        weights_digest=net.meta.weights_digest,
        data_digest=data_digest(every),
        summary=summarise(measures),
        measures=measures,
    )
    warnings = find_warnings(report, net.meta)
    for warning in warnings:
        logger.warning("%s", warning)
    _write_predictions(predictions, records, answers, errors)
    findings = Findings(
        config=config,
        report=report,
        meta=net.meta,
        records=records,
        restricted=Restricted(every),
        answers=answers,
        truth=truth,
        errors=errors,
        slices=list(masks),
        warnings=warnings,
        data=data,
    )
    write_report(findings, reports)
    write_json(reports / "evaluation.json", _plain(report, net.meta, warnings))
    return report


def summarise(measures: Sequence[Measure]) -> dict[str, float]:
    """Headline values of all faces by name: `test/nme_interocular`, `test/fr_8`, `test/macro_f1_base` and so on."""
    summary = {}
    for row in measures:
        name = headline_name(row)
        if row.subset == ALL and row.value is not None:
            summary[f"{row.split}/{name}"] = row.value
    return summary


def headline_name(row: Measure) -> str:
    """Name of a measure among the headlines, without the split."""
    task, _, variant = row.task.partition("_")
    tail = f"_{variant}" if variant else ""
    points = task.removeprefix("landmarks") if task.startswith("landmarks") else ""
    match row.metric:
        case "nme":
            length = (row.normaliser or "").replace("_", "").replace("box", "")
            return f"nme{points}_{length}{tail}"
        case "fr" | "auc":
            return f"{row.metric}{points}_{100 * (row.threshold or 0):g}{tail}"
        case _:
            return f"{row.metric}{tail}"


def find_warnings(report: EvaluationReport, meta: Meta) -> list[str]:
    """What a reader must know before the numbers: other data than in training, classes without a face."""
    warnings = []
    if meta.data_digest != report.data_digest:
        warnings.append(
            f"The weights were trained on data {meta.data_digest}, this is data {report.data_digest}: "
            "a test face may have been a training face there"
        )
    missing = [row.subset for row in report.measures if row.metric == "recall" and row.n == 0]
    if missing:
        names = ", ".join(name.removeprefix("class=") for name in missing)
        warnings.append(
            f"There is no face of {names}: averages are over the other {len(EXPRESSIONS) - len(missing)} classes"
        )
    return warnings


def _plain(report: EvaluationReport, meta: Meta, warnings: Sequence[str]) -> dict[str, Any]:
    values = to_json(report)
    return {
        "format": REPORT_FORMAT,
        "weights_digest": values["weights_digest"],
        "data_digest": values["data_digest"],
        "trained_on": meta.data_digest,
        "warnings": list(warnings),
        "summary": values["summary"],
        "measures": values["measures"],
    }


def _write_predictions(path: Path, records: Sequence[FaceRecord], answers: FaceAnswers, errors: Errors) -> None:
    """One row a face: what was asked, what was answered, how wrong it was (fractions), and the label."""
    number = len(records)
    classes = None if answers.probabilities_NE is None else answers.probabilities_NE.argmax(axis=1)
    columns = {
        "record_id": [record.record_id for record in records],
        "image": [record.image for record in records],
        "source": [record.source for record in records],
        "subset": [record.subset for record in records],
        "box": [record.box for record in records],
        "landmarks": _rows(answers.landmarks_NK2, number),
        "confidence": _rows(answers.confidence_NK, number),
        "points19": _rows(answers.points19_NM2, number),
        "probabilities": _rows(answers.probabilities_NE, number),
        "predicted": [None] * number if classes is None else [EXPRESSIONS[place] for place in classes],
        "expression": [record.expression for record in records],
    }
    table = pa.table({name: pa.array(values, type=_column_type(name)) for name, values in columns.items()})
    for (task, kind), errors_N in errors.items():
        table = table.append_column(f"nme_{task}_{kind}", pa.array(errors_N, from_pandas=True))
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _column_type(name: str) -> pa.DataType:
    lists = ("box", "landmarks", "confidence", "points19", "probabilities")
    return pa.list_(pa.float64()) if name in lists else pa.string()


def _rows(values_Nx: Array | None, number: int) -> list[list[float] | None]:
    return [None] * number if values_Nx is None else [list(row) for row in np.reshape(values_Nx, (number, -1))]
