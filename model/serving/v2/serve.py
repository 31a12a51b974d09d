"""Run the second server until it is asked to end."""

import asyncio
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
import uvicorn

from model.config import DeployConfig, PackageConfig
from model.errors import ServiceError
from model.schema import Deployment
from model.serving import packaged, tokens
from model.serving.foreground import signals_interrupt
from model.serving.session import local_address
from model.serving.settings import TOKEN_FILE
from model.serving.torchserve import asked_port, check_port
from model.serving.v2.app import Limits, V2App

POLL_S = 0.05


def serve(
    deploy: DeployConfig,
    package: PackageConfig,
    *,
    find: Callable[[Path], Path],
    host: str,
    announce: Callable[[Deployment], None],
) -> None:
    """Answer the Open Inference Protocol from the predictor in this process, until SIGTERM or SIGINT.

    Token and port are those of `server.start`. The arguments are those of `foreground.serve`.

    Raises:
        ConfigError: RMTL_PORT is no port number.
        CheckpointError: `find` found no archive, or it is unsafe or unusable.
        ServiceError: the port is in use.
    """
    port = check_port(asked_port(), host)
    torch.set_num_threads(package.threads)
    with tempfile.TemporaryDirectory(prefix="rmtl-") as folder:
        state = Path(folder)
        archive = find(state / "found")
        tokens.write_tokens(state)
        token = (state / TOKEN_FILE).read_text().strip()
        limits = Limits(deploy.max_body_mb << 20, deploy.max_in_flight, package.max_pictures, deploy.retry_after_s)
        with packaged.unpacked(archive) as predictor:
            app = V2App(predictor, name=archive.stem, token=token, limits=limits).app
            running = Deployment(
                local_address(host, port), archive.stem, predictor.model_version, os.getpid(), str(state / TOKEN_FILE)
            )
            settings = uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False)
            # The server answers what is under way, and then raises the signal again.
            with suppress(KeyboardInterrupt), signals_interrupt():
                asyncio.run(_serve(uvicorn.Server(settings), running, announce))


async def _answering(web: uvicorn.Server) -> None:
    """uvicorn leaves the program where it cannot listen, which its task would do in the middle of ours."""
    with suppress(SystemExit):
        await web.serve()


async def _serve(web: uvicorn.Server, running: Deployment, announce: Callable[[Deployment], None]) -> None:
    task = asyncio.create_task(_answering(web))
    while not web.started:
        if task.done():
            raise ServiceError(f"{running.url}: the server did not start; the lines above say why")
        await asyncio.sleep(POLL_S)
    announce(running)
    await task
