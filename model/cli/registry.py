"""Commands on the MLflow registry: promote, rollback, history, lineage, verify, sync."""

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Params, app, read_config, show
from model.schema import to_json

if TYPE_CHECKING:
    from model.registry.lineage import Hop

Why = Annotated[str, typer.Option("--why", help="Reason, kept in the promotion log.")]
Uri = Annotated[str | None, typer.Argument(help="models:/name@alias or models:/name/3; by default the champion.")]


@app.command()
def promote(
    why: Why = "meets the gate",
    version: Annotated[str | None, typer.Option("--version", help="By default the challenger.")] = None,
    params: Params = PARAMS_FILE,
    as_json: AsJson = False,
) -> None:
    """Make the challenger the champion; exit code 4 where it does not meet the gate.

    Example: rmtl promote --why "better on grey pictures"
    """
    from model.registry.promotion import promote as move_alias

    config = read_config(params, None)
    entry = move_alias(config.register_, who=getpass.getuser(), why=why, version=version)
    show(to_json(entry), as_json=as_json)


@app.command()
def rollback(why: Why = "roll-back", params: Params = PARAMS_FILE, as_json: AsJson = False) -> None:
    """Make the former champion the champion again.

    Example: rmtl rollback --why "complaints about profile faces"
    """
    from model.registry.promotion import rollback as move_back

    entry = move_back(read_config(params, None).register_.name, who=getpass.getuser(), why=why)
    show(to_json(entry), as_json=as_json)


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
        typer.echo(f"{entry.sequence:>3}  {entry.when}  {entry.action:<8}  {move:<10}  {entry.who:<10}  {entry.why}")


@app.command()
def lineage(uri: Uri = None, params: Params = PARAMS_FILE, as_json: AsJson = False) -> None:
    """Walk from a version to its run, code, configuration and data.

    Example: rmtl lineage models:/residual-mtl@champion
    """
    _walk(uri, params, as_json=as_json)


@app.command()
def verify(uri: Uri = None, params: Params = PARAMS_FILE, as_json: AsJson = False) -> None:
    """Walk as `lineage` does and fail where a hop is broken.

    Example: rmtl verify models:/residual-mtl@champion
    """
    from model.registry.lineage import verify as check

    check(_walk(uri, params, as_json=as_json))


@app.command()
def sync(params: Params = PARAMS_FILE, as_json: AsJson = False) -> None:
    """Upload the curves of the last training that MLflow lacks, after it was out of reach.

    Example: rmtl sync
    """
    from model.registry.tracking import sync as upload

    run = upload(read_config(params, None).register_.experiment, spool=workspace.TRAIN / "metrics.jsonl")
    show({"run": run}, as_json=as_json)


def _walk(uri: str | None, params: Path, *, as_json: bool) -> "list[Hop]":
    from model.registry.lineage import walk

    address = uri or f"models:/{read_config(params, None).register_.name}@champion"
    hops = walk(address, manifest=workspace.VALID_MANIFEST)
    if as_json:
        typer.echo(json.dumps([to_json(hop) for hop in hops]))
    else:
        for hop in hops:
            typer.echo(f"{hop.hop:<10}  {hop.value:<66}  {hop.problem or 'ok'}")
    return hops
