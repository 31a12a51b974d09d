"""Timing: medians over rounds, peers in turn, one core; no claim about how fast anything is."""

import json
import os
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.peers import FACE_API, MEDIAPIPE, PEERS, time_peers
from benchmarks.speed import OURS, clock, summarise, table, time_ours
from model.errors import ServiceError
from model.net.inference import FaceNet
from model.schema import Box
from model.serving.golden import golden_pictures
from model.serving.predictor import Predictor
from tests.benchmarks.conftest import Project

PICTURE, (BOX,) = golden_pictures(1)[0]


@pytest.fixture
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins that note how they were called and print times."""
    for peer in PEERS:
        times = json.dumps({"rows": {name: {"p50_ms": 20.0, "cpu_p50_ms": 10.0, "n": 3} for name in peer.rows}})
        lines = ["import sys", "open('calls', 'a').write(' '.join(sys.argv) + '\\n')", f"print({times!r})"]
        (tmp_path / peer.script).write_text("\n".join(lines))
        program = tmp_path / ("bin/node" if peer.program == "node" else peer.program)
        program.parent.mkdir(parents=True)
        program.symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def row(who: str, what: str, cpu: float) -> dict[str, object]:
    return {"who": who, "what": what, "p50_ms": 2 * cpu, "cpu_p50_ms": cpu, "n": 5}


def test_the_clock_counts_what_a_call_takes() -> None:
    times = clock(lambda: time.sleep(0.01), number=5, seconds=10)
    assert times["n"] == 5
    assert 10 <= times["p50_ms"] <= times["p90_ms"]
    assert times["cpu_p50_ms"] < 5


def test_the_clock_stops_when_its_time_is_over_but_never_without_a_call() -> None:
    assert clock(lambda: time.sleep(0.01), number=100, seconds=0)["n"] == 1


def test_rows_are_medians_of_the_rounds_and_peers_are_compared_by_equal_work() -> None:
    rounds = [[row(OURS, "given box", cpu), row(FACE_API, "given box", 3 * cpu)] for cpu in (2.0, 4.0, 9.0)]
    ours, theirs = summarise(rounds)
    assert (ours["cpu_p50_ms"], ours["p50_ms"], ours["p90_ms"], ours["n"], ours["ratio"]) == (4.0, 8.0, None, 15, None)
    assert theirs["ratio"] == 3.0
    assert "| face-api: given box | 24.00 |  | 12.00 | 3.00 |" in table({"rows": [ours, theirs]})


def test_every_part_of_an_answer_is_timed(project: Project) -> None:
    net, predictor = FaceNet.load(project.weights), Predictor(project.weights)
    rows = {item["what"]: item for item in time_ours(net, predictor, PICTURE, BOX, number=15, seconds=5)}
    assert rows["answer with mirror"]["cpu_p50_ms"] > rows["answer"]["cpu_p50_ms"]
    assert {"given box", "predictor, own detector, from the file"} <= set(rows)


def test_peers_are_asked_about_the_same_picture_and_box(peers: Path) -> None:
    rows = list(time_peers(peers, peers / "face.jpg", (1.0, 2.0, 30.04, 40.0), number=3, seconds=2))
    assert [item["who"] for item in rows] == [FACE_API] * 3 + [MEDIAPIPE] * 2
    face_api, mediapipe = (peers / "calls").read_text().splitlines()
    assert face_api == f"time_faceapi.mjs --n 3 --cap 2 --detector all --box 1.0,2.0,30.0,40.0 {peers / 'face.jpg'}"
    assert mediapipe == f"time_mediapipe.py --n 3 --cap 2 {peers / 'face.jpg'}"


def test_a_folder_that_is_not_prepared_is_told(tmp_path: Path) -> None:
    box: Box = (0.0, 0.0, 9.0, 9.0)
    with pytest.raises(ServiceError, match="is the folder prepared"):
        list(time_peers(tmp_path, tmp_path / "face.jpg", box, number=1, seconds=1))


def test_a_picture_without_a_face_ends_with_exit_code_3(project: Project, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "black.png")
    result = project.run("speed", "--picture", str(tmp_path / "black.png"))
    assert result.returncode == 3
    assert "no face found" in result.stderr
