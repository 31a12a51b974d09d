"""The components around the registry: what they hand on, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest
from kfp import dsl

from components.deploy import deploy
from components.promote import promote
from components.register import register
from model.config import Config, RegisterConfig, dump_config
from model.registry.promotion import promote as move_alias
from model.registry.promotion import rollback
from model.registry.registry import register_version
from model.registry.standing import champion_weights
from model.serving.archive import package
from model.storage import digest_tree, read_json, write_json
from pipelines.acts import stands
from tests.untrained import make_evaluation, make_weights


def artifact(path: Path) -> dsl.Artifact:
    """An input whose step has finished."""
    return dsl.Artifact(name=path.name, uri=str(path), metadata={"digest": digest_tree(path)})


def output(path: Path) -> dsl.Artifact:
    return dsl.Artifact(name=path.name, uri=str(path), metadata={})


@pytest.fixture
def trained(workspace: Path, config: Config) -> Path:
    """Weights, their evaluation and the note that there was no champion."""
    weights = make_weights(config, workspace / "weights", seed=0)
    make_evaluation(workspace / "reports/evaluation.json", weights, 5.0)
    write_json(workspace / "champion/champion.json", {"version": None})
    return workspace


def run_register(trained: Path, gate: RegisterConfig) -> str:
    return str(
        register.python_func(
            section=gate.model_dump(mode="json"),
            data_digest="d" * 16,
            data_version="f" * 32 + ".dir",
            weights=artifact(trained / "weights"),
            reports=artifact(trained / "reports"),
            champion=artifact(trained / "champion"),
            registration=output(trained / "registration"),
            summary=output(trained / "summary"),
        )
    )


def test_a_version_that_waits_for_approval_ends_the_pipeline_without_promotion(
    trained: Path, gate: RegisterConfig
) -> None:
    asking = gate.model_copy(update={"gate": gate.gate.model_copy(update={"approval": ("grace",)})})
    assert run_register(trained, asking) == "approval"
    assert "rmtl promote --version 1 --approved-by grace" in (trained / "summary").read_text()
    assert run_register(trained, gate) == "pass"
    assert "approved-by" not in (trained / "summary").read_text()


def test_only_the_champion_is_deployed(
    trained: Path, gate: RegisterConfig, config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """An act that another one overtook, and weights that were never promoted: exit codes 4 and 1, nothing started."""
    run_register(trained, gate)
    promote.python_func(
        section=gate.model_dump(mode="json"),
        who="ada",
        why="test",
        registration=artifact(trained / "registration"),
        promotion=output(trained / "promotion"),
    )
    assert read_json(trained / "promotion")["after"] == "1"

    def run_deploy(archive: Path) -> None:
        deploy.python_func(
            section=dump_config(config)["deploy"],
            target="nowhere",
            promotion=artifact(trained / "promotion"),
            archive=artifact(archive),
            deployment=output(trained / "deployment"),
        )

    own = package(config.package, weights=trained / "weights", out=trained / "own", version="1")
    with pytest.raises(SystemExit, match="2"):
        run_deploy(own.parent)
    assert "deploy to 'nowhere'" in capsys.readouterr().err
    foreign = make_weights(config, trained / "foreign", seed=1)
    other = package(config.package, weights=foreign, out=trained / "other", version="1")
    with pytest.raises(SystemExit, match="1"):
        run_deploy(other.parent)
    assert "package the registered version" in capsys.readouterr().err
    evaluation = make_evaluation(trained / "foreign-reports/evaluation.json", foreign, 5.0)
    register_version(gate, weights=foreign, evaluation=evaluation, out=trained / "again.json")
    move_alias(gate, who="ada", why="next")
    with pytest.raises(SystemExit, match="4"):
        run_deploy(own.parent)
    assert "version 1 is not the champion, version 2 is" in capsys.readouterr().err


def test_the_champion_s_measurement_stands_while_the_champion_does(
    workspace: Path, gate: RegisterConfig, cases: Any
) -> None:
    for name in "ab":
        register_version(gate, **cases.write(name))
    digests = [read_json(workspace / name / "train/meta.json")["weights_digest"] for name in "ab"]
    write_json(workspace / "c/champion.json", {"name": gate.name, "weights_digest": None, "challenger": digests[0]})
    measured = {"champion": artifact(workspace / "c")}
    assert champion_weights(gate.name) is None
    assert stands("evaluate-champion", measured)
    # The challenger itself became champion: still nothing to measure.
    move_alias(gate, who="ada", why="first", version="1")
    assert stands("evaluate-champion", measured)
    move_alias(gate, who="ada", why="second", version="2")
    assert not stands("evaluate-champion", measured)
    rollback(gate.name, who="ada", why="back")
    assert stands("evaluate-champion", measured)
