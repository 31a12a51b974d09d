"""What the measuring scripts share: exit codes and output."""

import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from model.errors import FaceError


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


def say(text: str = "") -> None:
    """A line of output."""
    sys.stdout.write(f"{text}\n")
