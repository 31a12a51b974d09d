"""What `rmtl deploy`, `--update` and `--canary` pack, whatever other commands of the folder do meanwhile."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.cli import canary, serve, workspace
from model.config import Config
from model.errors import ServiceError
from model.serving import archive, rollout, server, trial


class Registry:
    """A registry that names another version at each download, and packing at whose start another command begins."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = meanwhile
        self._downloads = 0

    def fetch(self, _name: str, into: Path) -> str:
        self._downloads += 1
        into.parent.mkdir(parents=True, exist_ok=True)
        into.write_text(str(self._downloads))
        return into.read_text()

    def package(self, _section: Any, *, weights: Path, out: Path, version: str) -> Path:
        if self._downloads == 1:
            with pytest.raises(ServiceError, match=r"another update .* is under way"):
                self._meanwhile()
        assert weights.read_text() == version
        (out / "archive").write_text(version)
        return out / "archive"


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], list[str]]:
    """Puts a registry in the place of the real one; what servers then get of its archives."""
    served: list[str] = []

    def deliver(_section: Any, *, archive: Path, **_: Any) -> Any:
        served.append(archive.read_text())
        return rollout.Deployment("http://127.0.0.1:1", "residual-mtl", served[-1], None, None)

    def put(meanwhile: Callable[[], object]) -> list[str]:
        registry = Registry(meanwhile)
        for name in ("fetch_champion", "fetch_challenger"):
            monkeypatch.setattr(f"model.registry.release.{name}", registry.fetch)
        monkeypatch.setattr(archive, "package", registry.package)
        return served

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rollout, "replace", deliver)
    monkeypatch.setattr(server, "start", deliver)
    monkeypatch.setattr(trial, "begin", deliver)
    monkeypatch.setattr(trial, "check", lambda *_: None)
    return put


def test_an_update_is_refused_while_another_one_packs(config: Config, use: Any) -> None:
    """Else the weights of one version are packed as the other one."""
    served = use(lambda: serve.update_endpoint(config))
    assert serve.update_endpoint(config).version == "1"
    assert served == ["1"]


def test_a_start_is_refused_while_an_update_packs(config: Config, use: Any, workspace: Path) -> None:
    served = use(lambda: serve.deploy(params=workspace / "params.yaml"))
    serve.update_endpoint(config)
    assert served == ["1"]


def test_a_canary_is_refused_while_another_one_packs(config: Config, use: Any) -> None:
    def change() -> None:
        canary.change(config, 0.5, as_json=True)

    served = use(change)
    change()
    assert served == ["1"]


def test_a_refused_update_leaves_the_next_one_free(config: Config, use: Any) -> None:
    served = use(lambda: serve.update_endpoint(config))
    serve.update_endpoint(config)
    assert serve.update_endpoint(config).version == "2"
    assert served == ["1", "2"]
    assert Path(workspace.DEPLOYED, "archive").read_text() == "2"
