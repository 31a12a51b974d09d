"""`rmtl data unpack`: an archive of a benchmark becomes a folder of data/."""

from pathlib import Path
from typing import Annotated

import typer

from model.cli.app import PARAMS_FILE, AsJson, Overrides, Params, read_config, show
from model.cli.data import group


@group.command()
def unpack(
    archive: Annotated[Path, typer.Argument(help="A tar, plain or compressed, or a zip.")],
    into: Annotated[Path, typer.Option("--into", help="Folder to make, `data/NAME`.")],
    params: Params = PARAMS_FILE,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Unpack an archive whoever made it: whole or not at all, within the limits of the section `unpack`.

    Example: rmtl data unpack AffectNet.tar.gz --into data/affectnet
    """
    from model.data.unpack import unpack_archive

    found = unpack_archive(read_config(params, overrides).unpack, archive, into)
    show(found._asdict() | {"top": found.top if as_json else " ".join(found.top[:10])}, as_json=as_json)
