"""Models compared as a canary compares: a model agrees with itself, and each fault shows where it should."""

import pytest

from benchmarks.canary_bounds import BROKEN, ask, difference, spoil, table
from model.schema import EXPRESSIONS
from tests.benchmarks.conftest import Project


@pytest.fixture(scope="module")
def answers(project: Project) -> list[dict]:
    pictures = [((project.data / "w300" / name).read_bytes(), (20.0, 20.0, 80.0, 90.0)) for name in names(project)]
    return ask(project.weights, pictures)


def names(project: Project) -> list[str]:
    root = project.data / "w300"
    return sorted(str(file.relative_to(root)) for file in root.rglob("*.png"))[:4]


def test_a_model_agrees_with_itself(answers: list[dict]) -> None:
    assert difference(answers, answers) == {"disagreement": 0.0, "point_difference": 0.0}


@pytest.mark.parametrize("share", ["2%", "5%", "10%"])
def test_points_that_are_off_show_as_far_as_they_are(answers: list[dict], share: str) -> None:
    found = difference(answers, [spoil(answer, BROKEN[f"points off by {share}"]) for answer in answers])
    assert found == {"disagreement": 0.0, "point_difference": pytest.approx(float(share[:-1]) / 100, abs=1e-3)}


def test_classes_in_another_order_disagree(answers: list[dict]) -> None:
    reversed_ = [spoil(answer, BROKEN["classes in reverse order"]) for answer in answers]
    tops = {max(face["expression"], key=face["expression"].get) for answer in answers for face in answer["faces"]}
    found = difference(answers, reversed_)
    # The class in the middle of the order keeps its place.
    assert found["disagreement"] > 0 or tops == {EXPRESSIONS[len(EXPRESSIONS) // 2]}
    report = {"faces": len(answers), "rows": [{"challenger": "classes in reverse order", **found}]}
    assert "| classes in reverse order |" in table(report)
