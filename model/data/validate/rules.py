"""The rules by name: what each expects of the face table, and what it says of a row that breaks it.

Kinds: `row` moves a row to quarantine, within the budget; `aside` moves it there outside the budget; `stop` moves it
and fails validation; `alarm` fails validation and moves nothing; `warning` is told in the report.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from model.config.data import DriftConfig, LeakageConfig, ValidateConfig
from model.data.validate.words import OFFICIAL_COUNT, words_of
from model.schema import EXPRESSIONS, LANDMARKS, LANDMARKS_19, SPLITS

_CONTAINS = "ExpectColumnDistinctValuesToContainSet"

Kind = Literal["row", "aside", "stop", "alarm", "warning"]


@dataclass(frozen=True)
class Rule:
    """An expectation of Great Expectations by its class name and arguments, over the rows `where` a column has a value.

    `reason` is filled from the row that breaks the rule; `demand` says what holds of sound data, `purpose` what goes
    wrong without the rule, `action` what to do about a broken one.
    """

    name: str
    kind: Kind
    expectation: str
    arguments: Mapping[str, Any]
    reason: str
    where: tuple[str, str] | None
    demand: str
    purpose: str
    action: str


def row_rules(config: ValidateConfig) -> list[Rule]:
    """Rules that each row meets by itself, the first broken one decides."""
    return [
        _empty("record_readable", "problem", "{problem}"),
        _between("max_pixels", "pixels", "{pixels:.0f} pixels, at most {limit}", most=config.max_pixels),
        _empty("picture_decodes", "picture_error", "{picture_error}"),
        _between(
            "min_side", "shorter_side", "shorter side {shorter_side:.0f} px, at least {limit}", least=config.min_side
        ),
        _among("expression_known", "expression", EXPRESSIONS, "expression `{expression}` is none of {limit}"),
        _among("points_count", "points", [LANDMARKS], "{points:.0f} points, need {limit}"),
        _among("points19_count", "points19", [LANDMARKS_19], "{points19:.0f} points of AFLW-19, need {limit}"),
        _among("points_finite", "finite", [True], "a coordinate is not a finite number"),
        _between(
            "points_inside",
            "outside",
            "a point lies {outside:.2f} picture sizes outside, at most {limit}",
            most=config.margin,
        ),
        _between(
            "shape_plausible",
            "shape_distance",
            "shape distance {shape_distance:.3f} to the mean face, at most {limit}: x and y swapped, or points "
            "numbered in another order?",
            most=config.shape_distance,
        ),
        _between(
            "numbering_sound",
            "numbering_gain",
            "{numbering}: another order comes {numbering_gain:.3f} nearer to the mean face, at most {limit}",
            most=config.numbering_gain,
        ),
        _between(
            "orientation_fits",
            "turn",
            "points turned by {turn:.0f} degrees, at most {limit}: turned without the picture, or the picture without "
            "them?",
            most=config.turn,
        ),
        _empty("box_sane", "box_error", "box: {box_error}"),
        _between(
            "box_holds_points",
            "box_overlap",
            "box and tight box of the points overlap by {box_overlap:.2f}, at least {limit}: corner and size instead "
            "of two corners, another face, or another picture size?",
            least=config.box_overlap,
        ),
        _among("labelled", "labelled", [True], "no points, and no expression of ours (label: `{label}`)", kind="aside"),
    ]


def leak_rules(config: LeakageConfig) -> list[Rule]:
    """Rules between the splits, over rows that met the row rules."""
    return [
        _empty("exact_duplicates", "exact_leak", "{exact_leak}", kind=config.exact),
        _empty("near_duplicates", "near_leak", "{near_leak}", kind=config.near),
        _empty("groups_apart", "group_leak", "{group_leak}", kind=config.group),
    ]


def set_rules(classes: Mapping[str, Mapping[str, int]], empty: Iterable[str]) -> list[Rule]:
    """Rules about the whole set, over the rows that are left.

    `classes` counts expressions by split, `empty` names the splits without a face.
    """
    ids = {"column": "record_id"}
    splits = {"column": "split", "value_set": list(SPLITS)}
    none = f"a split is empty: {', '.join(empty)}; see index.sources and index.holdout"
    rules = [
        _rule("records_unique", "stop", "ExpectColumnValuesToBeUnique", ids, "record id `{record_id}` is used twice"),
        _rule("splits_filled", "stop", _CONTAINS, splits, none),
    ]
    for split, counts in classes.items():
        missing = ", ".join(name for name, count in counts.items() if count == 0)
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        expected = {"column": "expression", "value_set": list(EXPRESSIONS)}
        reason = f"{split} has no face of {missing} ({told})"
        rules.append(_rule(f"classes_present_{split}", "warning", _CONTAINS, expected, reason, ("split", split)))
    return rules


def count_rules(expected: Mapping[str, int]) -> list[Rule]:
    """Official numbers of labelled faces by part, over a row for each part (`counts.count_table`)."""
    return [
        _rule(
            f"{OFFICIAL_COUNT}{part}",
            "warning",
            "ExpectColumnValuesToBeInSet",
            {"column": "faces", "value_set": [count]},
            "{part}: {told}",
            ("part", part),
        )
        for part, count in expected.items()
    ]


def drift_rules(config: DriftConfig, traits: Iterable[str]) -> list[Rule]:
    """Rules about the mix of each trait, over a row for each part and trait (`drift.COLUMNS`)."""
    told = "{part}: PSI {psi:.2f}, at most {limit} ({told}; {faces} faces, {then} then)"
    return [
        _rule(
            f"drift_{trait}",
            "alarm" if config.action == "stop" else "warning",
            "ExpectColumnValuesToBeBetween",
            {"column": "drift", "min_value": None, "max_value": config.psi},
            told,
            ("trait", trait),
        )
        for trait in traits
    ]


def reason_of(rule: Rule, row: Mapping[str, Any]) -> str:
    """What the rule says of one row that breaks it."""
    return rule.reason.format(**row, limit=_limit(rule.arguments))


def _rule(
    name: str,
    kind: Kind,
    expectation: str,
    arguments: Mapping[str, Any],
    reason: str,
    where: tuple[str, str] | None = None,
) -> Rule:
    return Rule(name, kind, expectation, arguments, reason, where, **words_of(name, _limit(arguments))._asdict())


def _limit(arguments: Mapping[str, Any]) -> str:
    limits = arguments.get("value_set") or [arguments.get("min_value"), arguments.get("max_value")]
    return ", ".join(str(value) for value in limits if value is not None)


def excess_of(rule: Rule, row: Mapping[str, Any]) -> float:
    """How far a row that breaks the rule lies beyond its limit, in the unit of the column; 0 for a rule without one."""
    value, least, most = (
        row[rule.arguments["column"]],
        *(rule.arguments.get(end) for end in ("min_value", "max_value")),
    )
    return max(0.0 if least is None else float(least - value), 0.0 if most is None else float(value - most))


def _empty(name: str, column: str, reason: str, kind: Kind = "row") -> Rule:
    return _rule(name, kind, "ExpectColumnValuesToBeNull", {"column": column}, reason)


def _among(name: str, column: str, values: Iterable[Any], reason: str, kind: Kind = "row") -> Rule:
    return _rule(name, kind, "ExpectColumnValuesToBeInSet", {"column": column, "value_set": list(values)}, reason)


def _between(name: str, column: str, reason: str, *, least: float | None = None, most: float | None = None) -> Rule:
    arguments = {"column": column, "min_value": least, "max_value": most}
    return _rule(name, "row", "ExpectColumnValuesToBeBetween", arguments, reason)
