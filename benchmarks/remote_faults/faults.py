"""Every fault: what is done before a command, with which variables it runs, and how the cause is mended."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.object_proxy import Request
from benchmarks.remote_faults.stage import BUCKET, LARGE_BYTES, Stage, altered, names
from model.s3 import s3_client

ROOM = LARGE_BYTES - 1024**2
"""Bytes of the disk that is full: one file does not fit."""


@dataclass(frozen=True)
class Fault:
    """A command that meets a fault; what the proxy plays ends by itself before the cause is mended."""

    command: str = "push"
    prepare: Callable[[Stage], None] = lambda _: None
    variables: Mapping[str, str] = field(default_factory=dict)
    mend: Callable[[Stage], None] = lambda _: None


def _silent(stage: Stage) -> None:
    stage.proxy.delay_s = 3600.0


def _busy(stage: Stage) -> None:
    stage.proxy.refuse = lambda _: True


def _busy_at_first(stage: Stage) -> None:
    asked: Counter[tuple[str, str]] = Counter()

    def refuse(request: Request) -> bool:
        asked[request.method, request.path] += 1
        return asked[request.method, request.path] <= 2

    stage.proxy.refuse = refuse


def _busy_half_way(stage: Stage) -> None:
    stage.half_way(lambda: _busy(stage))


def _kill_server(stage: Stage) -> None:
    stage.half_way(stage.server.end)


def _kill_client(stage: Stage) -> None:
    stage.half_way(stage.kill_client)


def _alter(stage: Stage) -> None:
    """Change the first byte of one object, a file of the version."""
    name = next(name for name in names() if not name.endswith(".dir"))
    content = s3_client().get_object(Bucket=BUCKET, Key=name)["Body"].read()
    s3_client().put_object(Bucket=BUCKET, Key=name, Body=bytes([content[0] ^ 1]) + content[1:])


def _send_altered_anew(stage: Stage) -> None:
    """As the runbook says: with the list deleted, too, DVC looks again for what the remote lacks."""
    for name in [*altered(), *(name for name in names() if name.endswith(".dir"))]:
        s3_client().delete_object(Bucket=BUCKET, Key=name)
    stage.push_other()


def _narrow(stage: Stage) -> None:
    """A small disk for DVC's cache; mounting it takes root's rights."""
    stage.mount(stage.project / ".dvc" / "cache", ROOM)


def _make_room(stage: Stage) -> None:
    stage.widen(stage.project / ".dvc" / "cache", 100 * ROOM)


FAULTS: Mapping[str, Fault] = {
    "none": Fault(),
    "server down": Fault(variables={"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}),
    "server silent": Fault(prepare=_silent),
    "server killed in mid-push": Fault(prepare=_kill_server),
    "503 to each request twice": Fault(prepare=_busy_at_first),
    "503 to everything": Fault(prepare=_busy),
    "503 from mid-push on": Fault(prepare=_busy_half_way),
    "wrong keys": Fault(variables={"AWS_SECRET_ACCESS_KEY": "wrong"}),
    "no such bucket": Fault(variables={"RMTL_S3_REMOTE": "s3://nowhere/data"}),
    "client killed in mid-push": Fault(prepare=_kill_client),
    "none, of a pull": Fault("pull"),
    "an object altered": Fault("pull", prepare=_alter, mend=_send_altered_anew),
    "disk full": Fault("pull", prepare=_narrow, mend=_make_room),
}
"""By the name that the table gives them."""
