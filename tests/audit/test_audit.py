"""The audit of labels: what it finds, what it must not look at, what it shows."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.audit import audit_labels
from model.audit.audit import find_suspects
from model.audit.classifier import fold_groups, out_of_fold
from model.audit.features import views_of
from model.audit.landmarks import load_landmark_net
from model.audit.sheet import write_sheet
from model.config import AuditConfig, Config
from model.data.manifest import write_manifest
from model.errors import ConfigError, DataContractError
from model.schema import EXPRESSIONS, FLIP_68, FaceRecord
from tests.command import Command
from tests.untrained import make_weights

AUDIT = AuditConfig(folds=5, epochs=1, flagged=0.85)
Draw = Callable[[int], tuple[list[FaceRecord], Path]]


def flipped(records: list[FaceRecord], share: float) -> tuple[list[FaceRecord], set[str]]:
    """The records with a share of their labels moved to another class, and the ids of those."""
    generator = np.random.default_rng(0)
    chosen = set(generator.permutation(len(records))[: round(share * len(records))].tolist())
    moved = []
    for row, record in enumerate(records):
        step = int(generator.integers(1, 7)) if row in chosen else 0
        name = EXPRESSIONS[(EXPRESSIONS.index(str(record.expression)) + step) % 7]
        moved.append(replace(record, expression=name))
    return moved, {records[row].record_id for row in chosen}


def test_planted_flips_are_found_at_few_false_flags(drawn: Draw, landmark_weights: Path) -> None:
    """T07: 20 % symmetric flips; 70 % found, 10 % false, and the class that was drawn is suggested."""
    records, data = drawn(420)
    moved, planted = flipped(records, 0.2)
    net = load_landmark_net(landmark_weights)
    report = audit_labels(AUDIT, moved, net, data=data, data_digest="d", seed=0)
    found = {suspect.row: suspect for suspect in report.suspects}
    assert len(planted & set(found)) >= 0.7 * len(planted)
    assert len(set(found) - planted) <= 0.1 * (len(records) - len(planted))
    drawn_as = {record.record_id: record.expression for record in records}
    right = [found[row].suggested == drawn_as[row] for row in planted & set(found)]
    assert np.mean(right) > 0.8
    scores = [suspect.score for suspect in report.suspects]
    assert scores == sorted(scores)
    clean = audit_labels(AUDIT, records, net, data=data, data_digest="d", seed=0)
    assert len(clean.suspects) <= 0.05 * len(records)
    assert clean.accuracy > report.accuracy


def test_an_answer_does_not_depend_on_the_label_it_judges(drawn: Draw, landmark_weights: Path) -> None:
    records, data = drawn(105)
    views = views_of(records, load_landmark_net(landmark_weights), data=data, seed=0)
    assert [view.name for view in views] == ["texture", "shape", "change"]
    label_N = np.arange(105) % 7
    fold_N = fold_groups([str(record.group) for record in records], 5, seed=0)
    other_N = np.where(fold_N == 0, (label_N + 3) % 7, label_N)
    first, second = (out_of_fold(views, labels, fold_N, classes=7, seed=0) for labels in (label_N, other_N))
    judged = fold_N == 0
    assert np.array_equal(first[judged].argsort(axis=1), second[judged].argsort(axis=1))
    assert not np.array_equal(first[~judged].argsort(axis=1), second[~judged].argsort(axis=1))


def test_faces_of_a_person_stay_in_one_fold() -> None:
    groups = [f"p{row // 3}" for row in range(60)]
    fold_N = fold_groups(groups, 4, seed=0)
    assert np.bincount(fold_N).tolist() == [15, 15, 15, 15]
    assert all(len(set(fold_N[start : start + 3])) == 1 for start in range(0, 60, 3))


def test_the_mirrored_row_of_a_face_is_the_shape_of_its_mirror_image(drawn: Draw, landmark_weights: Path) -> None:
    records, data = drawn(12)
    net = load_landmark_net(landmark_weights)
    shape = views_of(records, net, data=data, seed=0)[1]
    turned = [replace(record, points=_mirrored(record)) for record in records]
    other = views_of(turned, net, data=data, seed=0)[1]
    assert np.allclose(shape.mirrored_ND, other.plain_ND, atol=1e-3)


def test_without_points_the_crops_alone_are_judged(drawn: Draw) -> None:
    records, data = drawn(70)
    shown = [replace(record, image=f"{row % 7}.png", sha256=None) for row, record in enumerate(records)]
    moved, planted = flipped(shown, 0.1)
    every = AUDIT.model_copy(update={"flagged": 1.0})
    report = audit_labels(every, moved, None, data=data, data_digest="d", seed=0)
    assert (report.labelled, report.landmarks) == (70, "")
    drawn_as = {record.record_id: record.expression for record in records}
    assert {suspect.row: suspect.suggested for suspect in report.suspects} == {row: drawn_as[row] for row in planted}
    bare = [replace(record, points=None, points_mask=None) for record in moved]
    assert audit_labels(every, bare, None, data=data, data_digest="d", seed=0) == report


def test_too_few_faces_for_the_folds_are_refused(drawn: Draw, landmark_weights: Path) -> None:
    records, data = drawn(20)
    with pytest.raises(DataContractError, match=r"20 faces with an expression \(neutral 3, .*audit\.folds \(5\)"):
        audit_labels(AUDIT, records, None, data=data, data_digest="d", seed=0)


def test_flagged_is_a_share_of_the_estimate() -> None:
    label_N = np.tile(np.arange(2), 50)
    probability_NE = np.where(np.eye(2)[label_N] > 0, 0.9, 0.1)
    probability_NE[:20] = probability_NE[:20, ::-1]
    estimated, all_rows = find_suspects(label_N, probability_NE, flagged=1.0)
    assert estimated == 20
    assert sorted(all_rows) == list(range(20))
    assert len(find_suspects(label_N, probability_NE, flagged=0.5)[1]) == 10


def test_weights_that_know_expressions_are_refused(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="never saw an expression"):
        load_landmark_net(make_weights(config, tmp_path, seed=0))


def test_the_command_writes_the_report_and_draws_unrestricted_faces_alone(
    rmtl: Command, workspace: Path, drawn: Draw, landmark_weights: Path
) -> None:
    records, data = drawn(140)
    moved, _ = flipped(records, 0.2)
    (workspace / "data").symlink_to(data)
    write_manifest(workspace / "artifacts/manifest.valid.parquet", moved)
    result = rmtl("audit", "--landmarks", str(landmark_weights), cwd=workspace)
    assert result.returncode == 0, result.stderr
    assert "of 140 labels are suspect" in result.stdout
    report = json.loads((workspace / "reports/audit.json").read_text())
    assert set(report["suspects"][0]) == {"row", "image", "label", "suggested", "score"}
    sheet = workspace / "reports/audit.png"
    assert sheet.is_file()
    suspects = audit_labels(
        AUDIT, moved, load_landmark_net(landmark_weights), data=data, data_digest="d", seed=0
    ).suspects
    assert write_sheet(sheet, suspects, [replace(record, restricted=True) for record in moved], data) == 0
    assert not sheet.exists()


def _mirrored(record: FaceRecord) -> list[float]:
    points = np.reshape(record.points or [], (68, 2))[FLIP_68] * np.array([-1.0, 1.0])
    values: list[float] = (points + np.array([63.0, 0.0])).ravel().tolist()
    return values
