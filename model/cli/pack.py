"""`rmtl data pack`: a source of many small files becomes one of few tars."""

from pathlib import Path
from typing import Annotated

import typer
import yaml

from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Overrides, Params, read_config, show
from model.cli.data import group
from model.config import Source
from model.errors import ConfigError


@group.command()
def pack(
    source: Annotated[str, typer.Argument(help="Name of a source in `index.sources`.")],
    into: Annotated[Path | None, typer.Option("--into", help="Folder to make; by default data/SOURCE-packed.")] = None,
    params: Params = PARAMS_FILE,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Write a source's faces again with the pictures in few large tars, which travel to S3 in fewer requests.

    Index makes the same rows of them. Prints the source to put into params.yaml.

    Example: rmtl data pack affectnet
    """
    from model.data.pack import pack_source

    config = read_config(params, overrides)
    chosen = next((item for item in config.index.sources if item.name == source), None)
    if chosen is None:
        names = ", ".join(item.name for item in config.index.sources)
        raise ConfigError(f"{source}: no source of that name in index.sources; there are {names}")
    target = into or workspace.DATA / f"{source}-packed"
    packed = pack_source(config.pack, chosen, data=workspace.DATA, into=target)
    values = _plain(packed.source)
    if as_json:
        show(packed._asdict() | {"source": values}, as_json=True)
        return
    typer.echo(f"{target}: {packed.faces} faces ({packed.problems} with a problem), {packed.pictures} pictures")
    typer.echo(f"in {packed.tars} tars; in params.yaml, this stands for the source {source} from now on:\n")
    typer.echo(yaml.safe_dump([values], sort_keys=False, default_flow_style=None))


def _plain(source: Source) -> dict[str, object]:
    values: dict[str, object] = source.model_dump(mode="json", exclude_none=True)
    splits = {name: parts for name, parts in source.splits.model_dump(mode="json").items() if parts}
    return values | {"splits": splits}
