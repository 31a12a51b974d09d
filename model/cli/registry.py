"""Commands on the MLflow registry: promote, rollback, history, lineage, verify."""

import getpass
from typing import Annotated

import typer

from model.cli.app import PARAMS_FILE, AsJson, Params, app, read_config, show
from model.schema import to_json

Why = Annotated[str, typer.Option("--why", help="Reason, kept in the promotion log.")]
VersionOption = Annotated[str | None, typer.Option("--version", help="Version; by default the one behind the alias.")]


@app.command()
def promote(
    why: Why = "meets the gate", version: VersionOption = None, params: Params = PARAMS_FILE, as_json: AsJson = False
) -> None:
    """Make the challenger the champion; exit code 4 where it does not meet the gate.

    Example: rmtl promote --why "better on grey pictures"
    """
    from model.registry.promotion import promote as move_alias

    config = read_config(params, None)
    entry = move_alias(config.register_.name, version=version, who=getpass.getuser(), why=why)
    show(to_json(entry), as_json=as_json)


@app.command()
def rollback(why: Why = "roll-back", params: Params = PARAMS_FILE, as_json: AsJson = False) -> None:
    """Make the former champion the champion again.

    Example: rmtl rollback --why "complaints about profile faces"
    """
    from model.registry.promotion import rollback as move_back

    entry = move_back(read_config(params, None).register_.name, who=getpass.getuser(), why=why)
    show(to_json(entry), as_json=as_json)
