"""Which data the versions of the registry were trained on."""

from pathlib import Path
from typing import Any

import pytest

from model.config import RegisterConfig
from model.data.contents import UNREADABLE
from model.registry.registry import register_version
from model.registry.trained_on import trained_versions
from model.weights import META_FILE, load_meta, load_weights, save_weights
from tests.registry.stored import artifacts


def test_versions_tell_their_data_and_the_weights_they_began_from(
    workspace: Path, cases: Any, gate: RegisterConfig
) -> None:
    first = cases.write("first")
    register_version(gate, **first)
    second = cases.write("second")
    state, meta = load_weights(second["weights"])
    began = load_meta(first["weights"]).weights_digest
    save_weights(second["weights"], state, meta.model_copy(update={"start_digest": began}))
    register_version(gate, **second)
    found = trained_versions()
    assert {name: item.data_digest for name, item in found.items()} == {
        f"models:/{gate.name}/1": "d" * 16,
        f"models:/{gate.name}/2": "d" * 16,
    }
    assert [item.start_digest for _, item in sorted(found.items())] == ["", began]


def test_what_a_version_began_from_is_unknown_where_its_description_is_gone(
    workspace: Path, cases: Any, gate: RegisterConfig
) -> None:
    register_version(gate, **cases.write("a"))
    (artifacts(gate.name) / META_FILE).unlink()
    (found,) = trained_versions().values()
    assert found.start_digest == UNREADABLE


def test_no_registry_is_made_by_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    assert trained_versions() == {}
    assert list(tmp_path.iterdir()) == []
