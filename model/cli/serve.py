"""`rmtl deploy`: the champion behind an endpoint on this machine, or a model in the foreground of a container."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from model.cli import canary as canaries
from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Params, app, read_config, show
from model.cli.endpoint import read_deployment
from model.config import Config
from model.errors import ConfigError
from model.schema import Deployment, to_json
from model.serving.torchserve import LOCALHOST


@app.command()
def deploy(
    *,
    update: Annotated[bool, typer.Option("--update", help="Replace what runs, without a failed request.")] = False,
    canary: Annotated[
        float | None,
        typer.Option(
            "--canary", metavar="SHARE", help="Let the challenger answer this share of the requests; 0 ends it."
        ),
    ] = None,
    canary_report: Annotated[
        bool, typer.Option("--canary-report", help="What both answered to the same requests, in numbers.")
    ] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the endpoint.")] = False,
    foreground: Annotated[bool, typer.Option("--foreground", help="Serve until SIGTERM; logs go to stderr.")] = False,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="With --foreground: weights folder or .mar, not the champion.")
    ] = None,
    host: Annotated[str, typer.Option("--host", help="With --foreground: address to listen on.")] = LOCALHOST,
    protocol: Annotated[
        str, typer.Option("--protocol", help="With --foreground: rmtl (TorchServe), or v2 (Open Inference Protocol).")
    ] = "rmtl",
    params: Params = PARAMS_FILE,
    as_json: AsJson = False,
) -> None:
    """Serve the champion with TorchServe; it runs on after this command.

    Example: rmtl deploy, then rmtl predict photo.jpg --url with the address it tells (RMTL_PORT=8080 chooses the port)

    Example of a challenger beside it: rmtl deploy --canary 0.1, then rmtl deploy --canary-report
    """
    from model.serving import server

    _check_modes(canary is not None, canary_report, update, stop, foreground)
    if not foreground and (weights or host != LOCALHOST or protocol != "rmtl"):
        raise ConfigError(
            "--weights, --host and --protocol go with --foreground; `rmtl deploy` serves the champion, here"
        )
    if stop:
        show({"stopped": _stop()}, as_json=as_json)
        return
    if canary_report:
        canaries.print_report(as_json=as_json)
        return
    config = read_config(params, None)
    if canary is not None:
        canaries.change(config, canary, as_json=as_json)
        return
    if foreground:
        _serve(config, weights, host, protocol, as_json=as_json)
        return
    if update:
        show(to_json(update_endpoint(config)), as_json=as_json)
        return
    with _deployed(config) as archive:
        deployment = server.start(config.deploy, archive=archive, state=workspace.SERVE, report=workspace.DEPLOYMENT)
    show(to_json(deployment), as_json=as_json)


def _stop() -> bool:
    """Whether there was an endpoint to end; the report is read only where the folder tells of none."""
    from model.serving import server

    return server.stop(None, state=workspace.SERVE) or server.stop(read_deployment(), state=workspace.SERVE)


def _check_modes(*asked: bool) -> None:
    if sum(asked) > 1:
        raise ConfigError("--canary, --canary-report, --update, --stop and --foreground: one at a time")


def update_endpoint(config: Config) -> Deployment:
    """Serve the champion in the place of what runs, without a failed request.

    Raises:
        ServiceError: another deployment is under way, or as `replace`.
        FaceError: as `fetch_champion`, `package` and `replace`.
    """
    from model.serving.rollout import replace

    with _deployed(config) as archive:
        return replace(config.deploy, archive=archive, state=workspace.SERVE, report=workspace.DEPLOYMENT)


@contextmanager
def _deployed(config: Config) -> Iterator[Path]:
    """The champion's archive in its folder, where no other deployment writes until the block ends."""
    from model.serving import running

    with running.alone(workspace.DEPLOYED):
        yield _champion_archive(config, workspace.DEPLOYED)


def _serve(config: Config, weights: Path | None, host: str, protocol: str, *, as_json: bool) -> None:
    from model.serving import foreground, v2

    def announce(deployment: Deployment) -> None:
        show(to_json(deployment), as_json=as_json)

    def find(out: Path) -> Path:
        return foreground.as_archive(config.package, weights, out) if weights else _champion_archive(config, out)

    if protocol not in ("rmtl", "v2"):
        raise ConfigError(f"--protocol {protocol}: need rmtl or v2")
    if protocol == "v2":
        v2.serve(config.deploy, config.package, find=find, host=host, announce=announce)
    else:
        foreground.serve(config.deploy, find=find, host=host, announce=announce)


def _champion_archive(config: Config, out: Path) -> Path:
    """The archive of the version that the promotion log calls champion; an alias moved by hand deploys nothing."""
    from model.registry.release import fetch_champion
    from model.serving.archive import package

    version = fetch_champion(config.register_.name, out / "weights")
    return package(config.package, weights=out / "weights", out=out, version=version)
