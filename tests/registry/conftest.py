import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch

from model.config import Config, RegisterConfig
from model.registry.client import open_store
from model.schema import EvaluationReport, Measure
from model.storage import write_json
from model.weights import describe, load_meta, save_weights
from tests.train.conftest import tiny, tiny_shards

__all__ = ["tiny", "tiny_shards"]

DATA = "d" * 16


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated sqlite file: making one takes seconds, copying it none."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
        patch.setenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", str(file.parent / "unused"))
        with open_store():
            pass
    return file


@pytest.fixture
def workspace(tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a local MLflow of its own."""
    shutil.copyfile(empty_database, tmp_path / "mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_DEFAULT_ARTIFACT_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def gate(config: Config) -> RegisterConfig:
    """The section `register` of params.yaml, with gate numbers that these tests state themselves."""
    limits = {
        "max_nme": 10.0,
        "min_macro_f1": 40.0,
        "simple_nme_gain": None,
        "simple_f1_gain": None,
        "max_nme_loss": 0.02,
        "max_f1_loss": 1.0,
        "max_slice_nme_loss": 0.1,
        "max_slice_f1_loss": 5.0,
        "min_slice": 30,
    }
    register = config.register_
    return register.model_copy(update={"gate": register.gate.model_copy(update=limits)})


class Cases:
    """Made-up candidates on disk: tiny weights, and an evaluation of them."""

    def __init__(self, folder: Path, config: Config) -> None:
        self._folder = folder
        self._config = config

    def weights(self, name: str, *, data: str = DATA, restricted: bool = False, temperature: float = 1.0) -> Path:
        """A weights folder; another name, other weights."""
        folder = self._folder / name / "train"
        mean_shape = tuple((float(point), 0.5) for point in range(68))
        meta = describe(
            self._config.run, mean_shape=mean_shape, data_digest=data, restricted=restricted, temperature=temperature
        )
        value = float(int.from_bytes(name.encode()) % 1009)
        save_weights(folder, {"layer": torch.full((4,), value)}, meta)
        return folder

    def write(
        self, name: str, *, nme: float = 5.0, f1: float = 60.0, fear: float = 60.0, **about: Any
    ) -> dict[str, Path]:
        """Weights and evaluation, as the arguments of `register_version`."""
        weights = self.weights(name, **about)
        meta = load_meta(weights)
        report = make_report(nme, f1, fear, weights=meta.weights_digest, data=meta.data_digest)
        reports = self._folder / name / "reports"
        write_json(reports / "evaluation.json", asdict(report))
        return {
            "weights": weights,
            "evaluation": reports / "evaluation.json",
            "out": reports / "registration.json",
        }

    def evaluate_again(self, name: str, *, data: str) -> dict[str, Path]:
        """The weights of an earlier case with an evaluation on other data."""
        weights, reports = self._folder / name / "train", self._folder / f"{name}-on-{data}"
        report = make_report(5.0, 60.0, 60.0, weights=load_meta(weights).weights_digest, data=data)
        write_json(reports / "evaluation.json", asdict(report))
        return {"weights": weights, "evaluation": reports / "evaluation.json", "out": reports / "registration.json"}


@pytest.fixture
def cases(tmp_path: Path, config: Config) -> Cases:
    return Cases(tmp_path, config)


def make_report(nme: float, f1: float, fear: float, *, weights: str, data: str) -> EvaluationReport:
    def row(task: str, metric: str, subset: str, value: float, n: int) -> Measure:
        normaliser = "inter_ocular" if metric == "nme" else None
        return Measure("test", task, metric, subset, value, None, None, n, normaliser=normaliser)

    measures = [
        row("landmarks", "nme", "all", nme, 100),
        row("landmarks_base", "nme", "all", 99.0, 100),
        row("landmarks", "nme", "source=grey", nme, 50),
        row("expression", "macro_f1", "all", f1, 100),
        row("expression", "f1", "class=fear", fear, 40),
        row("expression", "f1", "class=disgust", fear, 5),
    ]
    return EvaluationReport(weights, data, {"test/nme_interocular": nme, "test/macro_f1": f1}, measures)


@pytest.fixture
def report() -> EvaluationReport:
    """NME 5, macro-F1 60, and slices with the same values."""
    return make_report(5.0, 60.0, 60.0, weights="w" * 64, data=DATA)
