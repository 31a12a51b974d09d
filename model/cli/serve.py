"""`rmtl deploy`: the champion behind an endpoint on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Params, app, read_config, show
from model.config import Config
from model.errors import GateError
from model.schema import to_json


@app.command()
def deploy(
    update: Annotated[bool, typer.Option("--update", help="Replace the running endpoint.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the endpoint.")] = False,
    params: Params = PARAMS_FILE,
    as_json: AsJson = False,
) -> None:
    """Serve the champion with TorchServe; it runs on after this command.

    Example: rmtl deploy && rmtl predict photo.jpg --url http://127.0.0.1:8080
    """
    from model.serving import server

    if stop:
        show({"stopped": server.stop(None, state=workspace.SERVE)}, as_json=as_json)
        return
    config = read_config(params, None)
    archive = _champion_archive(config)
    if update:
        server.stop(None, state=workspace.SERVE)
    deployment = server.start(config.deploy, archive=archive, state=workspace.SERVE, report=workspace.DEPLOYMENT)
    show(to_json(deployment), as_json=as_json)


def _champion_archive(config: Config) -> Path:
    """The archive of the version that the promotion log calls champion; an alias moved by hand deploys nothing."""
    from model.registry.promotion import history
    from model.registry.promotion_log import champions
    from model.registry.versions import fetch
    from model.serving.archive import package

    name = config.register_.name
    versions = champions(history(name))
    if not versions:
        raise GateError(f"{name}: no version was promoted; `rmtl register`, then `rmtl promote`")
    weights = fetch(f"models:/{name}/{versions[-1]}", workspace.SERVE_WEIGHTS)
    return package(config.package, weights=weights, out=workspace.ARTIFACTS / "deployed", version=versions[-1])
