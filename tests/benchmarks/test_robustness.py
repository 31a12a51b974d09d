"""Faces under conditions: the road of the predictor, rows that evaluation would give, misses that count once."""

import json

import numpy as np
import pytest

from benchmarks.perturb import CONDITIONS
from benchmarks.robustness import FOUND, answer_changed, main, measure, scene_of, table
from benchmarks.scores import score
from benchmarks.sources import SAMPLE, Faces, faces_of_test
from model.config import Config
from model.config.data import Source, Splits
from model.errors import ConfigError
from model.evaluation.answers import answer_faces
from model.net.inference import FaceNet
from model.schema import EXPRESSIONS
from model.serving.predictor import Predictor
from tests.benchmarks.conftest import RECIPE, Project

W300 = Source(name="w300", reader="w300", path="w300", restricted=True, splits=Splits(test=("ibug",)))
FER = Source(name="fer", reader="class_folders", path="fer", restricted=True, splits=Splits(test=("publictest",)))
PIXEL = 1e-3
SHARE = 1e-5


@pytest.fixture(scope="module")
def predictor(project: Project) -> Predictor:
    return Predictor(project.weights)


def faces(project: Project, source: Source) -> Faces:
    return faces_of_test(source, project.bundled if source == SAMPLE else project.data)


@pytest.mark.parametrize("source", [W300, FER, SAMPLE], ids=lambda source: source.name)
def test_a_face_as_it_is_gets_the_answer_of_evaluation(source: Source, project: Project, predictor: Predictor) -> None:
    records, data = faces(project, source)
    net = FaceNet.load(project.weights)
    expected = answer_faces(net, records, data=data, batch_size=4)
    for row, record in enumerate(records):
        scene = scene_of(record, data, net.meta.net.crop_scale)
        answer = answer_changed(predictor, scene, record, CONDITIONS[0], seed=0)
        shares = [answer["expression"][name] for name in EXPRESSIONS]
        assert np.abs(np.array(answer["landmarks"]) - expected.landmarks_NK2[row]).max() < PIXEL
        assert np.abs(np.array(shares) - expected.probabilities_NE[row]).max() < SHARE


def test_a_row_stands_for_each_condition_and_measures_what_is_labelled(
    project: Project, predictor: Predictor, config: Config
) -> None:
    few = config.evaluate.model_copy(update={"bootstrap": 10})
    rows = {
        source.name: list(measure(predictor, faces(project, source), 1.3, config=few, seed=0)) for source in (W300, FER)
    }
    names = [condition.name for condition in CONDITIONS]
    assert [row["name"] for row in rows["w300"]] == [*names, FOUND]
    assert [row["name"] for row in rows["fer"]] == names
    assert all("nme" in row and "accuracy" not in row for row in rows["w300"][:-1])
    assert all("accuracy" in row and "nme" not in row for row in rows["fer"])
    assert rows["w300"][0]["nme"]["n"] == 3


def test_a_missed_face_counts_as_a_failure_and_nowhere_else(project: Project, config: Config) -> None:
    records, _ = faces(project, SAMPLE)
    shares = dict.fromkeys(EXPRESSIONS, 0.0)
    right = [
        {"landmarks": np.reshape(record.points, (68, 2)).tolist(), "expression": shares | {record.expression: 1.0}}
        for record in records
    ]
    scores = score(records, [None, *right[1:]], config.evaluate, seed=0)
    assert scores["misses"] == 1
    assert scores["nme"] == {"value": 0.0, "low": 0.0, "high": 0.0, "n": len(records) - 1}
    assert scores["accuracy"]["value"] == 100.0
    assert scores["fr_8"]["value"] == pytest.approx(100 / len(records))


def test_the_command_writes_a_report_and_its_table_again(project: Project) -> None:
    places = ["--data", str(project.data), "--recipe", RECIPE, "--every", "3", "--out", "robustness.json"]
    measured = project.run("robustness", *places)
    assert measured.returncode == 0, measured.stderr
    report = json.loads((project.root / "robustness.json").read_text())
    assert {row["source"] for row in report["rows"]} == {"w300", "fer", "sample"}
    assert project.run("robustness", "--table", "robustness.json").stdout == measured.stdout == f"{table(report)}\n"
    assert measured.stdout.count("| grey |") == 3


def test_without_the_folder_of_the_sources_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["robustness"])
    with pytest.raises(ConfigError, match=r"--data.*--table"):
        main()


def test_missing_data_end_with_exit_code_3(project: Project) -> None:
    result = project.run("robustness", "--data", "nowhere", "--recipe", RECIPE, "--out", "none.json")
    assert result.returncode == 3
    assert result.stderr.startswith("error: ")
    assert not (project.root / "none.json").exists()
