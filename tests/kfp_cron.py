"""The cron lines that github.com/robfig/cron 1.2 takes, with which the KFP API server reads them (`cron.Parse`).

Second, minute, hour, day and month, and a weekday that may be missing: a line of five fields has no weekday, rather
than no seconds. No 7 for Sunday.
"""

import re

DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
DURATION = re.compile(r"@every (\d+(\.\d+)?(ns|us|ms|s|m|h))+")

BOUNDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(MONTHS, 1)}),
    (0, 6, {name: number for number, name in enumerate(DAYS)}),
)


def check_cron(line: str) -> None:
    """Raises ValueError for a line that the server would refuse."""
    if line.startswith("@"):
        if line not in DESCRIPTORS and not DURATION.fullmatch(line):
            raise ValueError(f"unrecognized descriptor: {line}")
        return
    fields = line.split()
    if len(fields) not in (5, 6):
        raise ValueError(f"expected 5 to 6 fields, found {len(fields)}: {line}")
    for text, bounds in zip(fields, BOUNDS, strict=False):
        for part in text.split(","):
            _check_part(part, bounds)


def _check_part(part: str, bounds: tuple[int, int, dict[str, int]]) -> None:
    low, high, names = bounds
    span, slash, step = part.partition("/")
    if slash and (not step.isdigit() or int(step) == 0):
        raise ValueError(f"step of range should be a positive number: {part}")
    if span in ("*", "?"):
        return
    first, dash, last = span.partition("-")
    start = _number(first, names)
    end = _number(last, names) if dash else start
    if start < low or end > high or start > end:
        raise ValueError(f"{part}: outside {low} to {high}, or backwards")


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not text.isdigit():
        raise ValueError(f"failed to parse int from {text!r}")
    return int(text)
