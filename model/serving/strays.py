"""Processes of an endpoint whose folder is gone, and with it their numbers: found by their command lines."""

from itertools import pairwise
from pathlib import Path

import psutil

_ROUTER = "model.serving.router"
_TORCHSERVE = "org.pytorch.serve.ModelServer"


def strays(state: Path) -> list[psutil.Process]:
    """Routers and TorchServes that were started from this folder and no other, routers first."""
    folder = state.resolve()
    found = list(psutil.process_iter())
    routers = [process for process in found if _routes(process, folder)]
    return routers + [process for process in found if _serves(process, folder)]


def _routes(process: psutil.Process, folder: Path) -> bool:
    """Whether it is `python -m model.serving.router FOLDER`; the folder may be relative to where it was started."""
    try:
        command = process.cmdline()
        return command[-2:-1] == [_ROUTER] and Path(process.cwd(), command[-1]).resolve() == folder
    except psutil.Error:
        return False


def _serves(process: psutil.Process, folder: Path) -> bool:
    """Whether it is a TorchServe with `-f FOLDER/server-*/config.properties`."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    told = [Path(value) for option, value in pairwise(command) if option == "-f"]
    return _TORCHSERVE in command and any(
        path.parent.parent == folder and path.match("server-*/config.properties") for path in told
    )
