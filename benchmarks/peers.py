"""Other packages, timed by their own scripts in a prepared folder (`benchmarks.speed --peers`)."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from model.errors import ServiceError
from model.schema import Box


class Peer(NamedTuple):
    """Program and script below the folder, and what to call the rows that it prints."""

    name: str
    program: str
    script: str
    options: tuple[str, ...]
    rows: dict[str, str]


FACE_API = "face-api"
MEDIAPIPE = "mediapipe, points alone"
BOTH, TINY, SSD = "given box", "own tiny detector", "own SSD detector"
TRACKING, DETECTED = "known place", "own detector"
PEERS = (
    Peer(
        name=FACE_API,
        program="node",
        script="time_faceapi.mjs",
        options=("--detector", "all"),
        rows={"landmarks_and_expression": BOTH, "tiny_detector_then_both": TINY, "ssd_detector_then_both": SSD},
    ),
    Peer(
        name=MEDIAPIPE,
        program="mpvenv/bin/python",
        script="time_mediapipe.py",
        options=(),
        rows={"tracking": TRACKING, "with_detector": DETECTED},
    ),
)
_FOUND = "predictor, own detector, from the file"
COMPARED = {
    (FACE_API, BOTH): "given box",
    (FACE_API, TINY): _FOUND,
    (FACE_API, SSD): _FOUND,
    (MEDIAPIPE, TRACKING): "given box",
    (MEDIAPIPE, DETECTED): _FOUND,
}
"""Our row that does the work of a peer's row; ours also decodes the file where it finds the face, theirs do not."""


def time_peers(folder: Path, picture: Path, box: Box, *, number: int, seconds: float) -> Iterator[dict[str, Any]]:
    """Rows of each peer, one after the other.

    Raises:
        ServiceError: a script is not there, fails, or prints something else.
    """
    for peer in PEERS:
        command = [_program(folder, peer), peer.script, "--n", str(number), "--cap", str(seconds), *peer.options]
        if peer.name == FACE_API:
            command += ["--box", ",".join(f"{value:.1f}" for value in box)]
        try:
            done = subprocess.run([*command, str(picture)], cwd=folder, capture_output=True, text=True, check=False)
            rows = json.loads(done.stdout)["rows"]
            yield from (_row(peer, what, rows[name]) for name, what in peer.rows.items())
        except (OSError, ValueError, KeyError) as error:
            raise ServiceError(f"{folder / peer.script}: gave no times ({error!r}); is the folder prepared?") from error


def _program(folder: Path, peer: Peer) -> str:
    return str((folder / peer.program).absolute()) if "/" in peer.program else peer.program


def _row(peer: Peer, what: str, row: dict[str, Any]) -> dict[str, Any]:
    return {"who": peer.name, "what": what, "p50_ms": row["p50_ms"], "cpu_p50_ms": row["cpu_p50_ms"], "n": row["n"]}
