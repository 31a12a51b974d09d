"""Arguments of a pipeline come from params.yaml, a data version and places."""

import inspect
from typing import Any

import pytest

from model.config import Config, IndexConfig, TrainConfig, parse_run, parse_section
from model.errors import ConfigError
from pipelines.arguments import Places, arguments_of
from pipelines.compile import PIPELINES

DIGEST = f"{'a' * 32}.dir"


@pytest.mark.parametrize("short", PIPELINES)
def test_every_parameter_has_a_value(config: Config, short: str) -> None:
    function = PIPELINES[short][1]
    rows = {"row-residual": {"train.lr": 0.1}} if short == "ablation" else {}
    arguments = arguments_of(function, config, Places(DIGEST, "s3://bucket/face", rows=rows))
    assert list(arguments) == list(inspect.signature(function.pipeline_func).parameters)
    assert None not in arguments.values()


def test_sections_come_back_as_they_were(config: Config) -> None:
    arguments = arguments_of(PIPELINES["training"][1], config, Places(DIGEST, "store"))
    assert parse_section(IndexConfig, arguments["index"], name="index") == config.index
    assert parse_run(arguments["train"], seed=arguments["seed"]) == config.run


def test_overrides_are_laid_over_the_training(config: Config) -> None:
    section = config.train.model_dump(mode="json")
    run = parse_run(section, seed=1, overrides={"train.loss.expression_weight": 3.0})
    assert run.train.loss.expression_weight == 3.0
    assert isinstance(run.train, TrainConfig)
    with pytest.raises(ConfigError, match=r"evaluate\.split"):
        parse_run(section, seed=1, overrides={"evaluate.split": "val"})


def test_a_revision_is_looked_up_in_the_run(config: Config) -> None:
    function = PIPELINES["training"][1]
    arguments = arguments_of(function, config, Places("main", "s3://bucket", repository="https://host/repo.git"))
    assert (arguments["named_by"], arguments["repository"]) == ("revision", "https://host/repo.git")
    assert arguments_of(function, config, Places(DIGEST, "s3://bucket"))["named_by"] == "digest"


@pytest.mark.parametrize(
    ("short", "choices", "message"),
    [
        ("ablation", {}, "--rows: name the recipes"),
        ("training", {"rows": {"row-residual": {}}}, "--rows: only --pipeline ablation"),
        ("search", {"target": "local"}, "--deploy local: only --pipeline training"),
        ("search", {"workers": 0}, "--workers 0: need at least one"),
        ("training", {"topology": {"launcher": "step", "nodes": 2, "processes": 1}}, r"topology\.nodes.*one node only"),
        ("training", {"topology": {"launcher": "step", "nodes": 1, "processes": -1}}, r"topology\.processes"),
    ],
)
def test_a_choice_that_cannot_work_is_told_before_anything_runs(
    config: Config, short: str, choices: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        arguments_of(PIPELINES[short][1], config, Places(DIGEST, "s3://bucket", **choices))


def test_a_revision_needs_a_repository(config: Config) -> None:
    with pytest.raises(ConfigError, match="repository"):
        arguments_of(PIPELINES["training"][1], config, Places("main", "s3://bucket"))


@pytest.mark.parametrize("address", ["https://me:canary@host/repo.git", "https://canary@host/repo.git"])
def test_a_secret_in_the_address_is_refused_and_not_shown(config: Config, address: str) -> None:
    places = Places("main", "s3://bucket", repository=address)
    with pytest.raises(ConfigError, match="token") as caught:
        arguments_of(PIPELINES["training"][1], config, places)
    assert "canary" not in str(caught.value)
