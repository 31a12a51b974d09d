"""Show the tasks of a run: a table that is rewritten in place, or a line a change."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipelines.progress import Task

Show = Callable[[Sequence[Task]], None]
Say = Callable[[str], None]

_STYLES = {"SUCCEEDED": "green", "FAILED": "bold red", "ERROR": "bold red", "RUNNING": "yellow"}


@contextmanager
def table(out: TextIO) -> Iterator[tuple[Show, Say]]:
    """For a terminal; the last picture stays."""
    console = Console(file=out)
    with Live(console=console, auto_refresh=False) as live:
        yield (
            lambda tasks: live.update(_drawn(tasks), refresh=True),
            lambda words: console.print(words, style="dim", markup=False, highlight=False),
        )


@contextmanager
def changes(out: TextIO) -> Iterator[tuple[Show, Say]]:
    """For logs: each task once for each of its states."""
    known: dict[str, str] = {}

    def show(tasks: Sequence[Task]) -> None:
        for task in tasks:
            if known.setdefault(task.name, Task(task.name).state) != task.state:
                known[task.name] = task.state
                seconds = "" if task.seconds is None else f"  {task.seconds} s"
                print(f"{task.name}  {task.state.lower()}{seconds}", file=out, flush=True)

    yield show, lambda words: print(words, file=out, flush=True)


def _drawn(tasks: Sequence[Task]) -> Table:
    drawn = Table("task", "state")
    drawn.add_column("seconds", justify="right")
    for task in tasks:
        seconds = "" if task.seconds is None else str(task.seconds)
        drawn.add_row(task.name, task.state.lower(), seconds, style=_STYLES.get(task.state))
    return drawn
