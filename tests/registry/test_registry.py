import json
from pathlib import Path
from typing import Any

import pytest

from model.config import Config, RegisterConfig, flatten
from model.errors import RegistryError, ServiceError
from model.registry.client import open_store
from model.registry.registry import register_version
from model.registry.tracking import read_spool
from model.storage import read_json
from model.weights import META_FILE


def test_weights_and_evaluation_become_the_challenger(
    workspace: Path, gate: RegisterConfig, cases: Any, config: Config
) -> None:
    case = cases.write("a")
    version = register_version(gate, **case)
    assert (version.version, version.gate, version.reasons) == ("1", "pass", [])
    assert read_json(case["out"])["gate"] == "pass"
    with open_store() as store:
        stored = store.client.get_model_version_by_alias(gate.name, "challenger")
        assert str(stored.version) == "1"
        assert stored.tags["weights_digest"] == version.weights_digest
        assert stored.tags["licence"] == "as the project"
        run = store.client.get_run(version.run_id)
        assert run.data.params["train.loss.expression_weight"] == str(config.train.loss.expression_weight)
        assert run.data.metrics["test/nme_interocular"] == 5.0
        files = {item.path for item in store.client.list_logged_model_artifacts(stored.tags["logged_model"])}
        assert files == {"MLmodel", "meta.json", "weights.safetensors", "evaluations"}


def test_the_mlmodel_shows_a_signature_and_names_no_loader(
    workspace: Path, gate: RegisterConfig, cases: Any, tmp_path: Path
) -> None:
    register_version(gate, **cases.write("a"))
    with open_store() as store:
        stored = store.client.get_model_version(gate.name, "1")
        text = store.download(stored.source, "MLmodel", tmp_path / "read").read_text()
    assert "python_function" not in text and "loader" not in text and "pickle" not in text
    assert '"name": "crops"' in text and '"name": "probabilities"' in text


def test_same_weights_give_the_same_version(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    """T21: a repeated register changes nothing."""
    case = cases.write("a")
    first, second = register_version(gate, **case), register_version(gate, **case)
    assert first == second
    with open_store() as store:
        assert len(store.client.search_model_versions(f"name = '{gate.name}'")) == 1
        assert len(store.client.search_runs([store.experiment(gate.experiment)])) == 1


def test_the_run_shows_the_latest_evaluation(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    """Better or worse than the one before, on the same data."""
    for nme, f1 in ((5.0, 60.0), (4.0, 50.0)):
        version = register_version(gate, **cases.write("a", nme=nme, f1=f1))
    with open_store() as store:
        shown = store.client.get_run(version.run_id).data.metrics
    latest = read_json(cases.write("a", nme=4.0, f1=50.0)["evaluation"])["summary"]
    assert shown == pytest.approx({name: value for name, value in latest.items() if value is not None})


def test_another_temperature_is_another_version(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    first = register_version(gate, **cases.write("a"))
    second = register_version(gate, **cases.write("a", temperature=2.0))
    assert first.weights_digest == second.weights_digest
    assert (first.version, second.version) == ("1", "2")


def test_weights_of_restricted_data_are_non_commercial(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    version = register_version(gate, **cases.write("a", restricted=True))
    with open_store() as store:
        tags = store.client.get_model_version(gate.name, version.version).tags
    assert (tags["licence"], tags["restricted"]) == ("non-commercial", "true")


def test_a_failed_gate_is_written_down_and_still_registers(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    case = cases.write("a", nme=20.0)
    version = register_version(gate, **case)
    assert version.gate == "fail"
    assert read_json(case["out"])["reasons"] == version.reasons != []


def write_spool(folder: Path, params: dict[str, Any], *, epochs: int) -> Path:
    """The spool of a training that did these epochs."""
    lines = [
        {"step": epoch, "time": 100.0, "values": {"epoch": epoch, "train/loss": 2.0}} for epoch in range(1, epochs + 1)
    ]
    spool = folder / "metrics.jsonl"
    spool.write_text("".join(json.dumps(line) + "\n" for line in [{"params": flatten(params)}, *lines]))
    return spool


def test_the_training_run_is_the_version_s_run(
    workspace: Path, gate: RegisterConfig, cases: Any, config: Config
) -> None:
    case = cases.write("a")
    spool = write_spool(case["weights"], config.run.model_dump(mode="json"), epochs=config.train.epochs)
    version = register_version(gate, **case)
    with open_store() as store:
        run = store.client.get_run(version.run_id)
    assert run.data.tags["spool"] == read_spool(spool).key
    assert run.data.params["train.lr"] == str(config.train.lr)
    assert run.info.status == "FINISHED"


def test_curves_of_a_later_training_are_not_taken_for_those_of_the_weights(
    workspace: Path, gate: RegisterConfig, cases: Any, config: Config
) -> None:
    """A training with other settings that was killed before it kept an epoch."""
    case = cases.write("a")
    other = config.run.model_dump(mode="json") | {"seed": config.seed + 1}
    spool = write_spool(case["weights"], other, epochs=1)
    version = register_version(gate, **case)
    with open_store() as store:
        run = store.client.get_run(version.run_id)
        assert len(store.client.search_runs([store.experiment(gate.experiment)])) == 1
        assert "metrics.jsonl" not in {item.path for item in store.client.list_artifacts(version.run_id)}
    assert run.data.tags["spool"] != read_spool(spool).key
    assert run.data.params["seed"] == str(config.seed)
    assert "train/loss" not in run.data.metrics


def test_an_evaluation_of_other_weights_is_refused(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    case = cases.write("a") | {"evaluation": cases.write("b")["evaluation"]}
    with pytest.raises(RegistryError, match="run `rmtl evaluate` on these weights"):
        register_version(gate, **case)


def test_altered_weights_are_refused(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    case = cases.write("a")
    meta = case["weights"] / META_FILE
    meta.write_text(meta.read_text().replace(read_json(meta)["weights_digest"], "0" * 64))
    with pytest.raises(RegistryError, match="altered or swapped"):
        register_version(gate, **case)


def test_a_malformed_evaluation_is_refused(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    case = cases.write("a")
    case["evaluation"].write_text('{"summary": {}}')
    with pytest.raises(RegistryError, match="run `rmtl evaluate`"):
        register_version(gate, **case)


def test_registering_while_the_server_is_down_says_what_to_do(
    workspace: Path, gate: RegisterConfig, cases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T21: exit code 5, and nothing half-made."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:hush@127.0.0.1:9")
    case = cases.write("a")
    with pytest.raises(ServiceError, match=r"http://\*\*\*@127.0.0.1:9 is out of reach.*then repeat") as caught:
        register_version(gate, **case)
    assert "hush" not in str(caught.value)
    assert not case["out"].exists()
