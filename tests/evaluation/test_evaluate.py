import json
import re
from dataclasses import replace
from shutil import copytree

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from model.errors import CheckpointError, DataContractError
from model.evaluation.answers import answer_faces
from model.evaluation.evaluate import headline_name
from model.evaluation.markdown import headlines
from model.net.inference import FaceNet
from model.schema import EXPRESSIONS, Measure
from model.weights import load_meta, load_weights, save_weights
from tests.conventions import IDENTITY, rolled


def find(report, task, metric, subset="all", normaliser=None, threshold=None):
    key = (task, metric, subset, normaliser, threshold)
    rows = [r for r in report.measures if (r.task, r.metric, r.subset, r.normaliser, r.threshold) == key]
    assert len(rows) == 1, key
    return rows[0]


def test_every_task_is_counted_over_the_faces_that_have_its_label(evaluated):
    report = evaluated.report
    assert find(report, "landmarks", "nme", normaliser="inter_ocular").n == 24
    assert find(report, "expression", "accuracy").n == 24
    assert find(report, "expression_votes", "accuracy").n == 12
    assert find(report, "landmarks", "nme", "source=made_points", "inter_ocular").n == 12
    subsets = {row.subset for row in report.measures if row.task == "landmarks"}
    assert {"pose=|yaw|<=15", "pose=15<|yaw|<=30", "pose=|yaw|>30", "gender=male", "age=4-19"} <= subsets
    assert "source=made_class" not in subsets


def test_summary_holds_the_headlines_of_all_faces(evaluated):
    report = evaluated.report
    names = "nme_interocular nme_interpupil nme_diagonal fr_8 auc_8 fr_10 auc_10 nme_interocular_base accuracy "
    names += "mean_class_accuracy macro_f1 macro_f1_base accuracy_votes ece ece_calibrated nll nll_calibrated"
    assert {f"test/{name}" for name in names.split()} <= set(report.summary)
    assert report.summary["test/nme_interocular"] == find(report, "landmarks", "nme", normaliser="inter_ocular").value
    assert not any(np.isnan(value) for value in report.summary.values())


def test_a_class_without_a_face_has_no_value_and_is_warned_of(evaluated):
    """T08."""
    report, out = evaluated.report, evaluated.out
    for metric in ("precision", "recall", "f1"):
        row = find(report, "expression", metric, "class=disgust")
        assert (row.value, row.low, row.n) == (None, None, 0)
    written = json.loads((out / "reports" / "evaluation.json").read_text())
    assert any("no face of disgust: averages are over the other 6 classes" in text for text in written["warnings"])


def test_other_training_data_is_warned_of_not_refused(evaluated):
    report, out = evaluated.report, evaluated.out
    written = json.loads((out / "reports" / "evaluation.json").read_text())
    assert written["trained_on"] == "elsewhere"
    assert any("The weights were trained on data elsewhere" in text for text in written["warnings"])
    assert written["summary"] == report.summary
    assert len(written["measures"]) == len(report.measures)


def test_intervals_hold_their_value(evaluated):
    report = evaluated.report
    for row in report.measures:
        if row.metric in ("nme", "auc", "accuracy") and row.low is not None:
            assert row.low <= row.value + 1e-9, row
            assert row.value <= row.high + 1e-9, row


def test_untrained_exchange_leaves_the_base_answer_as_it_is(evaluated):
    """The last layer of each residual branch starts at zero."""
    report = evaluated.report
    assert report.summary["test/nme_interocular"] == pytest.approx(report.summary["test/nme_interocular_base"])
    assert report.summary["test/accuracy"] == report.summary["test/accuracy_base"]


def test_rerun_gives_the_same_bytes(bench, evaluated, tmp_path):
    """T12, T16."""
    bench.run(tmp_path)
    out = evaluated.out
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert len(files) > 8
    for path in files:
        assert (tmp_path / path).read_bytes() == (out / path).read_bytes(), path


def answers_of(bench, *, mirror=True, batch_size=5):
    loaded = FaceNet.load(bench.weights)
    meta = loaded.meta.model_copy(update={"net": loaded.meta.net.model_copy(update={"mirror": mirror})})
    return answer_faces(FaceNet(loaded.net, meta), bench.records, data=bench.data, batch_size=batch_size)


def test_batches_do_not_change_the_answers(bench, evaluated):
    for name, value in vars(answers_of(bench, batch_size=36)).items():
        expected = getattr(evaluated.findings.answers, name)
        if expected is None:
            assert value is None
        else:
            np.testing.assert_allclose(value, expected, atol=1e-3)


def test_predictions_are_rows_of_picture_coordinates(bench, evaluated):
    out = evaluated.out
    rows = pq.read_table(out / "predictions.parquet").to_pylist()
    assert [row["record_id"] for row in rows] == [record.record_id for record in bench.records]
    face = rows[0]
    assert len(face["landmarks"]) == 136
    assert len(face["confidence"]) == 68
    assert sum(face["probabilities"]) == pytest.approx(1)
    assert face["predicted"] == EXPRESSIONS[int(np.argmax(face["probabilities"]))]
    truth, points = (np.reshape(v, (68, 2)) for v in (bench.records[0].points, face["landmarks"]))
    scored = np.arange(68) != 5
    error = np.linalg.norm(truth - points, axis=1)[scored].mean() / np.linalg.norm(truth[36] - truth[45])
    assert face["nme_landmarks_inter_ocular"] == pytest.approx(error)
    assert rows[2]["nme_landmarks_inter_ocular"] is None


def test_mirrored_answers_differ_and_are_the_same_for_the_base(bench, evaluated):
    mirrored = evaluated.findings.answers
    straight = answers_of(bench, mirror=False)
    assert np.abs(mirrored.landmarks_NK2 - straight.landmarks_NK2).max() > 0.01
    np.testing.assert_allclose(mirrored.base_landmarks_NK2, mirrored.landmarks_NK2, atol=1e-3)


def test_single_task_weights_are_measured_on_their_task(bench, random_weights, tmp_path):
    for task, present, absent in (("landmarks", "nme_interocular", "accuracy"), ("expression", "accuracy", "fr_8")):
        random_weights(tmp_path / task, tasks=[task], **{"residual.kind": "none"})
        report = replace(bench, weights=tmp_path / task).run(tmp_path / f"{task}_out", bootstrap=2, drawn=2)
        assert f"test/{present}" in report.summary
        assert f"test/{absent}" not in report.summary


def test_conventions_are_measured_and_named_on_the_page(bench, evaluated, tmp_path):
    state, meta = load_weights(bench.weights)
    conventions = {"same": IDENTITY, "crowd & co": rolled(1, speaks="votes")}
    save_weights(tmp_path / "weights", state, meta.model_copy(update={"conventions": conventions}))
    report = replace(bench, weights=tmp_path / "weights").run(tmp_path, bootstrap=2)
    summary = report.summary
    assert summary["test/accuracy_as-same"] == summary["test/accuracy"]
    assert summary | evaluated.report.summary == summary
    assert "as crowd &amp; co names it" in (tmp_path / "reports/evaluation.html").read_text()
    new = {head.words for head in headlines(report.measures)} - {
        head.words for head in headlines(evaluated.report.measures)
    }
    assert {words.split(":")[0] for words in new} == {f"apparent expression as {name} names it" for name in conventions}


def test_an_empty_split_is_refused(bench, tmp_path):
    with pytest.raises(DataContractError, match="no face in split val"):
        bench.run(tmp_path, split="val")


def test_a_picture_changed_since_the_index_is_refused(bench, tmp_path):
    """T14."""
    copytree(bench.data, tmp_path / "data")
    picture = tmp_path / "data" / bench.records[3].image
    picture.write_bytes(picture.read_bytes() + b"\0")
    with pytest.raises(DataContractError, match=re.escape(bench.records[3].image) + ": bytes have changed"):
        replace(bench, data=tmp_path / "data").run(tmp_path)


def test_answers_that_are_not_finite_are_refused(bench, tmp_path):
    """Each weight is finite; their products are not."""
    state = load_file(bench.weights / "weights.safetensors")
    for tensor in state.values():
        if tensor.is_floating_point():
            tensor.fill_(torch.finfo(tensor.dtype).max)
    save_weights(tmp_path / "weights", state, load_meta(bench.weights))
    with pytest.raises(CheckpointError, match="is not finite"):
        replace(bench, weights=tmp_path / "weights").run(tmp_path)


@pytest.mark.parametrize(
    ("task", "metric", "normaliser", "threshold", "name"),
    [
        ("landmarks", "nme", "inter_ocular", None, "nme_interocular"),
        ("landmarks", "fr", "inter_ocular", 0.07, "fr_7"),
        ("landmarks_base", "auc", "inter_ocular", 0.1, "auc_10_base"),
        ("landmarks19", "nme", "box_side", None, "nme19_side"),
        ("landmarks19", "fr", "box_diagonal", 0.08, "fr19_8"),
        ("expression", "macro_f1", None, None, "macro_f1"),
        ("expression_votes", "accuracy", None, None, "accuracy_votes"),
    ],
)
def test_headlines_are_named_split_name_qualifier(task, metric, normaliser, threshold, name):
    row = Measure("test", task, metric, "all", 1.0, None, None, 1, normaliser, threshold)
    assert headline_name(row) == name
