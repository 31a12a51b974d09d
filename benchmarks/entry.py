"""What the measuring scripts share: exit codes, output, and reports that are kept and shown."""

import argparse
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from model.errors import ConfigError, FaceError
from model.storage import read_json, write_json

Report = Mapping[str, Any]


def run(main: Callable[[], int | None]) -> NoReturn:
    """End the program with what `main` returns, or with the exit code of its failure, told in one line.

    Asked to end, it unwinds: servers that it started end with it.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        sys.exit(main())
    except FaceError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


def measure_or_show(
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], Report],
    table: Callable[[Report], str],
    arguments: Sequence[str] | None = None,
) -> Report:
    """Print the table of a new report, kept where `--out` says, or of a kept one (`--table`).

    Raises:
        ConfigError: `--out` cannot be written; nothing has been measured.
        StorageError: there is no report to show, or the disk is full now.
    """
    parser.add_argument("--out", type=Path, metavar="JSON", help="write the report there")
    parser.add_argument("--table", type=Path, metavar="JSON", help="print the table of a report, measure nothing")
    options = parser.parse_args(arguments)
    report = read_json(options.table) if options.table else _measured(measure, options)
    say(table(report))
    return report


def say(text: str = "") -> None:
    """A line of output."""
    sys.stdout.write(f"{text}\n")


def _measured(measure: Callable[[argparse.Namespace], Report], options: argparse.Namespace) -> Report:
    if options.out:
        _make_room(options.out)
    report = measure(options)
    if options.out:
        write_json(options.out, report)
    return report


def _make_room(out: Path) -> None:
    """Make the folder of a file that is written later, and see that something can be put there."""
    if out.is_dir():
        raise ConfigError(f"--out {out}: this is a folder; name a file in it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        TemporaryDirectory(dir=out.parent).cleanup()
    except OSError as error:
        raise ConfigError(f"--out {out}: cannot be written: {error}; name another place") from error
