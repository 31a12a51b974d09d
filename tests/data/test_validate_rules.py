"""The rules by name and what they say to people."""

from model.config.data import ValidateConfig
from model.data.validate.rules import Rule, count_rules, drift_rules, leak_rules, row_rules, set_rules
from model.data.validate.traits import NAMES, NUMBERS
from model.schema import EXPRESSIONS, SPLITS
from tests.data.bench import CONFIG

EXPECTED = {"w300/helen": 2000, "w300/lfpw": 811}


def every_rule(config: ValidateConfig = CONFIG) -> list[Rule]:
    """What all functions of rules.py make where every split has classes and every trait is compared."""
    counts = dict.fromkeys(SPLITS, dict.fromkeys(EXPRESSIONS, 1))
    return [
        *row_rules(config),
        *leak_rules(config.leakage),
        *set_rules(counts, empty=()),
        *count_rules(EXPECTED),
        *drift_rules(config.drift, [*NUMBERS, *NAMES]),
    ]


def test_every_rule_has_a_purpose_of_its_own_in_one_sentence() -> None:
    rules = every_rule()
    purposes = [rule.purpose for rule in rules]
    assert len({rule.name for rule in rules}) == len(rules) == 38
    assert len(set(purposes)) == len(purposes)
    assert [text for text in purposes if len(text) < 40 or not text.endswith(".") or "{" in text] == []


def test_every_rule_says_what_to_do_in_a_few_words() -> None:
    actions = [rule.action for rule in every_rule()]
    assert [text for text in actions if not 20 < len(text) < 66 or text.endswith(".")] == []


def test_every_rule_demands_something_of_its_own_with_its_bound_put_in() -> None:
    rules = {rule.name: rule for rule in every_rule()}
    assert len({rule.demand for rule in rules.values()}) == len(rules)
    assert [rule.demand for rule in rules.values() if "{" in rule.demand] == []
    assert rules["orientation_fits"].demand == "the points are turned by at most 55.0 degrees"
    assert rules["points_count"].demand == "there are 68 points"
    assert rules["official_count_w300/helen"].demand == "w300/helen has the 2000 labelled faces of the benchmark"
