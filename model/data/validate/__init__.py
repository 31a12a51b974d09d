"""Step `validate`: only sound faces go on, and everything that is not is written down with its reason.

Rows are judged one by one, then the splits against each other, then what is left as a whole; `rules` has the rules
and their kinds.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from model.config.data import ValidateConfig
from model.data.manifest import read_about, read_manifest, write_manifest
from model.data.validate.columns import face_table, label_of
from model.data.validate.counts import Counts, count_parts, count_table
from model.data.validate.docs import make_self_contained, write_index
from model.data.validate.drift import judge_drift
from model.data.validate.judgement import Judgement
from model.data.validate.leaks import exact_leaks, group_leaks, near_leaks, repeated
from model.data.validate.pictures import Look, look_at
from model.data.validate.report import write_quarantine
from model.data.validate.rules import count_rules, leak_rules, row_rules, set_rules
from model.data.validate.suite import Suites
from model.data.validate.worst import write_worst
from model.schema import EXPRESSIONS, SPLITS, FaceRecord, ValidationReport
from model.storage import atomic_path, write_json

VALID_FILE = "manifest.valid.parquet"
QUARANTINE_FILE = "quarantine.csv"
REPORT_FILE = "validation.json"
DOCS_FOLDER = "data_docs"

log = logging.getLogger(__name__)


def validate_manifest(
    config: ValidateConfig, *, manifest: Path, data: Path, artifacts: Path, reports: Path
) -> ValidationReport:
    """Write the valid manifest, the quarantine, the report and its Data Docs; then judge the set.

    The Data Docs show the same outcomes as pages, and the worst rows as pictures; apart from the pages of Great
    Expectations every file is the same, byte for byte, on a rerun.

    Raises:
        UnsoundSetError: more bad rows than `budget`, an empty split, or a failed rule about the whole set. All
            files are written before.
    """
    records = read_manifest(manifest)
    with atomic_path(reports / DOCS_FOLDER) as docs:
        suites = Suites(docs)
        judgement = Judgement(records, suites)
        counts = count_parts(records, read_about(manifest), config.expected)
        looks = _judge(judgement, config, data, counts)
        drift = judge_drift(judgement, config.drift, looks, data)
        suites.write_docs()
        make_self_contained(docs)
        report = judgement.report({"labels_outside": _labels_outside(records), "official": counts}, drift)
        write_worst(docs, judgement.moved, records, looks, config=config, data=data)
        write_index(docs, report)
    write_manifest(artifacts / VALID_FILE, judgement.kept)
    write_quarantine(artifacts / QUARANTINE_FILE, judgement.moved)
    write_json(reports / REPORT_FILE, asdict(report))
    log.info("%d of %d faces are valid, %d went to quarantine", report.valid, report.rows, report.quarantined)
    for warning in report.warnings:
        log.warning("%s", warning)
    judgement.stop_if_unsound(config.budget, artifacts / QUARANTINE_FILE, report)
    return report


def _judge(judgement: Judgement, config: ValidateConfig, data: Path, counts: Counts) -> Mapping[str, Look]:
    sound = [record for record in judgement.kept if record.problem is None and _pixels(record) <= config.max_pixels]
    looks = look_at(sound, data=data, max_pixels=config.max_pixels)
    table = face_table(judgement.kept, looks, margin=config.margin)
    judgement.apply("faces", table, row_rules(config))
    expected = {part: count["expected"] for part, count in counts.items()}
    judgement.apply("counts", count_table(counts), count_rules(expected))
    judgement.apply("splits", _leak_table(judgement.kept, looks, config), leak_rules(config.leakage))
    empty = [split for split in SPLITS if all(record.split != split for record in judgement.kept)]
    judgement.apply("whole", _set_table(judgement.kept), set_rules(_class_counts(judgement.kept), empty))
    pictures, labels = repeated(judgement.kept)
    if pictures:
        judgement.warnings.append(
            f"{pictures} pictures stand twice in their split, {labels} of them with another label"
        )
    return looks


def _leak_table(records: list[FaceRecord], looks: Mapping[str, Look], config: ValidateConfig) -> pd.DataFrame:
    near = near_leaks(records, looks, bits=config.near_duplicate_bits, correlation=config.near_duplicate_correlation)
    columns = {"exact_leak": exact_leaks(records), "near_leak": near, "group_leak": group_leaks(records)}
    table = pd.DataFrame({"row": range(len(records)), "image": [record.image for record in records]})
    return table.assign(**{name: pd.Series(values, dtype=object) for name, values in columns.items()})


def _set_table(records: list[FaceRecord]) -> pd.DataFrame:
    """The columns that rules about the whole set look at."""
    names = ("record_id", "image", "split", "expression")
    table = pd.DataFrame({"row": range(len(records))})
    return table.assign(**{name: pd.Series([getattr(each, name) for each in records], dtype=object) for name in names})


def _pixels(record: FaceRecord) -> int:
    return (record.width or 0) * (record.height or 0)


def _class_counts(records: list[FaceRecord]) -> dict[str, dict[str, int]]:
    """Faces of each expression in the splits that have expressions."""
    counts = {split: Counter(record.expression for record in records if record.split == split) for split in SPLITS}
    classes = {split: {name: count[name] for name in EXPRESSIONS} for split, count in counts.items()}
    return {split: count for split, count in classes.items() if any(count.values())}


def _labels_outside(records: list[FaceRecord]) -> dict[str, int]:
    """Known labels that are none of our seven, by name."""
    labels = Counter(label_of(record) for record in records if record.expression is None)
    return {name: labels[name] for name in sorted(labels) if name}
