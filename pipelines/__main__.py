"""The program behind `rmtl pipeline`.

Run:
    python -m pipelines run --runner subprocess
"""

import argparse
import sys
from pathlib import Path

from model.config import load_config
from model.errors import FaceError
from pipelines.arguments import data_version, training_arguments


def main() -> int:
    """Returns the exit code."""
    options = _parser().parse_args()
    try:
        print(*_COMMANDS[options.command](options), sep="\n")  # noqa: T201 - the result of the command
    except FaceError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def _compile(options: argparse.Namespace) -> list[Path]:
    from pipelines.compile import compile_all

    return compile_all(options.out)


def _run(options: argparse.Namespace) -> list[Path]:
    from pipelines.local import run_training

    remote = options.remote if "://" in options.remote else str(Path(options.remote).resolve())
    config = load_config(options.params)
    arguments = training_arguments(config, data_version=data_version(Path("data.dvc")), remote=remote)
    return [run_training(arguments, root=Path("artifacts/pipeline"))]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="rmtl pipeline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    compile_parser = commands.add_parser("compile", help="write the pipelines as YAML")
    compile_parser.add_argument("--out", type=Path, default=Path("pipelines/compiled"))
    run_parser = commands.add_parser("run", help="run the training pipeline here")
    run_parser.add_argument("--runner", choices=["subprocess"], default="subprocess")
    run_parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    run_parser.add_argument("--remote", default="benchmarks/store", help="DVC remote: a folder or s3://")
    return parser


_COMMANDS = {"compile": _compile, "run": _run}

if __name__ == "__main__":
    sys.exit(main())
