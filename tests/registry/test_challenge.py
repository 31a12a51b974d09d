"""A new version of the data: the champion is measured on it too, and the gate compares both on the same faces."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.config import Config, EvaluateConfig, RegisterConfig
from model.data.manifest import write_manifest
from model.errors import DataContractError, RegistryError
from model.evaluation.evaluate import evaluate
from model.registry.challenge import Faces, evaluate_champion
from model.registry.client import open_store
from model.registry.promotion import promote
from model.registry.registry import register_version
from model.storage import read_json
from tests.evaluation.conftest import make_records, save_random_weights


class Trials:
    """Untrained nets measured on two versions of drawn faces."""

    def __init__(self, home: Path, config: Config) -> None:
        self.home = home
        self.config = config
        self.section: EvaluateConfig = config.evaluate.model_copy(update={"bootstrap": 20, "drawn": 0})
        records = make_records(home / "data", 12)
        write_manifest(home / "one.parquet", records)
        write_manifest(home / "two.parquet", [replace(records[0], expression="anger"), *records[1:]])

    def faces(self, version: str) -> Faces:
        return Faces(self.home / f"{version}.parquet", self.home / "data", 0)

    def measure(self, name: str, version: str, **net: Any) -> dict[str, Path]:
        """Arguments of `register_version`."""
        folder = self.home / name
        save_random_weights(self.config, folder / "weights", **net)
        faces = self.faces(version)
        evaluate(
            self.section,
            weights=folder / "weights",
            manifest=faces.manifest,
            data=faces.data,
            reports=folder / "reports",
            predictions=folder / "predictions.parquet",
            seed=faces.seed,
        )
        evaluation = folder / "reports/evaluation.json"
        return {"weights": folder / "weights", "evaluation": evaluation, "out": folder / "registration.json"}

    def challenge(self, model: str, name: str, version: str) -> tuple[dict[str, Any], Path]:
        """What `evaluate_champion` returned, and its folder."""
        folder = self.home / name
        about = evaluate_champion(
            self.section,
            model,
            self.faces(version),
            evaluation=folder / "reports/evaluation.json",
            predictions=folder / "predictions.parquet",
            out=folder / "champion",
        )
        return about, folder / "champion"


@pytest.fixture
def trials(workspace: Path, config: Config) -> Trials:
    return Trials(workspace, config)


@pytest.fixture
def lax(gate: RegisterConfig) -> RegisterConfig:
    """A gate that untrained nets pass, as long as both were measured on the same faces."""
    limits = {
        "max_nme": None,
        "min_macro_f1": None,
        "max_nme_loss": 1.0,
        "max_f1_loss": 100.0,
        "max_slice_nme_loss": 1.0,
        "max_slice_f1_loss": 100.0,
        "min_slice": 1,
    }
    return gate.model_copy(update={"gate": gate.gate.model_copy(update=limits)})


def test_new_data_is_promoted_once_the_champion_was_measured_on_it(trials: Trials, lax: RegisterConfig) -> None:
    first = trials.measure("a", "one")
    register_version(lax, **first)
    promote(lax, who="ada", why="first")
    second = trials.measure("b", "two", width=1.5)
    refused = register_version(lax, **second)
    assert "not comparable" in refused.reasons[0]
    about, folder = trials.challenge(lax.name, "b", "two")
    assert about["version"] == "1"
    comparison = read_json(folder / "comparison.json")
    accepted = register_version(lax, **second, champion_evaluation=folder / "evaluation.json")
    assert (accepted.version, accepted.gate) == ("2", "pass")
    entry = promote(lax, who="ada", why="new data")
    assert (entry.before, entry.after) == ("1", "2")
    with open_store() as store:
        source = Path(store.client.get_model_version(lax.name, "2").source.removeprefix("file://"))
        tags = store.client.get_model_version(lax.name, "1").tags
    judged = read_json(source / "gate" / f"{entry.gate_digest}.json")["compared"]
    assert len(judged) > 20
    assert {row["outcome"] for row in judged} <= {"ok", "chance", "small"}
    mean = next(row for row in judged if (row["metric"], row["subset"]) == ("nme", "all"))
    stated = next(
        item
        for item in comparison["differences"]
        if (item["metric"], item["subset"], item["normaliser"]) == ("nme", "all", "inter_ocular")
    )
    assert mean["difference"] == [stated["value"], stated["low"], stated["high"]]
    # The former champion's own evaluation stays its latest one.
    assert tags["evaluation"] == read_json(first["evaluation"])["data_digest"]


def test_without_a_champion_and_against_itself_there_is_nothing_to_measure(trials: Trials, lax: RegisterConfig) -> None:
    case = trials.measure("a", "one")
    about, folder = trials.challenge(lax.name, "a", "one")
    assert about["version"] is None
    assert [path.name for path in folder.iterdir()] == ["champion.json"]
    register_version(lax, **case, champion_evaluation=folder / "evaluation.json")
    promote(lax, who="ada", why="first")
    about, folder = trials.challenge(lax.name, "a", "one")
    assert (about["version"], about["weights_digest"]) == ("1", about["challenger"])
    assert [path.name for path in folder.iterdir()] == ["champion.json"]


def test_an_evaluation_on_other_faces_is_refused(trials: Trials, lax: RegisterConfig) -> None:
    trials.measure("a", "one")
    with pytest.raises(DataContractError, match="run `rmtl evaluate` first"):
        trials.challenge(lax.name, "a", "two")


def test_an_evaluation_of_another_than_the_champion_is_refused(
    workspace: Path, gate: RegisterConfig, cases: Any
) -> None:
    register_version(gate, **cases.write("a"))
    newer = cases.write("b")
    with pytest.raises(RegistryError, match=r"champion is none .*run `rmtl evaluate --champion` again"):
        register_version(gate, **newer, champion_evaluation=cases.write("c")["evaluation"])
    promote(gate, who="ada", why="first", version="1")
    with pytest.raises(RegistryError, match=r"champion is 1 .*run `rmtl evaluate --champion` again"):
        register_version(gate, **newer, champion_evaluation=cases.write("c")["evaluation"])
