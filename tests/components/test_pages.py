"""What a run's page shows."""

from pathlib import Path

import pandas as pd
import pytest

from components.curves import curves_page
from components.journal import Entry
from components.pages import comparison_page, confusion_matrix, registration_page, run_page, run_report, validation_page
from model.schema import EXPRESSIONS, ModelVersion, ValidationReport


def entry(step: str, code: int = 0, message: str = "", gpus: int = 0) -> Entry:
    return Entry(step, "key", 1, 0.0, 2.0, 3.0, 50.0, 2, gpus, code, message)


def test_the_report_of_a_failed_run_names_step_code_and_cause() -> None:
    report = run_report([entry("index"), entry("validate", 3, "over budget")], state="FAILED", error="x", who="me")
    assert report["failure"] == {"step": "validate", "exit_code": 3, "message": "over budget"}
    page = run_page(report)
    assert "# Run failed" in page
    assert "**validate** ended with code 3: over budget" in page


def test_a_mended_failure_is_listed_and_no_failure_of_the_run() -> None:
    report = run_report([entry("ingest", 5, "away"), entry("ingest")], state="SUCCEEDED", error=None, who="me")
    assert report["failure"] is None
    assert [step["exit_code"] for step in report["steps"]] == [5, 0]


def test_a_run_that_failed_without_a_failed_step_says_so() -> None:
    """A mended failure is not blamed for what a killed step did."""
    report = run_report([entry("ingest", 5, "away"), entry("ingest")], state="FAILED", error="x", who="me")
    assert report["failure"]["exit_code"] == 1
    assert "killed" in report["failure"]["message"]


def test_the_cost_is_summed_over_the_steps() -> None:
    report = run_report([entry("index"), entry("train", gpus=4)], state="SUCCEEDED", error=None, who="me")
    assert (report["seconds"], report["cpu_seconds"], report["gpu_seconds"]) == (4.0, 6.0, 8.0)


def test_the_confusion_matrix_has_every_class(tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/confusion.csv").write_text("actual,predicted\nhappy,happy\nhappy,sad\nfear,happy\n")
    names, counts = confusion_matrix(tmp_path)
    assert tuple(names) == EXPRESSIONS
    happy, sad, fear = (names.index(name) for name in ("happy", "sad", "fear"))
    assert (counts[happy][happy], counts[happy][sad], counts[fear][happy]) == (1, 1, 1)
    assert sum(map(sum, counts)) == 3


def test_a_net_without_expressions_has_an_empty_confusion_matrix(tmp_path: Path) -> None:
    names, counts = confusion_matrix(tmp_path)
    assert tuple(names) == EXPRESSIONS
    assert counts == [[0] * len(names)] * len(names)


def test_curves_are_a_page_of_its_own_and_leave_gaps_where_nothing_was_measured(tmp_path: Path) -> None:
    history = {"epoch": [1, 2], "val/nme_interocular": [8.0, None], "val/macro_f1": [20.0, 30.0]}
    pd.DataFrame(history).to_csv(tmp_path / "history.csv", index=False)
    page = curves_page(tmp_path)
    assert page.count("<img") == 2
    assert "http" not in page


def test_pages_say_what_was_decided() -> None:
    version = ModelVersion("residual-mtl", "3", "run", "w" * 64, "d" * 16, "fail", ["macro-F1 40 < 50"])
    assert "- macro-F1 40 < 50" in registration_page(version)
    counts = {"valid": {"made": {"train": {"faces": 12}}}}
    rules = [
        {"rule": "points", "kind": "row", "failed": 2, "action": "count them"},
        {"rule": "clean", "kind": "row", "failed": 0, "action": "nothing"},
    ]
    page = validation_page(ValidationReport("abc", 14, 12, 2, rules, counts, ["few faces"]))
    assert "| made" in page
    assert "points" in page
    assert "count them" in page
    assert "clean" not in page
    assert "Warning: few faces" in page


def test_a_comparison_shows_final_values_in_the_order_of_the_rows() -> None:
    rows = [
        {"name": name, "overrides": {}, "weights_digest": "w", "test/nme": value, "test/nme_base": 9.0}
        for name, value in (("b", 4.0), ("a", 5.0))
    ]
    page = comparison_page(rows)
    assert page.index("| b") < page.index("| a")
    assert "base" not in page


@pytest.mark.parametrize("text", ["", "x"])
def test_a_run_without_steps_has_a_page(text: str) -> None:
    assert run_page(run_report([], state="FAILED", error=text, who="me")).startswith("# Run failed")
