"""`rmtl data forget`: leave faces out from now on, and say who still holds them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Params, read_config
from model.cli.data import group
from model.cli.recipe import write_values
from model.errors import ConfigError, DataContractError, ServiceError

if TYPE_CHECKING:
    from model.data.contents import Trained
    from model.data.forget import Traces

_MODELS = ("weights", "archive", "checkpoint", "model version")
_DIGEST = re.compile(r"[0-9a-f]{64}")

Digests = Annotated[list[str], typer.Argument(metavar="SHA256...", help="SHA-256 of the faces' pictures.")]


@group.command()
def forget(digests: Digests, params: Params = PARAMS_FILE, as_json: AsJson = False) -> None:
    """Exclude faces at `index`, name all that holds them, and print how their bytes go.

    Nothing but `index.exclude` of params.yaml is changed. A digest that nothing here knows ends with exit code 3.

    Example: rmtl data forget $(sha256sum data/faces/0001.jpg | cut -d' ' -f1)
    """
    from model.data.forget import trace

    wanted = [_digest(text) for text in dict.fromkeys(digests)]
    excluded = read_config(params, None).index.exclude
    registered, away = _registered()
    traces = trace(
        wanted,
        workspace=Path(),
        folders=[workspace.DATA, workspace.ARTIFACTS, workspace.REPORTS, workspace.PUBLISHED_WEIGHTS],
        reports=[workspace.ARTIFACTS, workspace.REPORTS],
        registered=registered,
    )
    traces.unseen += away
    _refuse_unknown(traces)
    new = [digest for digest in wanted if digest not in excluded]
    if new:
        write_values(params, {"index.exclude": [*excluded, *new]})
    _show(traces, new, as_json=as_json)


def _digest(text: str) -> str:
    if not _DIGEST.fullmatch(text.lower()):
        raise ConfigError(f"{text}: not a SHA-256; `sha256sum PICTURE` tells it, and the manifest's column `sha256`")
    return text.lower()


def _registered() -> "tuple[dict[str, Trained], list[Any]]":
    from model.data.forget import Unseen
    from model.registry.trained_on import trained_versions

    try:
        return trained_versions(), []
    except ServiceError as error:
        return {}, [Unseen("model versions", str(error))]


def _refuse_unknown(traces: "Traces") -> None:
    unknown = traces.unknown()
    if unknown:
        unseen = "".join(f"\n  not looked into: {item.name}: {item.why}" for item in traces.unseen)
        raise DataContractError(
            f"{', '.join(unknown)}: no picture, pack, manifest or data version here holds it; params.yaml is "
            f"unchanged{unseen}"
        )


def _show(traces: "Traces", new: list[str], *, as_json: bool) -> None:
    plan = list(_plan(traces))
    if as_json:
        result = {
            "faces": traces.records,
            "excluded": new,
            "held_by": [holding._asdict() for holding in traces.holdings],
            "not_looked_into": [item._asdict() for item in traces.unseen],
            "same_person_or_photo": traces.kin,
            "plan": plan,
        }
        typer.echo(json.dumps(result))
        return
    for digest, names in traces.records.items():
        typer.echo(f"{digest}  {', '.join(names) or 'in no manifest here'}")
    typer.echo(f"index.exclude: {len(new)} added" if new else "index.exclude names them already")
    for holding in traces.holdings:
        how = "; ".join(text for text in (holding.how, _copies(holding.copies)) if text)
        typer.echo(f"  {holding.kind:<13}  {len(holding.faces)}  {holding.name}{f'  ({how})' if how else ''}")
    for item in traces.unseen:
        typer.echo(f"  not looked into: {item.name}: {item.why}")
    if traces.kin:
        typer.echo(f"not asked for, of the same person or photo: {', '.join(traces.kin)}")
    typer.echo("to let the bytes go:")
    for number, step in enumerate(plan, start=1):
        typer.echo(f"  {number}. {step}")


def _copies(names: tuple[str, ...]) -> str:
    return f"also {', '.join(names)}" if names else ""


def _plan(traces: "Traces") -> Iterator[str]:
    """What a person does next. `dvc gc` comes last: without the bytes nothing tells any more what was made of them."""
    pictures = [name for item in traces.holdings if item.kind == "picture" for name in (item.name, *item.copies)]
    here = [name for name in pictures if name.startswith(f"{workspace.DATA}/")]
    if here:
        yield f"take them, and their lines in the label files, out of {', '.join(here)}; then dvc add data"
    yield "dvc repro  # manifest, shards, weights and reports without them; then git commit"
    models = [item for item in traces.holdings if item.kind in _MODELS]
    if models:
        yield f"replace or delete what was trained on them: {', '.join(item.name for item in models)}"
    if any(item.kind == "model version" for item in models):
        yield (
            "mlflow gc --backend-store-uri ...  # as docs/RUNBOOK.md says: once versions, their logged models and "
            "runs are deleted, as MLflow keeps the files until then"
        )
    yield f"rmtl data forget {' '.join(traces.records)}  # again, while the bytes are there: it names what is left"
    yield from _collect(traces)


def _collect(traces: "Traces") -> Iterator[str]:
    """How the bytes go, once data.dvc no longer names them."""
    for part in traces.parts:
        cloud = "" if part.store == "cache" else f" --cloud --remote {part.store}"
        yield (
            f"dvc gc --workspace{cloud}  # --dry shows it first; of {part.store}, objects with a face: "
            f"{len(part.objects)}, {part.bytes:,} bytes"
        )
    far = [item.name.removeprefix("remote ") for item in traces.unseen if item.name.startswith("remote ")]
    for name in far:
        yield f"dvc gc --workspace --cloud --remote {name}  # for every clone that uses it"
    versions = [item.name for item in traces.holdings if item.kind == "data version"]
    if versions:
        yield f"dvc gc leaves no other data version behind either; those with a face: {'; '.join(versions)}"
