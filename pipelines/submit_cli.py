"""Commands of `rmtl pipeline` that talk to a Kubeflow Pipelines server."""

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.cli.app import read_config
from model.errors import ConfigError
from pipelines.options import add_common
from pipelines.server import Connection, connect, read_server

INTERRUPTED = 130


def add_submit_parsers(commands: Any) -> None:
    """Add the commands to the sub-parsers of `python -m pipelines`."""
    submit = commands.add_parser(
        "submit",
        help="run a pipeline on a Kubeflow Pipelines server",
        epilog="Example: rmtl pipeline submit --remote s3://bucket/face --wait",
    )
    _add_source(submit)
    submit.add_argument("--data-version", default="", help="Git revision or digest; else what data.dvc holds")
    submit.add_argument("--wait", action="store_true", help="follow the run; the exit code is its outcome")
    follow = commands.add_parser(
        "follow", help="follow a run that was submitted", epilog="Example: rmtl pipeline follow RUN_ID"
    )
    follow.add_argument("run_id")
    schedule = commands.add_parser(
        "schedule",
        help="run a pipeline at fixed times",
        epilog="Example: rmtl pipeline schedule --cron '0 6 * * *' --data-version main",
    )
    _add_source(schedule)
    schedule.add_argument("--cron", required=True, help="minute hour day month weekday, as '0 6 * * *'")
    schedule.add_argument("--data-version", default="main", help="Git revision whose newest data.dvc each run takes")
    schedule.add_argument("--name", help="a schedule of this name is replaced; the pipeline's name by default")
    schedules = commands.add_parser(
        "schedules",
        help="list the schedules, or stop one",
        epilog="Example: rmtl pipeline schedules --stop residual-mtl-training",
    )
    schedules.add_argument("--stop", metavar="NAME", help="remove the schedule; runs that it started go on")
    for parser in (submit, follow, schedule, schedules):
        parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_source(parser: argparse.ArgumentParser) -> None:
    add_common(parser)
    parser.add_argument("--remote", help="s3:// address of the DVC remote; RMTL_S3_REMOTE by default")
    parser.add_argument("--repository", help="Git address where pods look a revision up; RMTL_REPOSITORY by default")
    parser.add_argument("--deploy", choices=["none", "kserve"], default="none")


def submit_run(options: argparse.Namespace) -> Iterator[str]:
    """Upload, start a run, print its address, and follow it if asked."""
    from pipelines.submit import run_title, submit, upload

    with _prepared(options, data_version=_pinned(options.data_version)) as (package, arguments, connection):
        version = upload(package, connection)
        title = run_title(version.pipeline, arguments["data_version"])
        run = submit(version, arguments, title=title, connection=connection)
    about = {
        "run_id": run.run_id,
        "url": run.url,
        "pipeline": version.pipeline,
        "version": version.name,
        "experiment": connection.server.experiment,
    }
    if not options.json:
        yield f"{version.pipeline} {version.name}: {run.url}"
    if options.wait:
        yield from _follow(run.run_id, connection, about if options.json else None)
    elif options.json:
        yield json.dumps(about)


def follow_run(options: argparse.Namespace) -> Iterator[str]:
    """Follow a run to its end; the exit code is its outcome."""
    from pipelines.submit import run_url

    connection = connect(read_server())
    about = {"run_id": options.run_id, "url": run_url(options.run_id, connection)}
    yield from _follow(options.run_id, connection, about if options.json else None)


def schedule_runs(options: argparse.Namespace) -> Iterator[str]:
    """Make or replace a schedule."""
    from pipelines.schedule import schedule, server_cron
    from pipelines.submit import upload

    server_cron(options.cron)
    with _prepared(options, data_version=options.data_version) as (package, arguments, connection):
        version = upload(package, connection)
        name = options.name or version.pipeline
        made = schedule(version, arguments, name=name, cron=options.cron, connection=connection)
    if options.json:
        yield json.dumps(asdict(made))
    else:
        yield f"{made.name}: {version.pipeline} {version.name} at '{made.cron}' with data version {made.data_version}"
        yield f"stop it with `rmtl pipeline schedules --stop {made.name}`"


def list_schedules(options: argparse.Namespace) -> Iterator[str]:
    """List the schedules of the experiment; with `--stop`, remove one and list what was removed."""
    from pipelines.schedule import schedules, stop

    connection = connect(read_server())
    found = stop(options.stop, connection) if options.stop else schedules(connection)
    if options.json:
        yield json.dumps([asdict(item) for item in found])
        return
    for item in found:
        state = "stopped" if options.stop else "on" if item.enabled else "off"
        yield f"{item.name}  {state}  '{item.cron}'  data version {item.data_version}"
    if not found:
        yield f"no schedule in experiment {connection.server.experiment}"


SUBMIT_COMMANDS: dict[str, Callable[[argparse.Namespace], Iterator[str]]] = {
    "submit": submit_run,
    "follow": follow_run,
    "schedule": schedule_runs,
    "schedules": list_schedules,
}


@contextmanager
def _prepared(options: argparse.Namespace, *, data_version: str) -> Iterator[tuple[Path, dict[str, Any], Connection]]:
    """The compiled pipeline, its arguments, and the server, which is called last: the rest can be wrong before."""
    server = read_server()
    from pipelines.platform import LAUNCHER

    # Read when the pipelines are imported, below.
    os.environ[LAUNCHER] = options.launcher
    from model.cli.recipe import read_recipe
    from pipelines.arguments import Places, arguments_of
    from pipelines.compile import PIPELINES, compile_pipeline

    places = Places(
        data_version=data_version,
        remote=_remote(options.remote),
        repository=_repository(options.repository),
        target=options.deploy,
        topology={"launcher": options.launcher, "nodes": options.nodes, "processes": options.processes},
        workers=options.workers,
        rows={name: read_recipe(name) for name in options.rows},
    )
    config = read_config(options.params, options.set)
    arguments = arguments_of(PIPELINES[options.pipeline][1], config, places)
    with tempfile.TemporaryDirectory() as folder:
        package = compile_pipeline(options.pipeline, Path(folder))
        yield package, arguments, connect(server)


def _pinned(named: str) -> str:
    """The digest of a data version, so that a run can be repeated; a revision is looked up in the repository here."""
    from model.data.ingest import resolve_version
    from pipelines.arguments import data_version

    return resolve_version(named, repository=".") if named else data_version(Path("data.dvc"))


def _remote(given: str | None) -> str:
    remote = given or os.environ.get("RMTL_S3_REMOTE", "")
    if not remote.startswith("s3://"):
        raise ConfigError(f"remote {remote!r}: pods reach s3:// only; set RMTL_S3_REMOTE or give --remote s3://...")
    return remote


def _repository(given: str | None) -> str:
    repository = given or os.environ.get("RMTL_REPOSITORY", "")
    if repository and not re.match(r"(https?|ssh|git)://|[^/]+@[^/]+:", repository):
        raise ConfigError(f"repository {repository!r}: pods need an address, as https://git.example.com/team/face.git")
    return repository


def _follow(run_id: str, connection: Connection, about: dict[str, Any] | None) -> Iterator[str]:
    """Follow with a table on a terminal, else a line a change; with `about`, one JSON object is all of the output."""
    from pipelines.progress import SUCCEEDED, follow, left_running
    from pipelines.table import changes, table

    out = sys.stdout if about is None else sys.stderr
    try:
        with (table if out.isatty() else changes)(out) as (show, say):
            outcome = follow(run_id, connection, show=show, say=say)
    except KeyboardInterrupt:
        print(f"\nstopped following; {left_running(run_id, connection)}", file=sys.stderr)  # noqa: T201
        raise SystemExit(INTERRUPTED) from None
    if about is not None:
        tasks: Sequence[dict[str, Any]] = [asdict(task) for task in outcome.tasks]
        yield json.dumps({**about, "state": outcome.state, "tasks": tasks})
    if outcome.failure:
        raise outcome.failure
    if about is None:
        yield f"the run {SUCCEEDED.lower()}"
