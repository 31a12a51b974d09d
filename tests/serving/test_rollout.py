"""Updates of a running endpoint, with a real TorchServe, under load (T42, T43)."""

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from benchmarks.load.phases import under_load
from model.config import Config
from model.errors import CheckpointError, ConfigError, FaceError, ServiceError
from model.schema import Deployment
from model.serving import running, server
from model.serving.archive import package
from model.serving.rollout import replace
from model.serving.switch import noting_refusal
from model.storage import read_json

pytestmark = pytest.mark.service


def refused(deployed: Deployment) -> float:
    """What the endpoint's metrics say about the last change."""
    token = Path(str(deployed.key_file)).read_text().strip()
    text = requests.get(f"{deployed.url}/metrics", headers={"Authorization": f"Bearer {token}"}, timeout=10).text
    return float(re.search(r"^rmtl_change_refused (\S+)$", text, re.MULTILINE).group(1))


@pytest.fixture(scope="module")
def quick(config: Config):
    return config.deploy.model_copy(update={"startup_s": 180, "golden": 2})


@pytest.fixture(scope="module")
def next_mar(config: Config, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package(config.package, weights=weights, out=tmp_path_factory.mktemp("next"), version="8")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rollout") / "serve"


@pytest.fixture(scope="module")
def deployed(quick, mar: Path, state: Path) -> Iterator[Deployment]:
    """An endpoint of version 7, begun by an update where nothing ran."""
    yield replace(quick, archive=mar, state=state, report=state.parent / "deployment.json")
    server.stop(None, state=state)


def test_there_and_back_again_under_load_loses_no_request(
    quick, deployed: Deployment, mar: Path, next_mar: Path, state: Path, picture
) -> None:
    """T42 at small scale: versions follow each other by the time of sending, and never go back within a phase."""
    first = running.slots(state)
    with under_load(deployed, picture[0]) as load:
        load.wait(10, "7")
        updated = replace(quick, archive=next_mar, state=state, report=state.parent / "deployment.json")
        load.wait(10, "8")
        replace(quick, archive=mar, state=state, report=state.parent / "deployment.json")
        load.wait(load.answers("7") + 10, "7")
    assert load.failures == []
    assert load.versions() == ["7", "8", "7"]
    assert refused(deployed) == 0
    assert (updated.url, updated.pid, updated.version) == (deployed.url, deployed.pid, "8")
    (last,) = running.slots(state)
    assert last not in first
    assert not any(slot.find() for slot in first)
    assert {path.name for path in state.glob("server-*")} == {last.name}
    assert not Path(first[0].scratch).exists()


@pytest.mark.usefixtures("answers_otherwise")
def test_a_model_that_answers_otherwise_never_gets_a_request(
    quick, deployed: Deployment, next_mar: Path, state: Path, picture, tmp_path: Path
) -> None:
    """T43: the old version goes on, of the new one nothing is left but its logs, and the metrics tell of it."""
    before, settings = running.slots(state), (state / "router.json").read_bytes()
    with under_load(deployed, picture[0], clients=1) as load:
        load.wait(1, "7")
        with pytest.raises(ServiceError, match=r"the endpoint answers otherwise: face 0: points differ by 1\.0"):
            replace(quick, archive=next_mar, state=state, report=tmp_path / "deployment.json")
        load.wait(load.answers("7") + 3, "7")
    assert load.failures == []
    assert load.versions() == ["7"]
    assert running.slots(state) == before
    assert (state / "router.json").read_bytes() == settings
    assert not (tmp_path / "deployment.json").exists()
    assert refused(deployed) == 1
    assert "the endpoint answers otherwise" in read_json(state / "refused.json")["reason"]


def test_a_refusal_is_told_until_a_change_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T43: a broken archive counts, a wrong name or port does not."""
    note = tmp_path / "refused.json"
    for error, running_here, noted in (
        (CheckpointError, True, True),
        (ServiceError, False, False),
        (ConfigError, True, False),
        (None, True, False),
    ):
        note.unlink(missing_ok=True)
        monkeypatch.setattr(running, "is_whole", lambda _, answer=running_here: answer)
        with suppress(FaceError), noting_refusal(tmp_path):
            if error:
                raise error("broken")
        assert note.is_file() == noted, error
    note.write_text("{}")
    with noting_refusal(tmp_path):
        assert note.is_file()
    assert not note.is_file()


def test_what_cannot_be_updated_is_told_before_anything_starts(
    quick, deployed: Deployment, mar: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, report = running.slots(state), tmp_path / "deployment.json"
    renamed = Path(shutil.copy(mar, tmp_path / "another.mar"))
    with pytest.raises(ConfigError, match="the endpoint serves residual-mtl on port"):
        replace(quick, archive=renamed, state=state, report=report)
    monkeypatch.setenv("RMTL_PORT", "1")
    with pytest.raises(ConfigError, match="asked is residual-mtl on RMTL_PORT=1"):
        replace(quick, archive=mar, state=state, report=report)
    (tmp_path / "bad.mar").write_bytes(b"hello")
    with pytest.raises(CheckpointError, match="not an archive"):
        replace(quick, archive=tmp_path / "bad.mar", state=state, report=report)
    assert running.slots(state) == before
    assert read_json(state / "router.json")["server"] == before[0].name
