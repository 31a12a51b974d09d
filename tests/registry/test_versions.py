import errno
import pickle
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, TEMPORARILY_UNAVAILABLE

from model.config import RegisterConfig
from model.errors import ConfigError, FaceError, RegistryError, ServiceError, StorageError
from model.registry.client import open_store
from model.registry.promotion import promote
from model.registry.registry import register_version
from model.registry.versions import fetch, identity
from model.storage import digest_file
from model.weights import META_FILE, WEIGHTS_FILE, load_meta, load_weights
from tests.conventions import rolled
from tests.registry.stored import artifacts


def answered(status: int) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    return response


class Canary:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("address", ["@challenger", "/1"])
def test_fetch_brings_both_files_and_nothing_else(
    workspace: Path, gate: RegisterConfig, cases: Any, address: str
) -> None:
    case = cases.write("a")
    register_version(gate, **case)
    folder = fetch(f"models:/{gate.name}{address}", workspace / "weights")
    assert {path.name for path in folder.iterdir()} == {META_FILE, WEIGHTS_FILE}
    assert load_weights(folder)[1] == load_weights(case["weights"])[1]


def test_a_planted_pickle_is_never_touched(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    """T33: neither beside the weights nor in their place; the canary file is not created."""
    register_version(gate, **cases.write("a"))
    canary, stored = workspace / "canary", artifacts(gate.name)
    poison = pickle.dumps(Canary(canary))
    for name in ("python_model.pkl", "model.pth", "data.pkl"):
        (stored / name).write_bytes(poison)
    (stored / "MLmodel").write_text("flavors:\n  python_function:\n    python_model: python_model.pkl\n")
    folder = fetch(f"models:/{gate.name}/1", workspace / "weights")
    assert {path.name for path in folder.iterdir()} == {META_FILE, WEIGHTS_FILE}
    (stored / WEIGHTS_FILE).write_bytes(poison)
    with pytest.raises(RegistryError, match="the artifact was altered"):
        fetch(f"models:/{gate.name}/1", workspace / "other")
    assert not canary.exists()
    assert not (workspace / "other").exists()


@pytest.mark.parametrize("swapped", [WEIGHTS_FILE, META_FILE])
def test_swapped_artifacts_are_refused(workspace: Path, gate: RegisterConfig, cases: Any, swapped: str) -> None:
    """T33: a digest other than the registered one."""
    register_version(gate, **cases.write("a"))
    other = cases.write("b", temperature=2.0)
    (artifacts(gate.name) / swapped).write_bytes((other["weights"] / swapped).read_bytes())
    with pytest.raises(RegistryError, match="register the weights again"):
        fetch(f"models:/{gate.name}/1", workspace / "weights")
    with pytest.raises(RegistryError, match="register the weights again"):
        promote(gate, who="eve", why="swapped")


def test_other_conventions_are_another_version_of_the_same_weights(cases: Any) -> None:
    meta = load_meta(cases.weights("a"))
    metas = [meta.model_copy(update={"conventions": held}) for held in ({}, {"a": rolled(1)}, {"b": rolled(1)})]
    assert len({identity(meta)} | {identity(item) for item in metas}) == len(metas)


def test_an_unsigned_version_is_refused(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    """T33: a version that somebody else put into the registry."""
    weights = cases.weights("a")
    with open_store() as store:
        store.client.create_registered_model(gate.name)
        store.client.create_model_version(gate.name, source=weights.as_uri())
    with pytest.raises(RegistryError, match="carries no digests, so nothing of it is loaded"):
        fetch(f"models:/{gate.name}/1", workspace / "weights")


def test_a_missing_artifact_is_named(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    register_version(gate, **cases.write("a"))
    (artifacts(gate.name) / META_FILE).unlink()
    with pytest.raises(RegistryError, match=r"has no meta\.json among its artifacts"):
        fetch(f"models:/{gate.name}/1", workspace / "weights")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), StorageError),
        (requests.ConnectionError("refused"), ServiceError),
        (requests.HTTPError("bad gateway", response=answered(502)), ServiceError),
        (requests.HTTPError("not found", response=answered(404)), RegistryError),
        (MlflowException("later", TEMPORARILY_UNAVAILABLE), ServiceError),
        (MlflowException("not found", RESOURCE_DOES_NOT_EXIST), RegistryError),
    ],
)
def test_a_disk_or_a_server_that_fails_is_not_taken_for_a_missing_artifact(
    workspace: Path,
    gate: RegisterConfig,
    cases: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    expected: type[FaceError],
) -> None:
    """T19, T20."""

    def fail(*_arguments: Any, **_named: Any) -> None:
        raise error

    register_version(gate, **cases.write("a"))
    monkeypatch.setattr("model.registry.client.download_artifacts", fail)
    with pytest.raises(expected) as caught:
        fetch(f"models:/{gate.name}/1", workspace / "weights")
    assert type(caught.value) is expected


def test_an_altered_evaluation_does_not_pass_the_gate(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    register_version(gate, **cases.write("a", nme=20.0))
    (report,) = (artifacts(gate.name) / "evaluations").iterdir()
    before = digest_file(report)
    report.write_text(report.read_text().replace("20.0", "2.0"))
    assert digest_file(report) != before
    with pytest.raises(RegistryError, match="was altered; evaluate and register again"):
        promote(gate, who="eve", why="looks good")


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        ("models:/residual-mtl", ConfigError, "write models:/name@alias"),
        ("runs:/abc/model", ConfigError, "write models:/name@alias"),
        ("models:/residual-mtl@champion", RegistryError, "has no such version"),
        ("models:/residual-mtl/9", RegistryError, "has no such version"),
        ("models:/nobody/1", RegistryError, "has no such version"),
    ],
)
def test_addresses_without_a_version_say_so(
    workspace: Path, gate: RegisterConfig, cases: Any, uri: str, error: type[FaceError], message: str
) -> None:
    register_version(gate, **cases.write("a"))
    with pytest.raises(error, match=message):
        fetch(uri, workspace / "weights")


def test_fetch_into_a_folder_of_other_files_is_refused(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    register_version(gate, **cases.write("a"))
    (workspace / "mine").mkdir()
    (workspace / "mine/thesis.tex").touch()
    with pytest.raises(RegistryError, match="which would be lost"):
        fetch(f"models:/{gate.name}/1", workspace / "mine")
    assert (workspace / "mine/thesis.tex").exists()
