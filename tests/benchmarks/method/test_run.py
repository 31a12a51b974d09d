"""Runs of the study: prepared once, trained, measured, packed, each done by one schedule only."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.method import worker
from benchmarks.method.analysis import analyse
from benchmarks.method.faces import faces_of, read_faces
from benchmarks.method.frozen import check_frozen, check_pictures, draw, freeze
from benchmarks.method.locks import claim
from benchmarks.method.measure import Heard, hear, mixed_batches
from benchmarks.method.origin import code_state
from benchmarks.method.packing import (
    pack_classes,
    pack_errors,
    pack_numbers,
    unpack_classes,
    unpack_errors,
    unpack_numbers,
)
from benchmarks.method.places import Places
from benchmarks.method.plan import PlannedRun, load_study, planned_runs, run_config
from benchmarks.method.prepare import Prepared, keep_fraction, prepare
from benchmarks.method.results import Results
from benchmarks.method.schedule import Limits, run_all
from benchmarks.method.statistics import subject_means
from benchmarks.method.worker import execute
from model.data.codec import decode_image
from model.data.validate.shape import mean_face
from model.errors import ConfigError, DataContractError
from model.net.multitask import build_net, export_state
from model.schema import NO_LABEL, FaceRecord
from model.storage import read_json
from model.train.loop import train
from model.weights import describe, save_weights
from tests.data.layouts import encoded, make_pack

RUNS = [PlannedRun("gap", 1.0, row, seed) for seed in (0, 1) for row in ("hard-sharing", "residual-association")]
WRITE = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_text('{}')"
DIE = """
import os, pathlib, sys
from benchmarks.method.locks import claim
held = claim(pathlib.Path(sys.argv[1]))
os._exit(9)
"""


@pytest.fixture(scope="module")
def prepared(places) -> Prepared:
    config = run_config(load_study(places.study), RUNS[0], places.params)
    return prepare(config, "gap", 1.0, data=places.data, results=places.results)


@pytest.fixture
def empty(tmp_path, places) -> Places:
    """The study with folders of its own for runs and results."""
    return Places(places.study, places.params, tmp_path / "data", tmp_path / "results")


def writing(run: PlannedRun, places: Places) -> list[str]:
    """A run that only writes its result."""
    places.results.mkdir(exist_ok=True)
    return [sys.executable, "-c", WRITE, str(places.result(run))]


def test_packed_errors_come_back_to_half_a_unit():
    errors = np.array([0.0, 0.034567, 0.6, 3.0, np.inf])
    np.testing.assert_allclose(unpack_errors(pack_errors(errors)), [0.0, 0.034567, 0.6, 0.65535, 0.65535], atol=5e-6)


def test_packed_classes_and_numbers_come_back_exactly():
    values = np.random.default_rng(0).integers(0, 7, 5000)
    assert (unpack_classes(pack_classes(values)) == values).all()
    assert (unpack_numbers(pack_numbers(values * 9000)) == values * 9000).all()


def made_records(subjects: int) -> list[FaceRecord]:
    kinds = {"landmarks": {"points": [0.0] * 136}, "expressions": {"expression": "happy"}}
    return [
        FaceRecord(f"{kind}/{subject}/{face}", "sample", split, kind, "x", group=f"{kind}{split}{subject}", **labels)
        for kind, labels in kinds.items()
        for split in ("train", "val")
        for subject in range(subjects)
        for face in range(1 + subject % 3)
    ]


def test_a_fraction_keeps_whole_subjects_of_each_kind_and_lies_within_a_larger_one():
    records = made_records(200)
    former = set()
    for fraction in (0.05, 0.25, 1.0):
        kept = {record.record_id for record in keep_fraction(records, fraction) if record.split == "train"}
        assert former <= kept
        former = kept
        for kind in ("landmarks", "expressions"):
            faces = [record for record in records if record.split == "train" and record.subset == kind]
            share = sum(record.record_id in kept for record in faces) / len(faces)
            assert fraction <= share < fraction + 0.01
        groups = {record.group for record in records if record.record_id in kept}
        assert {record.record_id for record in records if record.group in groups} == kept
    assert keep_fraction(records, 1.0) == records


def test_a_fraction_leaves_held_out_and_test_faces_alone():
    records = made_records(20)
    held = [record for record in records if record.split == "val"]
    assert [record for record in keep_fraction(records, 0.1) if record.split == "val"] == held


def test_frozen_is_written_once_and_guards_the_labels(tmp_path, places):
    study = load_study(places.study)
    with pytest.raises(DataContractError, match="frozen already"):
        freeze(study, data=places.data, results=places.results)
    draw(study, data=places.data, results=places.results, workers=1)
    with pytest.raises(DataContractError, match="freeze` comes before the first run"):
        check_frozen("gap", data=places.data, results=tmp_path)
    frozen = read_json(places.results / "frozen.json")
    frozen["sets"]["gap"]["files"]["labels.jsonl"] = "0" * 64
    (tmp_path / "frozen.json").write_text(json.dumps(frozen))
    with pytest.raises(DataContractError, match=r"labels\.jsonl differ"):
        check_frozen("gap", data=places.data, results=tmp_path)


def test_pictures_drawn_by_another_machine_are_the_frozen_ones(tmp_path, places):
    """Rounding moves a pixel here and there; another face, or one face less, is another set."""
    shutil.copytree(places.data / "gap", tmp_path / "gap")
    pack = tmp_path / "gap/sample/test.tar"
    with tarfile.open(pack) as archive:
        members = {name: archive.extractfile(name).read() for name in archive.getnames()}
    make_pack(pack, {name: recoded(content) for name, content in members.items()})
    found, frozen = (check_frozen("gap", data=data, results=places.results) for data in (tmp_path, places.data))
    assert [name for name in found if found[name] != frozen[name]] == ["test.tar"]
    check_pictures("gap", data=tmp_path, results=places.results)
    first, second, *rest = members.values()
    for others in ([second, first, *rest], [first, *rest]):
        make_pack(pack, dict(zip(members, others, strict=False)))
        with pytest.raises(DataContractError, match=r"gap: test\.tar differ"):
            check_pictures("gap", data=tmp_path, results=places.results)


def recoded(content: bytes) -> bytes:
    return encoded(decode_image(content, max_pixels=1 << 16), ".webp", 97)


def test_shards_are_made_once(places, prepared):
    before = prepared.shards.stat().st_mtime_ns
    config = run_config(load_study(places.study), RUNS[1], places.params)
    assert prepare(config, "gap", 1.0, data=places.data, results=places.results) == prepared
    assert prepared.shards.stat().st_mtime_ns == before


def test_other_code_of_the_data_makes_the_shards_anew(places, tmp_path, monkeypatch):
    shutil.copytree(places.data / "gap", tmp_path / "gap")
    config = run_config(load_study(places.study), RUNS[0], places.params)

    def made() -> int:
        return prepare(config, "gap", 1.0, data=tmp_path, results=places.results).shards.stat().st_mtime_ns

    first = made()
    assert made() == first
    monkeypatch.setattr("benchmarks.method.prepare.digest_source", lambda _items: "other")
    assert made() != first


def test_batches_hold_one_kind_of_picture_and_every_face_once(prepared):
    records = prepared.test_records()
    batches = list(mixed_batches(records))
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(records)))
    assert all(len({records[row].width for row in rows.tolist()}) == 1 for rows in batches)
    assert len(batches) == 2


@pytest.fixture(scope="module")
def heard(places, prepared, tmp_path_factory) -> Heard:
    """Answers of a network whose exchange is not at its zero start."""
    config = run_config(load_study(places.study), PlannedRun("gap", 1.0, "residual-association", 0), places.params)
    shape = 0.5 + 0.3 * mean_face() / np.ptp(mean_face())
    net = build_net(config.train.net, None, mean_shape_K2=shape, seed=0)
    generator = torch.Generator().manual_seed(1)
    for name, weights in net.named_parameters():
        if name.startswith("exchange.") and name.endswith("last.weight"):
            weights.data += 0.5 * torch.randn(weights.shape, generator=generator)
    folder = tmp_path_factory.mktemp("weights")
    meta = describe(config.run, mean_shape=tuple(map(tuple, shape.tolist())), data_digest="x", restricted=False)
    save_weights(folder, export_state(net), meta)
    return hear(folder, prepared.test_records(), data=prepared.data)


def test_final_answers_are_those_of_evaluation(heard, prepared):
    from model.evaluation.answers import answer_faces

    expected = answer_faces(heard.net, prepared.test_records(), data=prepared.data, batch_size=5)
    np.testing.assert_allclose(heard.kinds["final"].landmarks_NK2, expected.landmarks_NK2, atol=1e-3)
    np.testing.assert_allclose(heard.kinds["final"].shares_NE, expected.probabilities_NE, atol=1e-5)
    np.testing.assert_allclose(heard.kinds["base"].shares_NE, expected.base_probabilities_NE, atol=1e-5)


def test_mismatched_donors_change_final_answers_and_nothing_of_the_base(heard):
    assert set(heard.kinds) == {"final", "base", "permuted"}
    final, permuted = heard.kinds["final"].shares_NE, heard.kinds["permuted"].shares_NE
    assert (np.abs(final - permuted).max(axis=1) > 1e-6).all()
    assert set(heard.summary("final")) == {
        *("nme", "fr_8", "auc_8", "accuracy", "macro_f1", "ece", "ece_calibrated", "recall")
    }


def test_a_run_leaves_one_small_result_and_no_folder(places):
    execute("gap-50-residual-association-0", places)
    run = PlannedRun("gap", 0.5, "residual-association", 0)
    path = places.result(run)
    result = read_json(path)
    assert not places.folder(run).exists()
    assert path.stat().st_size < 8000
    assert result["labels"] == {"landmarks": 8, "expression": 10}
    faces = read_faces(places.results, "gap")
    assert result["faces_digest"] == faces.digest
    means = unpack_errors(result["nme_by_subject"])
    assert len(means) == len(faces.count_G)
    nme = 100 * (means * faces.count_G).sum() / faces.count_G.sum()
    assert nme == pytest.approx(min(result["test"]["final"]["nme"], 65.535), abs=0.01)
    right = (unpack_classes(result["class_by_face"]) == faces.label_N).mean()
    assert 100 * right == pytest.approx(result["test"]["final"]["accuracy"], abs=0.01)
    assert result["multiply_adds"] > 1_000_000
    assert {"final", "base", "permuted"} == set(result["test"])
    assert result["code"]["digest"] == code_state()["digest"]


def test_a_result_names_the_code_and_the_overrides_that_its_training_began_with(places, monkeypatch):
    """Somebody commits while the run trains."""
    now = {"code": "before"}

    def while_somebody_commits(*given, **options):
        now["code"] = "after"
        return train(*given, **options)

    monkeypatch.setattr(worker, "train", while_somebody_commits)
    monkeypatch.setattr(worker, "code_state", lambda: dict(now))
    monkeypatch.setattr(worker, "run_overrides", lambda *_: dict(now))
    execute("gap-50-hard-sharing-0", places)
    result = read_json(places.results / "gap-50-hard-sharing-0.json")
    assert result["code"] == result["overrides"] == {"code": "before"}


def test_a_row_of_one_task_has_no_value_for_the_other(places):
    execute("gap-100-single-expression-1", places)
    result = read_json(places.results / "gap-100-single-expression-1.json")
    assert result["nme_by_subject"] is None
    assert set(result["test"]) == {"final"}
    assert "nme" not in result["test"]["final"]


def test_test_faces_may_have_a_label_of_one_task_each(given):
    for row in ("residual-association", "hard-sharing"):
        execute(f"given-100-{row}-0", given)
    faces = read_faces(given.results, "given")
    assert faces.pointed_N.tolist() == (faces.label_N == NO_LABEL).tolist()
    study = load_study(given.study)
    results = Results(study, given.results)
    run = planned_runs(study)[0]
    final = results.done[run]["test"]["final"]
    assert results.values(run, "nme").point == pytest.approx(min(final["nme"], 65.535), abs=0.01)
    assert results.values(run, "macro_f1").point == pytest.approx(final["macro_f1"], abs=0.01)
    assert [item["pairs"] for item in analyse(study, results)["sets"]["given"]["contrasts"]] == [1, 1]


def test_a_given_set_that_changed_is_refused(given, tmp_path):
    shutil.copytree(given.data / "given", tmp_path / "given")
    check_frozen("given", data=tmp_path, results=given.results)
    (tmp_path / "given/sample/more.txt").write_text("")
    with pytest.raises(DataContractError, match=r"given: sample differ from"):
        check_frozen("given", data=tmp_path, results=given.results)


def test_a_face_without_any_label_is_refused(prepared):
    bare = [replace(record, points=None, expression=None) for record in prepared.test_records()[:1]]
    with pytest.raises(DataContractError, match="has neither points nor class"):
        faces_of(bare)
    with pytest.raises(DataContractError, match="none with a class"):
        faces_of([replace(record, expression=None) for record in prepared.test_records()])


def test_an_unknown_run_is_a_configuration_error(places):
    with pytest.raises(ConfigError, match="no run gap-100-nobody-0"):
        execute("gap-100-nobody-0", places)


def test_subjects_are_numbered_by_appearance_and_averaged(prepared):
    faces = faces_of(prepared.test_records())
    assert faces.subject_N[0] == 0
    assert subject_means(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1])).tolist() == [2.0, 5.0]


def test_a_schedule_does_what_is_missing_and_a_second_one_nothing(empty):
    empty.results.mkdir()
    empty.result(RUNS[0]).write_text("{}")
    tally = run_all(RUNS, empty, Limits(workers=2), writing)
    assert sorted(tally.done) == sorted(run.key for run in RUNS[1:])
    again = run_all(RUNS, empty, Limits(workers=2), writing)
    assert (again.done, again.failed, again.elsewhere) == ([], {}, [])
    assert list((empty.data / "runs").iterdir()) == []


def test_a_failed_run_is_told_and_stops_no_other(empty):
    def command(run: PlannedRun, places: Places) -> list[str]:
        failing = [sys.executable, "-c", "import sys; sys.exit('no luck')"]
        return failing if run == RUNS[0] else writing(run, places)

    tally = run_all(RUNS, empty, Limits(), command)
    assert len(tally.done) == 3
    assert list(tally.failed) == [RUNS[0].key]
    assert "exit code 1: no luck" in tally.failed[RUNS[0].key]


def test_a_run_under_way_elsewhere_is_left_alone_and_one_of_a_dead_process_taken_over(empty):
    folder = empty.data / "locks"
    with claim(folder / f"{RUNS[0].key}.lock"):
        left = folder / f"{RUNS[1].key}.lock"
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
        subprocess.run([sys.executable, "-c", DIE, str(left)], check=False, env=environment)
        assert left.read_text().strip().isdigit()
        tally = run_all(RUNS, empty, Limits(), writing)
    assert tally.elsewhere == [RUNS[0].key]
    assert len(tally.done) == 3


def test_limits_stop_new_runs(empty):
    assert len(run_all(RUNS, empty, Limits(runs=1), writing).done) == 1
    assert run_all(RUNS, empty, Limits(until=0.0), writing).done == []


def test_planned_runs_of_the_short_study_are_found_by_name(places):
    assert len(planned_runs(load_study(places.study), "gap-50-*")) == 2
