"""params.yaml: complete, closed, and reported with dotted names."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from model.config import Config, dump_config, flatten, load_config, override, parse_config, parse_section
from model.errors import ConfigError
from pipelines.arguments import _without_nulls

PARAMS = Path(__file__).parent.parent / "params.yaml"
TREE = yaml.safe_load(PARAMS.read_text())


def test_dump_and_load_are_inverse(config: Config) -> None:
    assert parse_config(dump_config(config), origin="dump") == config


def test_every_key_of_the_file_reaches_the_configuration(config: Config) -> None:
    assert set(flatten(TREE)) == set(flatten(dump_config(config)))


@pytest.mark.parametrize("name", sorted(name for name in flatten(TREE) if not name.startswith("search.overrides.")))
def test_no_key_has_a_hidden_default(name: str) -> None:
    tree = override(TREE, {})
    *parents, leaf = name.split(".")
    node = tree
    for part in parents:
        node = node[part]
    del node[leaf]
    with pytest.raises(ConfigError, match=leaf):
        parse_config(tree, origin="params.yaml")


def test_all_errors_are_shown_at_once_with_dotted_names() -> None:
    with pytest.raises(ConfigError, match=r"(?s)3 wrong value.*train\.lr.*train\.net\.size.*validate\.budget"):
        load_config(PARAMS, {"train.lr": -1, "train.net.size": "huge", "validate.budget": 2})


def test_an_unknown_override_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"train\.learning_rate: params\.yaml has no such key"):
        load_config(PARAMS, {"train.learning_rate": 0.1})


def test_all_unknown_overrides_are_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"train\.learning_rate, search\.steps: params\.yaml has no such key"):
        load_config(PARAMS, {"train.learning_rate": 0.1, "train.lr": 0.1, "search.steps": 1})


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"train\.rate"):
        parse_config({**TREE, "train": {**TREE["train"], "rate": 1}}, origin="params.yaml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_requests", 0),
        ("max_error_rate", 1.5),
        ("max_disagreement", -0.1),
        ("max_point_difference", 0),
        ("shadow", 1.1),
    ],
)
def test_a_bound_of_a_canary_is_within_its_range(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"deploy\.canary\.{name}"):
        parse_config(override(TREE, {f"deploy.canary.{name}": value}), origin="params.yaml")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train.grad_clip", float("inf")),
        ("train.lr", float("nan")),
        ("seed", -1),
        ("seed", 2**32),
        ("validate.margin", float("inf")),
    ],
)
def test_what_no_file_or_generator_can_hold_is_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=re.escape(name)):
        parse_config(override(TREE, {name: value}), origin="params.yaml")


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{tmp_path}: cannot be read: Is a directory"):
        load_config(tmp_path)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; run from the folder"):
        load_config(tmp_path / "params.yaml")


def test_broken_yaml_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("train: [1,")
    with pytest.raises(ConfigError, match="not readable as YAML"):
        load_config(tmp_path / "params.yaml")


@given(st.permutations([("train.lr", 0.5), ("seed", 3), ("train.net.width", 2.0), ("shard.window", 1.5)]))
def test_overrides_commute(pairs: list[tuple[str, float]]) -> None:
    assert override(TREE, dict(pairs)) == override(TREE, dict(sorted(pairs)))


def test_override_leaves_the_original_alone() -> None:
    before = TREE["train"]["lr"]
    override(TREE, {"train.lr": 9.0})
    assert TREE["train"]["lr"] == before


@pytest.mark.parametrize("path", sorted((PARAMS.parent / "recipes").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_recipe_fits_params(path: Path) -> None:
    load_config(PARAMS, yaml.safe_load(path.read_text()))


@pytest.mark.parametrize("name", ["index", "validate", "shard", "train", "evaluate", "register", "package", "deploy"])
def test_a_section_survives_the_way_through_a_pipeline(name: str) -> None:
    tree = override(TREE, {"register.gate.max_nme": None})
    carried = json.loads(json.dumps(_without_nulls(tree[name])), parse_int=float)
    section = {field.removesuffix("_"): item for field, item in Config.model_fields.items()}[name].annotation
    assert parse_section(section, carried, name=name) == section.model_validate(tree[name])
