"""The program behind `rmtl pipeline`.

Run:
    python -m pipelines run --runner subprocess
"""

import argparse
import json
import os
import sys
from pathlib import Path

from model.cli.app import read_config
from model.cli.recipe import read_recipe
from model.data.ingest import resolve_version
from model.errors import ConfigError, FaceError
from pipelines.arguments import Places, arguments_of, data_version
from pipelines.options import add_common
from pipelines.submit_cli import SUBMIT_COMMANDS, add_submit_parsers


def main() -> int:
    """Returns the exit code."""
    options = _parser().parse_args()
    try:
        for line in _COMMANDS[options.command](options):
            print(line, flush=True)  # noqa: T201 - the result of the command
    except FaceError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def _compile(options: argparse.Namespace) -> list[str]:
    from pipelines.compile import compile_all

    paths = [str(path) for path in compile_all(options.out)]
    return [json.dumps(paths)] if options.json else paths


def _run(options: argparse.Namespace) -> list[str]:
    from pipelines.compile import PIPELINES
    from pipelines.local import run_pipeline

    if options.runner == "docker" and options.deploy == "local":
        raise ConfigError("--deploy local: an endpoint in a container of a step ends with it; use --runner subprocess")
    config = read_config(options.params, options.set)
    arguments = arguments_of(PIPELINES[options.pipeline][1], config, _places(options))
    root = Path("artifacts/pipeline")
    result = run_pipeline(options.pipeline, arguments, runner=options.runner, root=root, cached=not options.no_cache)
    return [json.dumps({"result": str(result), "run": str(result.parent)}) if options.json else str(result)]


def _places(options: argparse.Namespace) -> Places:
    named = options.data_version
    return Places(
        data_version=resolve_version(named, repository=options.repository) if named else data_version(Path("data.dvc")),
        remote=options.remote if "://" in options.remote else str(Path(options.remote).resolve()),
        target=options.deploy,
        topology={"launcher": options.launcher, "nodes": options.nodes, "processes": options.processes},
        workers=options.workers,
        rows={name: read_recipe(name) for name in options.rows},
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rmtl pipeline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    compile_parser = commands.add_parser(
        "compile",
        help="write the pipelines as YAML",
        epilog="Example: rmtl pipeline compile --out pipelines/compiled",
    )
    compile_parser.add_argument("--out", type=Path, default=Path("pipelines/compiled"))
    run = commands.add_parser(
        "run",
        help="run a pipeline here",
        epilog="Example: rmtl pipeline run --runner docker --remote s3://bucket/face",
    )
    add_common(run)
    run.add_argument("--runner", choices=["subprocess", "docker"], default="subprocess")
    run.add_argument("--no-cache", action="store_true", help="run every step anew")
    run.add_argument("--data-version", default="", help="Git revision or md5; else what data.dvc holds")
    run.add_argument("--repository", default=".", help="where the Git revision is looked up")
    run.add_argument(
        "--remote",
        default=os.environ.get("RMTL_S3_REMOTE") or "benchmarks/store",
        help="where the data lies: a folder or s3://; by default RMTL_S3_REMOTE, else the bundled sample's folder",
    )
    run.add_argument("--deploy", choices=["none", "local", "kserve"], default="none")
    for parsed in (compile_parser, run):
        parsed.add_argument("--json", action="store_true", help="print the result as JSON")
    add_submit_parsers(commands)
    return parser


_COMMANDS = {"compile": _compile, "run": _run, **SUBMIT_COMMANDS}

if __name__ == "__main__":
    sys.exit(main())
