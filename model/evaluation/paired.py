"""Challenger less champion, face by face: intervals of differences, from two tables of predictions."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.config import EvaluateConfig
from model.data.manifest import read_manifest
from model.errors import DataContractError
from model.evaluation.answers import FaceAnswers, FaceTruth, read_truth
from model.evaluation.bootstrap import Resampler
from model.evaluation.comparison import Comparison, Difference
from model.evaluation.landmarks import Array
from model.evaluation.measures import DECIMALS, Mask, Statistic, all_statistics, face_errors
from model.evaluation.slices import slice_masks
from model.schema import LANDMARKS, LANDMARKS_19, EvaluationReport, FaceRecord

Measured = tuple[EvaluationReport, Path]
"""An evaluation and its table of predictions."""

_TASKS = ("landmarks", "landmarks19", "expression")
_COMPARED = ("nme", "macro_f1", "f1")


def compare(
    config: EvaluateConfig, challenger: Measured, champion: Measured, *, manifest: Path, seed: int
) -> Comparison:
    """Intervals of the differences of NME, macro-F1 and F1 on every slice.

    Args:
        manifest: the one that both were evaluated on.

    Raises:
        DataContractError: a table holds other faces than the manifest.
    """
    records = [record for record in read_manifest(manifest) if record.split == config.split and record.problem is None]
    truth = read_truth(records)
    masks = slice_masks(records, truth.landmarks_NK2, truth.box_N4, config)
    resampler = Resampler.of_faces(records, config, seed=seed)
    new, old = (_statistics(config, path, records, truth) for _, path in (challenger, champion))
    return Comparison(
        weights_digest=challenger[0].weights_digest,
        champion_digest=champion[0].weights_digest,
        data_digest=challenger[0].data_digest,
        level=config.interval,
        differences=[row for key in new if key in old for row in _differences(new[key], old[key], masks, resampler)],
    )


def _statistics(
    config: EvaluateConfig, predictions: Path, records: list[FaceRecord], truth: FaceTruth
) -> dict[tuple[object, ...], Statistic]:
    table = pq.read_table(predictions)
    if table["record_id"].to_pylist() != [record.record_id for record in records]:
        raise DataContractError(f"{predictions}: holds other faces than the manifest; evaluate both on the same data")
    answers = FaceAnswers(
        landmarks_NK2=_points(table, "landmarks", LANDMARKS),
        confidence_NK=None,
        probabilities_NE=_rows(table, "probabilities"),
        points19_NM2=_points(table, "points19", LANDMARKS_19),
        base_landmarks_NK2=None,
        base_probabilities_NE=None,
    )
    errors = face_errors(answers, truth, config)
    every = all_statistics(answers, truth, errors, config=config, temperature=1.0)
    # Calibration is not compared, so the temperature does not matter.
    return {
        (item.task, *item.columns): item
        for item in every
        if item.task in _TASKS and any(column.metric in _COMPARED for column in item.columns)
    }


def _differences(
    new: Statistic, old: Statistic, masks: Mapping[str, Mask], resampler: Resampler
) -> Iterator[Difference]:
    terms_NC, width = np.concatenate([new.terms_NC, old.terms_NC], axis=1), new.terms_NC.shape[1]

    def difference(sums_C: Array) -> Array:
        return np.asarray(new.values(sums_C[..., :width]) - old.values(sums_C[..., width:]))

    for name, mask_N in masks.items():
        sums_C = terms_NC[mask_N].sum(axis=0)
        numbers = np.minimum(new.numbers(sums_C[:width]), old.numbers(sums_C[width:]))
        if not new.covers(name) or not numbers.any():
            continue
        value = difference(sums_C)
        low, high = resampler.interval(terms_NC, difference, mask_N)
        for place, column in enumerate(new.columns):
            if column.metric in _COMPARED and not np.isnan(value[place]):
                yield Difference(
                    task=new.task,
                    metric=column.metric,
                    normaliser=column.normaliser,
                    subset=column.subset or name,
                    value=round(100 * float(value[place]), DECIMALS),
                    low=_percent(low[place]),
                    high=_percent(high[place]),
                    n=int(numbers[place]),
                )


def _percent(value: float) -> float | None:
    return None if np.isnan(value) else round(100 * float(value), DECIMALS)


def _rows(table: pa.Table, name: str) -> Array | None:
    rows = table[name].to_pylist()
    return np.array(rows, float) if rows and rows[0] is not None else None


def _points(table: pa.Table, name: str, number: int) -> Array | None:
    rows_N = _rows(table, name)
    return None if rows_N is None else rows_N.reshape(-1, number, 2)
