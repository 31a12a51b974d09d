from dataclasses import replace

import pytest

from model.config import GateConfig, RegisterConfig
from model.evaluation.comparison import Comparison, Difference
from model.registry.gate import judge
from model.schema import EvaluationReport


@pytest.fixture
def limits(gate: RegisterConfig) -> GateConfig:
    return gate.gate


def change(report: EvaluationReport, metric: str, subset: str, value: float | None) -> EvaluationReport:
    def changed(task: str) -> bool:
        return not task.endswith("_base")

    rows = [
        replace(row, value=value) if (row.metric, row.subset) == (metric, subset) and changed(row.task) else row
        for row in report.measures
    ]
    return replace(report, measures=rows)


def test_first_version_needs_the_thresholds_only(report: EvaluationReport, limits: GateConfig) -> None:
    assert judge(report, None, limits).gate == "pass"


def test_a_mean_past_a_threshold_fails_and_both_numbers_are_named(report: EvaluationReport, limits: GateConfig) -> None:
    verdict = judge(change(report, "nme", "all", 10.5), None, limits)
    assert verdict.gate == "fail"
    assert verdict.reasons == ["nme, all: 10.50 % is above register.gate.max_nme = 10.0 %"]
    verdict = judge(change(report, "macro_f1", "all", 39.0), None, limits)
    assert verdict.reasons == ["macro_f1, all: 39.00 % is below register.gate.min_macro_f1 = 40.0 %"]


def test_the_thresholds_themselves_pass(report: EvaluationReport, limits: GateConfig) -> None:
    edge = change(change(report, "nme", "all", 10.0), "macro_f1", "all", 40.0)
    assert judge(edge, None, limits).gate == "pass"


def test_an_evaluation_passes_against_itself(report: EvaluationReport, limits: GateConfig) -> None:
    assert judge(report, report, limits).gate == "pass"


def test_the_held_out_faces_are_not_compared_with_the_test_faces(report: EvaluationReport, limits: GateConfig) -> None:
    """Training chose its epoch by the former."""
    held_out = replace(report, measures=[replace(measure, split="val") for measure in report.measures])
    verdict = judge(held_out, report, limits)
    assert verdict.gate == "fail"
    assert verdict.reasons[0].startswith("champion was evaluated on split test, challenger on val: not comparable")


def test_a_slice_lost_is_refused_though_the_mean_gained(report: EvaluationReport, limits: GateConfig) -> None:
    """T32: the reason names the slice and both numbers."""
    challenger = change(change(report, "macro_f1", "all", 70.0), "f1", "class=fear", 54.0)
    verdict = judge(challenger, report, limits)
    assert verdict.gate == "fail"
    assert verdict.reasons == [
        "f1, class=fear (n=40): 54.00 % against the champion's 60.00 %, a loss of 5 points is accepted"
    ]


def test_one_task_lost_is_refused_though_the_other_gained(report: EvaluationReport, limits: GateConfig) -> None:
    """T32: better expression does not pay for worse landmarks."""
    challenger = change(change(report, "macro_f1", "all", 90.0), "nme", "all", 5.2)
    reasons = judge(challenger, report, limits).reasons
    assert reasons == ["nme, all (n=100): 5.20 % against the champion's 5.00 %, a relative loss of 0.02 is accepted"]


def test_a_loss_within_the_tolerance_counts_as_equal(report: EvaluationReport, limits: GateConfig) -> None:
    """T32: the documented policy for differences too small to matter."""
    challenger = change(change(report, "nme", "all", 5.09), "f1", "class=fear", 55.5)
    assert judge(challenger, report, limits).gate == "pass"


def test_a_small_slice_is_noted_not_judged(report: EvaluationReport, limits: GateConfig) -> None:
    verdict = judge(change(report, "f1", "class=disgust", 1.0), report, limits)
    assert verdict.gate == "pass"
    assert verdict.notes == ["f1, class=disgust: n=5 is below register.gate.min_slice = 30, not judged"]


def test_other_data_is_not_compared(report: EvaluationReport, limits: GateConfig) -> None:
    verdict = judge(replace(report, data_digest="other"), report, limits)
    assert verdict.gate == "fail"
    assert "evaluate the champion on this data (`rmtl evaluate --champion`)" in verdict.reasons[0]


def test_a_missing_task_is_a_reason_unless_its_threshold_is_null(report: EvaluationReport, limits: GateConfig) -> None:
    unlabelled = change(report, "nme", "all", None)
    reasons = judge(unlabelled, None, limits).reasons
    assert reasons[0].startswith("nme, all: not measured, no evaluated face has a landmark label")
    assert judge(unlabelled, None, limits.model_copy(update={"max_nme": None})).gate == "pass"


def test_a_slice_the_challenger_lacks_is_a_reason(report: EvaluationReport, limits: GateConfig) -> None:
    verdict = judge(change(report, "f1", "class=fear", None), report, limits)
    assert verdict.reasons == [
        "f1, class=fear: champion has 60.00 %, challenger has no value; evaluate both the same way"
    ]


def test_an_empty_evaluation_fails(report: EvaluationReport, limits: GateConfig) -> None:
    assert judge(replace(report, measures=[]), None, limits).gate == "fail"


def beside_simple(report: EvaluationReport, nme: float, f1: float) -> EvaluationReport:
    """The evaluation, with what the simple model reached."""
    rows = [
        replace(row, task=f"{row.task}_simple", value=value)
        for row in report.measures
        for task, metric, value in (("landmarks", "nme", nme), ("expression", "macro_f1", f1))
        if (row.task, row.metric, row.subset) == (task, metric, "all")
    ]
    return replace(report, measures=[*report.measures, *rows])


@pytest.fixture
def demanding(limits: GateConfig) -> GateConfig:
    """A fifth less error and five points more than the simple model."""
    return limits.model_copy(update={"simple_nme_gain": 0.2, "simple_f1_gain": 5.0})


@pytest.mark.parametrize(
    ("nme", "f1", "reason"),
    [
        (8.0, 30.0, None),
        (6.25, 55.0, None),
        (6.25, 20.0, None),
        (6.0, 30.0, "nme, all: 5.00 % against 6.00 % of the simple model, {}simple_nme_gain asks for 20 % less"),
        (
            8.0,
            58.0,
            "macro_f1, all: 60.00 % against 58.00 % of the simple model, {}simple_f1_gain asks for 5 points more, or "
            "half the way to 100",
        ),
    ],
)
def test_a_network_has_to_beat_the_simple_model(
    report: EvaluationReport, demanding: GateConfig, limits: GateConfig, nme: float, f1: float, reason: str | None
) -> None:
    """T30: by the margin that is asked for, which is met at its edge; where none is asked, nothing is judged."""
    seen = beside_simple(report, nme, f1)
    assert judge(seen, None, demanding).reasons == ([] if reason is None else [reason.format("register.gate.")])
    assert judge(seen, None, limits).gate == "pass"


def test_a_simple_model_that_is_nearly_right_can_be_beaten(report: EvaluationReport, demanding: GateConfig) -> None:
    good = change(report, "macro_f1", "all", 98.5)
    assert judge(beside_simple(good, 8.0, 97.0), None, demanding).gate == "pass"
    assert judge(beside_simple(good, 8.0, 97.1), None, demanding).gate == "fail"


def test_an_evaluation_without_a_simple_model_is_noted(report: EvaluationReport, demanding: GateConfig) -> None:
    verdict = judge(report, None, demanding)
    assert verdict.gate == "pass"
    assert [note.split(":")[0] for note in verdict.notes] == ["nme, all", "macro_f1, all"]
    assert all("no simple model" in note for note in verdict.notes)


def difference(metric: str, subset: str, value: float, low: float, high: float) -> Difference:
    task, normaliser = ("landmarks", "inter_ocular") if metric == "nme" else ("expression", None)
    return Difference(task, metric, normaliser, subset, value, low, high, 40)


def compared(report: EvaluationReport, *differences: Difference) -> Comparison:
    return Comparison(report.weights_digest, report.weights_digest, report.data_digest, 0.95, list(differences))


def test_a_slice_lost_by_chance_is_noted_and_not_refused(report: EvaluationReport, limits: GateConfig) -> None:
    """T32: the interval of the difference, face by face, holds zero."""
    challenger = change(report, "f1", "class=fear", 54.0)
    chance = compared(report, difference("f1", "class=fear", -6.0, -13.5, 1.5))
    verdict = judge(challenger, report, limits, chance)
    assert verdict.gate == "pass"
    assert verdict.notes[0] == (
        "f1, class=fear (n=40): 54.00 % against the champion's 60.00 %, a difference of -6.00 [-13.50, +1.50]: "
        "within chance, not refused"
    )
    row = next(row for row in verdict.compared if row["subset"] == "class=fear")
    assert (row["outcome"], row["difference"]) == ("chance", [-6.0, -13.5, 1.5])


def test_a_slice_lost_beyond_chance_is_refused_with_its_interval(report: EvaluationReport, limits: GateConfig) -> None:
    """T32."""
    challenger = change(report, "nme", "source=grey", 6.0)
    sure = compared(report, difference("nme", "source=grey", 1.0, 0.4, 1.6))
    assert judge(challenger, report, limits, sure).reasons == [
        "nme, source=grey (n=50): 6.00 % against the champion's 5.00 %, a difference of +1.00 [+0.40, +1.60], "
        "a relative loss of 0.1 is accepted"
    ]


def test_the_mean_is_not_excused_by_chance(report: EvaluationReport, limits: GateConfig) -> None:
    challenger = change(report, "nme", "all", 5.2)
    chance = compared(report, difference("nme", "all", 0.2, -0.1, 0.5))
    assert judge(challenger, report, limits, chance).gate == "fail"


def test_a_comparison_of_other_weights_or_data_excuses_nothing(report: EvaluationReport, limits: GateConfig) -> None:
    challenger = change(report, "f1", "class=fear", 54.0)
    chance = compared(report, difference("f1", "class=fear", -6.0, -13.5, 1.5))
    for field in ("weights_digest", "champion_digest", "data_digest"):
        assert judge(challenger, report, limits, replace(chance, **{field: "other"})).gate == "fail"


def test_intervals_of_both_values_are_shown(report: EvaluationReport, limits: GateConfig) -> None:
    rows = [replace(row, low=row.value - 1, high=row.value + 1) for row in report.measures if row.value is not None]
    former = replace(report, measures=rows)
    worse = [replace(row, value=50.0, low=49.0, high=51.0) if row.subset == "class=fear" else row for row in rows]
    reasons = judge(replace(report, measures=worse), former, limits).reasons
    assert reasons == [
        "f1, class=fear (n=40): 50.00 % [49.00, 51.00] against the champion's 60.00 % [59.00, 61.00], "
        "a loss of 5 points is accepted"
    ]


@pytest.mark.parametrize("subset", ["source=grey", "pose=15<|yaw|<=30", "size=side<=64", "class=happy"])
def test_every_kind_of_slice_counts_for_both_tasks(report: EvaluationReport, limits: GateConfig, subset: str) -> None:
    for metric, better, worse in (("nme", 5.0, 9.0), ("macro_f1", 60.0, 40.0)):
        task = "landmarks" if metric == "nme" else "expression"
        template = next(row for row in report.measures if (row.task, row.metric) == (task, metric))
        reports = [
            replace(
                report,
                measures=[*report.measures[:1], *report.measures[3:4], replace(template, subset=subset, value=value)],
            )
            for value in (worse, better)
        ]
        assert judge(*reports, limits).reasons[0].startswith(f"{metric}, {subset} (n=100): {worse:.2f} %")
