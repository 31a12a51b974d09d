"""The report from results alone, whole or not."""

import json
from copy import deepcopy

import pytest
import yaml

from benchmarks.method.__main__ import main
from benchmarks.method.analysis import BETTER, BEYOND, FALLS, NONE, NOT_RUN, WORSE, judge
from benchmarks.method.plan import Study, load_study
from benchmarks.method.report import write_report
from model.errors import DataContractError
from model.storage import read_json, write_json
from tests.benchmarks.method.made import made_faces, write_results

SKILL = {
    "residual-association": (0.048, 0.55),
    "self-residual": (0.048, 0.55),
    "single-landmarks": (0.0484, 0.1),
    "single-expression": (0.2, 0.6),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory, short_plan) -> Study:
    path = tmp_path_factory.mktemp("plan") / "study.yaml"
    plan = deepcopy(short_plan)
    plan["statistics"]["resamples"] = 500
    plan["blocks"]["confirmatory"]["seeds"] = 4
    path.write_text(yaml.safe_dump(plan, sort_keys=False))
    return load_study(path)


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    write_results(study, folder / "results", made_faces(400), skill=SKILL)
    return write_report(study, results=folder / "results", out=folder / "out"), folder / "out"


def contrast(report, name: str, metric: str):
    return next(c for c in report["sets"]["gap"]["contrasts"] if (c["contrast"], c["metric"]) == (name, metric))


def test_planted_effects_get_their_verdicts(report):
    values, _ = report
    assert contrast(values, "hard sharing", "nme")["verdict"] == BEYOND
    assert contrast(values, "hard sharing", "nme")["value"] == pytest.approx(4.0, abs=0.2)
    assert contrast(values, "hard sharing", "macro_f1")["verdict"] == BEYOND
    assert contrast(values, "self-residual", "nme")["verdict"] == NONE
    assert contrast(values, "self-residual", "nme")["p"] == 1.0


def test_each_metric_is_compared_with_its_own_single_net(report):
    values, _ = report
    assert contrast(values, "better single net", "nme")["other"] == "single-landmarks"
    assert contrast(values, "better single net", "nme")["verdict"] == BETTER
    assert contrast(values, "better single net", "macro_f1")["other"] == "single-expression"
    assert contrast(values, "better single net", "macro_f1")["verdict"] == WORSE
    assert "nme" not in values["sets"]["gap"]["rows"]["single-expression"]


def test_cost_and_donors_stand_beside_the_effects(report):
    values, _ = report
    row = values["sets"]["gap"]["rows"]["residual-association"]
    assert row["seeds"] == 4
    assert row["multiply_adds_over_baseline"] == pytest.approx(100 / 30, abs=0.001)
    donors = values["sets"]["gap"]["donors"]["residual-association"]
    assert donors["nme"]["final"]["value"] == pytest.approx(100 * 0.05 / 1.05, abs=0.001)
    assert donors["macro_f1"]["permuted"]["value"] == 0
    assert donors["macro_f1"]["verdict"] == FALLS


def test_rows_of_several_fractions_tell_levels_and_gains_of_each(report):
    values, out = report
    found = values["sets"]["gap"]
    assert set(found["fractions"]["residual-association"]["nme"]) == {"100", "50"}
    assert found["levels"]["residual-association"]["nme"]["100"] == found["rows"]["residual-association"]["nme"]
    assert set(found["levels"]) == {"residual-association", "hard-sharing"}
    assert found["fractions_full"] == {}, "there is no third row of both"
    page = (out / "ablation.md").read_text()
    assert "| row | metric | 100 % of the labels | 50 % of the labels |" in page


def test_files_are_written_and_say_how_many_seeds_there_are(report):
    values, out = report
    assert read_json(out / "ablation.json") == json.loads(json.dumps(values))
    page = (out / "ablation.md").read_text()
    assert "| residual-association | 4 |" in page
    assert "so far" not in page
    assert all(line.count("|") == page.splitlines()[2].count("|") for line in page.splitlines()[2:9])
    plots = {path.name for path in (out / "plots").iterdir()}
    assert plots == {"ablation-effects-gap.png", "ablation-fractions-gap.png"}


def test_an_unfinished_study_is_reported_as_far_as_it_goes(study, tmp_path):
    write_results(study, tmp_path / "results", made_faces(50), skill=SKILL, pattern="gap-100-*-0")
    (tmp_path / "results/gap-100-pseudo-labels-0.json").unlink()
    values = write_report(study, results=tmp_path / "results", out=tmp_path / "out")
    assert contrast(values, "pseudo labels", "nme") == {
        "contrast": "pseudo labels",
        "metric": "nme",
        "other": "pseudo-labels",
        "pairs": 0,
        "verdict": NOT_RUN,
    }
    assert contrast(values, "hard sharing", "nme")["pairs"] == 1
    assert "| so far: " in (tmp_path / "out/ablation.md").read_text()
    assert values["sets"]["gap"]["fractions"] == {}


def test_results_that_were_not_made_alike_are_told(study, tmp_path):
    write_results(study, tmp_path / "results", made_faces(20), skill=SKILL, pattern="gap-100-hard-sharing-*")
    path = tmp_path / "results/gap-100-hard-sharing-1.json"
    other = {
        "config_digest": "other",
        "code": {"git": "1" * 40, "dirty": True, "digest": "x"},
        "versions": {"arithmetic": "fp32"},
    }
    write_json(path, read_json(path) | other)
    warnings = write_report(study, results=tmp_path / "results", out=tmp_path / "out")["warnings"]
    assert "hard-sharing: runs of 2 configurations (hard-sharing, other)" in warnings
    assert "runs on processors that compute in bf16 and fp32" in warnings
    assert "1111111111 with changes" in warnings[2]


def test_no_result_and_foreign_faces_are_refused(study, tmp_path, capsys):
    with pytest.raises(DataContractError, match="no result of the plan"):
        write_report(study, results=tmp_path, out=tmp_path)
    write_results(study, tmp_path, made_faces(20), skill=SKILL, pattern="gap-100-hard-sharing-0")
    path = tmp_path / "gap-100-hard-sharing-0.json"
    write_json(path, read_json(path) | {"faces_digest": "other"})
    assert main(["report", "--results", str(tmp_path), "--out", str(tmp_path)]) == 3
    assert "measured on other faces" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gain", "p", "verdict"),
    [
        ({"value": 3.0, "low": 1.0, "high": 5.0}, 0.01, BEYOND),
        ({"value": 3.0, "low": 1.0, "high": 5.0}, 0.06, NONE),
        ({"value": 1.5, "low": 1.0, "high": 2.0}, 0.01, BETTER),
        ({"value": 3.0, "low": -0.1, "high": 5.0}, 0.01, NONE),
        ({"value": -3.0, "low": -5.0, "high": -1.0}, 0.01, WORSE),
    ],
)
def test_a_verdict_asks_for_the_interval_the_corrected_p_value_and_the_size(gain, p, verdict):
    assert judge(gain, p, smallest=2.0, level=0.05) == verdict
