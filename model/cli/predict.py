"""`rmtl predict`: points and apparent expressions of pictures, by local weights or by an endpoint."""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import chain, count
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from tqdm import tqdm

from model.cli import workspace
from model.cli.app import app
from model.cli.endpoint import connect
from model.errors import CheckpointError, ConfigError, DataContractError
from model.storage import atomic_path, read_bytes

if TYPE_CHECKING:
    from model.serving.cases import Answerer

DRAWN = Path("artifacts/drawn")


@app.command()
def predict(
    images: Annotated[list[str] | None, typer.Argument(help="Pictures: files, or s3:// addresses.")] = None,
    *,
    cases: Annotated[Path | None, typer.Option("--cases", help="JSON lines of {image, box}.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", help="Folder, .mar, or models:/name@alias.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Ask a running endpoint instead.")] = None,
    convention: Annotated[
        str | None, typer.Option("--convention", help="Name expressions as this benchmark does; meta.json lists them.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File for the JSON lines; else standard output.")] = None,
    draw: Annotated[Path, typer.Option("--draw", help="Folder for the drawn pictures of IMAGE arguments.")] = DRAWN,
    as_json: Annotated[bool, typer.Option("--json", help="Changes nothing: the answers are JSON lines.")] = False,
) -> None:
    """Find the 68 points and the apparent expression of each face; a JSON line a picture.

    Example: rmtl predict photo.jpg --out predictions.jsonl
    """
    wanted = [*_from_arguments(images or []), *(_from_file(cases) if cases else [])]
    if not wanted:
        raise ConfigError("nothing to do: give pictures, or --cases cases.jsonl")
    if convention and url:
        raise ConfigError(
            "--convention: an endpoint names expressions as its weights do; give --weights instead of --url"
        )
    from model.serving.cases import predict_cases

    with ExitStack() as stack:
        answerer = connect(url) if url else _local(weights, convention, stack)
        bar = tqdm(wanted, desc="predict", unit="picture", disable=None)
        answers = [answer for case in bar for answer in predict_cases(answerer, [case], case["root"])]
    _write([json.dumps(answer) for answer in answers], out)
    for case, answer, name in zip(wanted, answers, drawn_names(images or []), strict=False):
        _draw(case, answer, draw / name)
    if all(answer["error"] for answer in answers):
        raise DataContractError(f"none of {len(answers)} pictures could be read; see `error` in each line")


def _from_arguments(images: Iterable[str]) -> list[dict[str, Any]]:
    return [{"image": address, "box": None, "root": Path()} for address in images]


def _from_file(path: Path) -> list[dict[str, Any]]:
    try:
        # JSON may hold what else counts as the end of a line.
        lines = path.read_text().split("\n")
    except OSError as error:
        raise ConfigError(f"--cases {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file of JSON lines: {error}") from error
    cases = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            case = json.loads(line)
            cases.append({"image": str(case["image"]), "box": case.get("box"), "root": path.parent})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(
                f'{path}:{number}: need {{"image": ..., "box": [x0,y0,x1,y1] or null}}: {error}'
            ) from error
    return cases


def _local(given: str | None, convention: str | None, stack: ExitStack) -> "Answerer":
    from model.serving.predictor import Predictor

    address = given or _default_weights()
    typer.echo(f"weights: {address}", err=True)
    scratch = Path(stack.enter_context(TemporaryDirectory()))
    return Predictor(resolve_weights(address, scratch), convention=convention)


def resolve_weights(address: str, scratch: Path) -> Path:
    """The folder behind a folder, a `.mar`, or `models:/name@alias`; `scratch` takes what is unpacked or fetched."""
    if address.startswith("models:/"):
        from model.registry.versions import fetch

        return fetch(address, scratch / "fetched")
    if address.endswith(".mar"):
        from model.serving.archive import unpack

        return unpack(Path(address), scratch / "unpacked")
    return Path(address)


def _default_weights() -> str:
    from model.weights import META_FILE

    for folder in (workspace.PUBLISHED_WEIGHTS, workspace.TRAIN):
        if (folder / META_FILE).is_file():
            return str(folder)
    raise CheckpointError(
        f"no weights in {workspace.PUBLISHED_WEIGHTS}/ or {workspace.TRAIN}/; "
        "`rmtl data pull` where weights.dvc is there, `dvc repro`, or give --weights"
    )


def _write(lines: list[str], out: Path | None) -> None:
    text = "\n".join(lines) + "\n"
    if out is None:
        typer.echo(text, nl=False)
        return
    with atomic_path(out) as temporary:
        temporary.write_text(text)
    typer.echo(f"{out}: {len(lines)} lines", err=True)


def drawn_names(images: Iterable[str]) -> list[str]:
    """File name of each drawn picture; pictures of one name in several folders are numbered."""
    names: list[str] = []
    for stem in (PurePosixPath(image).stem for image in images):
        numbered = (f"{stem}-{number}.png" for number in count(2))
        names.append(next(name for name in chain([f"{stem}.png"], numbered) if name not in names))
    return names


def _draw(case: dict[str, Any], answer: dict[str, Any], target: Path) -> None:
    from model.serving.draw import draw_faces

    if answer["error"]:
        return
    picture = draw_faces(read_bytes(case["image"], case["root"]), answer["faces"])
    with atomic_path(target) as temporary:
        temporary.write_bytes(picture)
    typer.echo(f"drawn: {target}", err=True)
