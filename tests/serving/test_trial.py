"""A challenger beside the champion, with real TorchServes: shares, comparison, roll-back, and nothing left behind."""

import base64
import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests

from benchmarks.load.phases import under_load
from model.config import CanaryConfig, Config
from model.errors import ConfigError, ServiceError
from model.net.multitask import build_net
from model.schema import Deployment
from model.serving import processes, running, server, trial
from model.serving.archive import package
from model.serving.rollout import replace
from model.serving.settings import SETTINGS_FILE, RouterSettings
from model.serving.slot import Slot
from model.storage import write_json
from model.weights import describe, save_weights

LIMITS = CanaryConfig(min_requests=20, max_error_rate=0.5, max_disagreement=0.5, max_point_difference=0.05, shadow=0.5)

JSON = "application/json"

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def quick(config: Config):
    return config.deploy.model_copy(update={"startup_s": 180, "golden": 2, "canary": LIMITS})


@pytest.fixture(scope="module")
def agreeing(config: Config, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 8: the champion's weights."""
    return package(config.package, weights=weights, out=tmp_path_factory.mktemp("agreeing"), version="8")


@pytest.fixture(scope="module")
def disagreeing(config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 9: answers that lie around another mean shape."""
    folder = tmp_path_factory.mktemp("disagreeing")
    shape = np.random.default_rng(1).uniform(0.2, 0.8, (68, 2))
    net = build_net(config.train.net, None, mean_shape_K2=shape, seed=0)
    points = tuple((float(x), float(y)) for x, y in shape)
    meta = describe(config.run, mean_shape=points, data_digest="d" * 64, restricted=False)
    save_weights(folder / "weights", net.state_dict(), meta)
    return package(config.package, weights=folder / "weights", out=folder, version="9")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trial") / "serve"


@pytest.fixture(scope="module")
def deployed(quick, mar: Path, state: Path) -> Iterator[Deployment]:
    """An endpoint of version 7."""
    yield server.start(quick, archive=mar, state=state, report=state.parent / "deployment.json")
    server.stop(None, state=state)


@pytest.fixture
def body(picture) -> bytes:
    """A request about a made picture and the box of its head, which no detector takes for a face."""
    content, boxes = picture
    instance = {"image": base64.b64encode(content).decode(), "boxes": boxes}
    return json.dumps({"instances": [instance]}).encode()


def ask(deployed: Deployment, body: bytes, number: int) -> list[str]:
    """Versions that answered so many requests, one after the other; a failed one fails the test."""
    session = requests.Session()
    session.headers["Content-Type"] = JSON
    session.headers["Authorization"] = f"Bearer {Path(str(deployed.key_file)).read_text().strip()}"
    versions = []
    for _ in range(number):
        answer = session.post(f"{deployed.url}/predictions/{deployed.model}", data=body, timeout=60)
        assert answer.status_code == 200, answer.text
        versions.append(answer.headers["X-Model-Version"])
    return versions


def families(state: Path) -> list[psutil.Process]:
    """All processes of the servers noted in the folder."""
    found = [slot.find() for slot in running.slots(state)]
    return [member for process in found if process for member in (process, *process.children(recursive=True))]


def gone(members: list[psutil.Process]) -> bool:
    """Whether none of them runs; zombies do not."""
    return not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in members)


@pytest.fixture
def champion(deployed: Deployment, state: Path) -> Iterator[list[psutil.Process]]:
    """The champion's processes; what stands beside it is ended after the test."""
    yield families(state)
    if running.is_whole(state):
        trial.end(state)


def test_a_challenger_answers_its_share_and_dies_without_a_failed_request(
    quick, deployed: Deployment, champion: list[psutil.Process], agreeing: Path, state: Path, body: bytes
) -> None:
    assert trial.report(state) == {"state": "none"}
    begun = trial.begin(quick, archive=agreeing, state=state, share=0.25)
    assert (begun.url, begun.version) == (deployed.url, "8")
    assert Counter(ask(deployed, body, 200)) == {"7": 150, "8": 50}
    report = trial.report(state)
    assert (report["state"], report["disagreement"], report["challenger"]["version"]) == ("running", 0, "8")
    assert report["compared"] >= 90
    assert report["faces"] > 0
    assert report["point_difference"]["max"] < 1e-3
    challenger = [member for member in families(state) if member not in champion]
    assert len(challenger) > 1
    with under_load(deployed, body, kind=JSON) as load:
        load.wait(5, "8")
        for member in challenger:
            member.kill()
        load.wait(load.answers("7") + 20, "7")
    assert load.failures == []


def test_a_challenger_that_disagrees_is_rolled_back_without_a_failed_request(
    quick, deployed: Deployment, champion: list[psutil.Process], disagreeing: Path, state: Path, body: bytes
) -> None:
    trial.begin(quick, archive=disagreeing, state=state, share=0.5)
    challenger = [member for member in families(state) if member not in champion]
    with under_load(deployed, body, kind=JSON) as load:
        deadline = time.monotonic() + 120
        while trial.report(state)["state"] == "running" and not load.failures:
            assert time.monotonic() < deadline, trial.report(state)
            time.sleep(0.1)
    assert load.failures == []
    assert load.answers("9") > 0
    report = trial.report(state)
    assert (report["state"], report["reason"]["limit"]) == ("rolled_back", 0.05)
    assert report["reason"]["found"] > 0.05
    assert report["compared"] >= LIMITS.min_requests
    assert ask(deployed, body, 20) == ["7"] * 20
    assert "challenger 9 gets no more requests" in (state / "router.log").read_text()
    assert trial.end(state) is True
    assert len(challenger) > 1 and gone(challenger)
    assert trial.report(state) == {"state": "none"}
    assert trial.end(state) is False
    assert len(running.slots(state)) == 1


def test_an_update_ends_a_canary_and_leaves_no_process(
    *,
    quick,
    deployed: Deployment,
    champion: list[psutil.Process],
    agreeing: Path,
    disagreeing: Path,
    state: Path,
    body: bytes,
) -> None:
    trial.begin(quick, archive=disagreeing, state=state, share=0.5)
    both = families(state)
    assert len(both) > len(champion)
    with under_load(deployed, body, clients=1, kind=JSON) as load:
        load.wait(3, "9")
        updated = replace(quick, archive=agreeing, state=state, report=state.parent / "deployment.json")
        load.wait(3, "8")
    assert load.failures == []
    assert (updated.version, updated.url, gone(both)) == ("8", deployed.url, True)
    assert trial.report(state) == {"state": "none"}
    last = families(state)
    server.stop(None, state=state)
    assert len(last) > 1 and gone(last)


@pytest.mark.usefixtures("answers_otherwise")
def test_a_challenger_that_answers_otherwise_never_gets_a_request(
    quick, mar: Path, agreeing: Path, tmp_path: Path, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T43: it is refused by its golden answers, and the champion goes on alone."""
    state = tmp_path / "serve"
    with monkeypatch.context() as before:
        before.setattr(server, "compare", lambda *_: None)
        deployed = server.start(quick, archive=mar, state=state, report=tmp_path / "deployment.json")
    try:
        champion, settings = running.slots(state), (state / "router.json").read_bytes()
        with under_load(deployed, body, clients=1, kind=JSON) as load:
            load.wait(1, "7")
            with pytest.raises(ServiceError, match="the endpoint answers otherwise"):
                trial.begin(quick, archive=agreeing, state=state, share=0.9)
            load.wait(load.answers("7") + 3, "7")
        assert running.slots(state) == champion
    finally:
        server.stop(None, state=state)
    assert load.failures == []
    assert load.versions() == ["7"]
    assert (state / "router.json").read_bytes() == settings


@pytest.fixture
def killed_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Slot]]:
    """Two servers that do nothing; the files name the new one already, and no canary. Slots by name."""
    with ExitStack() as stack:
        slots = []
        for name in ("server-old", "server-new"):
            process = stack.enter_context(subprocess.Popen(["sleep", "600"]))
            stack.callback(process.kill)
            slots.append(Slot(name, "http://127.0.0.1:1", processes.identity(process.pid), str(tmp_path / name)))
        running.note_slots(tmp_path, slots)
        settings = RouterSettings("127.0.0.1", 1, "server-new", "http://127.0.0.1:1", "residual-mtl", 1, 1, 1, 1.0)
        write_json(tmp_path / SETTINGS_FILE, settings.to_json())
        yield {slot.name: slot for slot in slots}


def test_the_server_that_a_router_still_asks_is_ended_after_the_switch(
    killed_update: dict[str, Slot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(trial, "switch", lambda _: seen.append([bool(slot.find()) for slot in killed_update.values()]))
    assert trial.end(tmp_path) is True
    assert seen == [[True, True]]
    assert [slot.name for slot in running.slots(tmp_path)] == ["server-new"]
    assert [bool(slot.find()) for slot in killed_update.values()] == [False, True]


def test_a_router_that_does_not_follow_keeps_its_servers(
    killed_update: dict[str, Slot], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> None:
        raise ServiceError("the router did not take over")

    monkeypatch.setattr(trial, "switch", fail)
    with pytest.raises(ServiceError, match="did not take over"):
        trial.end(tmp_path)
    assert all(slot.find() for slot in killed_update.values())
    assert running.slots(tmp_path) == list(killed_update.values())


def test_a_share_is_between_nothing_and_all(quick, agreeing: Path, tmp_path: Path) -> None:
    for share in (-0.1, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="above 0 and below 1"):
            trial.begin(quick, archive=agreeing, state=tmp_path, share=share)


def test_nothing_runs_that_a_challenger_could_stand_beside(quick, agreeing: Path, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="no endpoint runs that a challenger could stand beside"):
        trial.begin(quick, archive=agreeing, state=tmp_path / "serve", share=0.5)
    for act in (trial.end, trial.report):
        with pytest.raises(ServiceError, match="nothing runs from this folder"):
            act(tmp_path / "serve")
