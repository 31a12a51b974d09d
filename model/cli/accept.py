"""`rmtl data accept`: what later data versions are compared with."""

import typer

from model.cli import workspace
from model.cli.app import PARAMS_FILE, Params, read_config
from model.cli.data import group


@group.command()
def accept(params: Params = PARAMS_FILE) -> None:
    """Accept the version that was validated last: later ones are compared with it for drift.

    Its profile (numbers, no pictures) becomes a file of data/, which `dvc add data` then puts under version control.

    Example: rmtl data accept && dvc add data
    """
    from model.data.validate.accept import accept_version

    config = read_config(params, None).validate_
    written = accept_version(config, report=workspace.VALIDATION, data=workspace.DATA)
    typer.echo(f"{written} written; `dvc add data` and commit data.dvc")
