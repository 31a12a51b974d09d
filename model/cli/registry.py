"""Commands on the MLflow registry: promote, rollback, history, keys, lineage, verify, sync."""

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Params, app, read_config, show
from model.cli.endpoint import connect, read_deployment
from model.errors import FaceError
from model.schema import to_json
from model.storage import alone_in

if TYPE_CHECKING:
    from model.registry.hop import Hop
    from model.registry.lineage import Places

Why = Annotated[str, typer.Option("--why", help="Reason, kept in the promotion log.")]
Subject = Annotated[
    str | None,
    typer.Argument(
        help="models:/name@alias or models:/name/3, a file of answers (`rmtl predict --out`), or the address of an "
        "endpoint; by default the champion."
    ),
]


@app.command()
def promote(
    why: Why = "meets the gate",
    version: Annotated[str | None, typer.Option("--version", help="By default the challenger.")] = None,
    approved_by: Annotated[
        str, typer.Option("--approved-by", help="Who approved it; see register.gate.approval.")
    ] = "",
    params: Params = PARAMS_FILE,
    as_json: AsJson = False,
) -> None:
    """Make the challenger the champion; exit code 4 where it does not meet the gate.

    Example: rmtl promote --why "better on grey pictures"
    """
    from model.registry.promotion import promote as move_alias

    config = read_config(params, None)
    entry = move_alias(config.register_, who=getpass.getuser(), why=why, version=version, approved_by=approved_by)
    show(to_json(entry), as_json=as_json)


@app.command()
def rollback(
    why: Why = "roll-back",
    registry_only: Annotated[bool, typer.Option("--registry-only", help="Leave a running endpoint as it is.")] = False,
    params: Params = PARAMS_FILE,
    as_json: AsJson = False,
) -> None:
    """Make the former champion the champion again, and serve it if an endpoint runs from this folder.

    Example: rmtl rollback --why "complaints about profile faces"
    """
    from model.cli.serve import update_endpoint
    from model.registry.promotion import rollback as move_back
    from model.serving.server import status

    config = read_config(params, None)
    entry = move_back(config.register_.name, who=getpass.getuser(), why=why)
    endpoint = "left as it is" if registry_only else "none runs from this folder"
    if not registry_only and status(workspace.SERVE)["running"]:
        try:
            endpoint = update_endpoint(config).url
        except FaceError:
            typer.echo(
                f"champion is version {entry.after} again, the endpoint still serves what it did; when the cause below "
                "is gone: `rmtl deploy --update`",
                err=True,
            )
            raise
    show({**to_json(entry), "endpoint": endpoint}, as_json=as_json)


@app.command()
def history(params: Params = PARAMS_FILE, as_json: AsJson = False) -> None:
    """Print the promotion log: who moved `champion` when, from which version to which, and why.

    Example: rmtl history
    """
    from model.registry.promotion import history as read_log

    entries = read_log(read_config(params, None).register_.name)
    if as_json:
        typer.echo(json.dumps([to_json(entry) for entry in entries]))
        return
    for entry in entries:
        move = f"{entry.before or '-'} -> {entry.after}"
        why = f"{entry.why} (approved by {entry.approved_by})" if entry.approved_by else entry.why
        typer.echo(f"{entry.sequence:>3}  {entry.when}  {entry.action:<8}  {move:<10}  {entry.who:<10}  {why}")


@app.command()
def keys(
    folder: Annotated[Path, typer.Argument(help="New or without keys; keep it out of the repository.")],
    as_json: AsJson = False,
) -> None:
    """Make a key pair that signs promotions, and name the variables that take its halves.

    Example: rmtl keys ~/.config/residual-mtl
    """
    from model.registry.keys import PRIVATE_FILE, PUBLIC_FILE, SIGNING_KEY, VERIFY_KEY, make_key_pair

    public = make_key_pair(folder)
    show({"private": folder / PRIVATE_FILE, "public": folder / PUBLIC_FILE, VERIFY_KEY: public}, as_json=as_json)
    if not as_json:
        typer.echo(f'where you promote:  export {SIGNING_KEY}="$(cat {folder / PRIVATE_FILE})"')
        typer.echo(f"where you deploy:   export {VERIFY_KEY}={public}")


@app.command()
def lineage(subject: Subject = None, params: Params = PARAMS_FILE, as_json: AsJson = False) -> None:
    """Walk from an answer, an endpoint or a version to archive, run, code, configuration, lock files and data.

    Example: rmtl lineage predictions.jsonl

    Example: rmtl lineage http://127.0.0.1:8080
    """
    _walk(subject, params, as_json=as_json)


@app.command()
def verify(subject: Subject = None, params: Params = PARAMS_FILE, as_json: AsJson = False) -> None:
    """Walk as `lineage` does; exit code 1 where a hop is broken, with the names of all that are.

    Example: rmtl verify models:/residual-mtl@champion
    """
    from model.registry.lineage import verify as check

    check(_walk(subject, params, as_json=as_json))


@app.command()
def sync(params: Params = PARAMS_FILE, as_json: AsJson = False) -> None:
    """Upload the curves of the last training that MLflow lacks, after it was out of reach.

    Example: rmtl sync
    """
    from model.registry.tracking import sync as upload

    with alone_in(workspace.TRAIN):
        run = upload(read_config(params, None).register_.experiment, spool=workspace.TRAIN / "metrics.jsonl")
    show({"run": run}, as_json=as_json)


def _walk(subject: str | None, params: Path, *, as_json: bool) -> "list[Hop]":
    hops = _hops(subject, params)
    if as_json:
        typer.echo(json.dumps([to_json(hop) for hop in hops]))
    else:
        for hop in hops:
            typer.echo(f"{hop.hop:<10}  {hop.value:<66}  {hop.problem or 'ok'}")
    return hops


def _hops(subject: str | None, params: Path) -> "list[Hop]":
    from model.registry.answers import read_answers
    from model.registry.delivery import ask
    from model.registry.lineage import walk, walk_answers

    if subject is not None and subject.startswith("models:/"):
        return walk(subject, _places())
    name = read_config(params, None).register_.name
    if subject is None:
        return walk(f"models:/{name}@champion", _places())
    if subject.startswith(("http://", "https://")):
        served = ask(connect(subject))
        return walk_answers([served.origin], name, _places(), served=served)
    return walk_answers(read_answers(Path(subject)), name, _places())


def _places() -> "Places":
    from model.registry.delivery import Endpoint
    from model.registry.lineage import Places

    deployment = read_deployment()
    endpoint = None
    if deployment is not None:
        endpoint = Endpoint(connect(deployment.url, model=deployment.model), deployment.version)
    folders = (workspace.ARTIFACTS, workspace.DEPLOYED, workspace.CANARY)
    return Places(workspace.VALID_MANIFEST, archives=folders, endpoint=endpoint)
