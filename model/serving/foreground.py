"""An endpoint that lives as long as this process: what a container runs."""

import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from model.config import DeployConfig, PackageConfig
from model.errors import CheckpointError, ServiceError
from model.schema import Deployment
from model.serving import server
from model.serving.archive import package
from model.weights import WEIGHTS_FILE

logger = logging.getLogger(__name__)

POLL_S = 0.5
LEAVE_S = 5.0
"""Seconds that a pod answers on once it is told to end: until then its cluster may send it new requests.

A `preStop` hook would do, but Knative allows none.
"""


def serve(
    config: DeployConfig,
    *,
    find: Callable[[Path], Path],
    host: str,
    announce: Callable[[Deployment], None],
) -> None:
    """Serve an archive until SIGTERM or SIGINT, then answer what is under way and end every process.

    In a pod of Kubernetes new requests are answered too for `LEAVE_S` after the signal.

    Nothing is kept: keys and settings lie in a temporary folder, logs go to stderr. The port is RMTL_PORT, else a free
    one; `announce` gets the deployment once its golden answers agree.

    Args:
        config: limits of the endpoint.
        find: gives the `.mar`; it may make one in the folder that it gets.
        host: address to listen on; `0.0.0.0` for clients outside of a container.
        announce: called once, when the endpoint is ready.

    Raises:
        CheckpointError: `find` found none, or the archive is unsafe or unusable.
        ServiceError: the endpoint did not become ready, or one of its processes ended by itself.
    """
    with tempfile.TemporaryDirectory(prefix="rmtl-") as folder:
        state = Path(folder)
        around = server.Surroundings(host=host, console=True)
        try:
            with signals_interrupt():
                archive, report = find(state / "found"), state / "deployment.json"
                announce(server.start(config, archive=archive, state=state, report=report, around=around))
                while server.is_whole(state):
                    time.sleep(POLL_S)
        except KeyboardInterrupt:
            logger.info("asked to end")
            _take_leave(state)
            return
        finally:
            server.stop(None, state=state)
    raise ServiceError("router or TorchServe ended by itself; the lines above say why; start the endpoint again")


def as_archive(config: PackageConfig, model: Path, out: Path) -> Path:
    """The archive that `model` means: a `.mar`, a folder that holds one, or weights, which are packed into `out`.

    A mounted volume may hold it at the top or, as TorchServe's own images have it, in `model-store/`.

    Raises:
        CheckpointError: none of them, several archives, or unusable weights.
    """
    if model.is_file():
        return model
    if (model / WEIGHTS_FILE).is_file():
        return package(config, weights=model, out=out)
    found = sorted([*model.glob("*.mar"), *model.glob("model-store/*.mar")])
    if len(found) != 1:
        names = ", ".join(str(path.relative_to(model)) for path in found) or "none"
        raise CheckpointError(
            f"{model}: need {WEIGHTS_FILE} with meta.json, or one archive (*.mar, model-store/*.mar); found {names}"
        )
    return found[0]


def _take_leave(state: Path) -> None:
    """In a pod, answer on until the cluster knows that it ends."""
    deadline = time.monotonic() + (LEAVE_S if "KUBERNETES_SERVICE_HOST" in os.environ else 0)
    while time.monotonic() < deadline and server.is_whole(state):
        time.sleep(POLL_S)


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """SIGTERM and SIGINT raise KeyboardInterrupt, once: what ends the endpoint is not interrupted itself."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)
    yield
