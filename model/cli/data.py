"""`rmtl data`: data versions between this folder and the DVC remote; published weights come from the bundled store."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from model.cli.app import PARAMS_FILE, AsJson, Params, app, read_config, show
from model.config import Config
from model.data.remote import dvc_environment, lack_of_room, write_remote
from model.data.versions import DATA, POINTER, files_of, stores_of
from model.errors import ConfigError, FaceError, ServiceError, StorageError
from model.s3 import probe

group = typer.Typer(help="Move data versions between this folder and the DVC remote.", no_args_is_help=True)
app.add_typer(group, name="data")

BUNDLED = "bundled"
S3_NAME = "s3"
PUBLISHED = Path("weights.dvc")
STATES = ("data", "data_remote", "weights", "weights_remote")
"""What `rmtl data status` tells; without published weights the last two are null."""

Remote = Annotated[str | None, typer.Option("--remote", help="Name of a DVC remote; by default S3 where configured.")]


@group.command()
def pull(remote: Remote = None) -> None:
    """Fetch the data of data.dvc, from S3 where `RMTL_S3_REMOTE` is set, else from the bundled store; weights with it.

    The published weights (weights.dvc) always come from the bundled store.

    Example: rmtl data pull
    """
    _dvc("pull", POINTER, "--remote", _chosen(remote))
    if PUBLISHED.is_file():
        _dvc("pull", str(PUBLISHED), "--remote", BUNDLED)


@group.command()
def push(remote: Remote = None, params: Params = PARAMS_FILE) -> None:
    """Send the data of data.dvc to the remote; only what unrestricted sources name goes to the bundled store.

    Example: RMTL_S3_REMOTE=s3://bucket/face rmtl data push
    """
    target = _chosen(remote)
    if _is_bundled(target):
        _refuse_restricted(read_config(params, None))
    _dvc("push", POINTER, "--remote", target)


@group.command()
def status(remote: Remote = None, as_json: AsJson = False) -> None:
    """Compare this folder with data.dvc and with the remote, and the published weights with theirs.

    Example: rmtl data status
    """
    questions = {"data": [POINTER], "data_remote": [POINTER, "--cloud", "--remote", _chosen(remote)]}
    if PUBLISHED.is_file():
        weights = str(PUBLISHED)
        questions |= {"weights": [weights], "weights_remote": [weights, "--cloud", "--remote", BUNDLED]}
    if as_json:
        answers = {name: _dvc_json("status", *question) for name, question in questions.items()}
        show(dict.fromkeys(STATES) | answers, as_json=True)
        return
    for question in questions.values():
        _dvc("status", *question)


def _chosen(remote: str | None) -> str:
    """The remote that is asked for; the name of the S3 remote means what the environment says of it now."""
    if remote is None or (remote == S3_NAME and os.environ.get("RMTL_S3_REMOTE")):
        return _default_remote()
    stores, far = stores_of(Path())
    known = [store.name for store in stores[1:]] + far
    if known and remote not in known:
        raise ConfigError(f"--remote {remote}: no such DVC remote; there are {', '.join(sorted(known))}")
    return remote


def _default_remote() -> str:
    """The S3 remote of the environment, written to DVC's local (never committed) settings; else the bundled one."""
    url = os.environ.get("RMTL_S3_REMOTE")
    if not url:
        return BUNDLED
    if not url.startswith("s3://"):
        raise ConfigError(f"RMTL_S3_REMOTE={url}: need s3://bucket/prefix")
    write_remote(S3_NAME, url)
    return S3_NAME


def _is_bundled(remote: str) -> bool:
    """Whether a remote is the bundled store, or another name of its folder."""
    roots = {store.name: store.root.resolve() for store in stores_of(Path())[0]}
    return remote == BUNDLED or (remote in roots and roots[remote] == roots.get(BUNDLED))


def _refuse_restricted(config: Config) -> None:
    """Only what an unrestricted source names may go: the version may hold sets that params.yaml no longer speaks of."""
    elsewhere = "the bundled store, which is in git; set RMTL_S3_REMOTE=s3://bucket/prefix or name another remote"
    restricted = [source.name for source in config.index.sources if source.restricted]
    if restricted:
        raise ConfigError(f"index.sources: {', '.join(restricted)} is restricted and must not enter {elsewhere}")
    named = [Path(source.path) for source in config.index.sources]
    files = [Path(file) for file in files_of(Path()) if file != config.validate_.drift.reference]
    unknown = {file.parts[0] for file in files if not any(file.is_relative_to(path) for path in named)}
    if unknown:
        raise ConfigError(
            f"{POINTER}: index.sources names no unrestricted source for all of {', '.join(sorted(unknown))}, which may "
            f"be restricted and must not enter {elsewhere}; or move it out of {DATA}/ and run `dvc add {DATA}`"
        )


def _dvc_json(*arguments: str) -> Any:
    """What DVC answers with `--json`."""
    answer = _dvc(*arguments, "--json", stdout=subprocess.PIPE)
    try:
        return json.loads(answer)
    except ValueError as error:
        raise ServiceError(f"dvc {' '.join(arguments)} --json: no JSON: {answer[:200]}") from error


def _dvc(*arguments: str, stdout: int | None = None) -> str:
    place = os.environ.get("RMTL_S3_REMOTE") if S3_NAME in arguments else None
    if place:
        # Says in seconds and plainly what DVC would take minutes to find out, or would hide.
        probe(place)
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, check=False, env=dvc_environment(), stdout=stdout, text=True)
    if done.returncode:
        raise _failure(arguments, done.returncode, place)
    return done.stdout or ""


def _failure(arguments: tuple[str, ...], code: int, place: str | None) -> FaceError:
    """With what S3 itself says by now, which DVC's lines may hide; else with where to look."""
    what = f"dvc {' '.join(arguments)}: exit code {code}"
    if place:
        try:
            probe(place)
        except FaceError as error:
            return ServiceError(f"{what}: {error}")
    if arguments[0] == "pull" and (narrow := lack_of_room(Path(arguments[1]))):
        return StorageError(f"{what}: {narrow}")
    return ServiceError(
        f"{what}: see its lines above and `rmtl doctor`; run again, it transfers only what is missing; what a pull "
        "lacks again was lost or altered on the remote (docs/RUNBOOK.md, Services)"
    )
