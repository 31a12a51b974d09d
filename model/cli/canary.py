"""What `rmtl deploy --canary SHARE` and `--canary-report` do."""

import json
from pathlib import Path
from typing import Any

import typer

from model.cli import workspace
from model.cli.app import show
from model.config import Config
from model.schema import to_json

_COLUMNS = ("version", "requests", "errors", "mean_ms", "slowest_ms")


def change(config: Config, share: float, *, as_json: bool) -> None:
    """Begin a canary of the registry's challenger, or end the one that runs where `share` is 0."""
    from model.serving import running, trial

    if share == 0:
        show({"ended": trial.end(workspace.SERVE)}, as_json=as_json)
        return
    trial.check(share, workspace.SERVE)
    # From the download to the server's own copy, nobody else writes there.
    with running.alone(workspace.CANARY):
        archive = _challenger_archive(config)
        begun = trial.begin(config.deploy, archive=archive, state=workspace.SERVE, share=share)
    show(to_json(begun), as_json=as_json)


def print_report(*, as_json: bool) -> None:
    """Print what the running router counted of a canary."""
    from model.serving.trial import report

    found = report(workspace.SERVE)
    if as_json:
        typer.echo(json.dumps(found))
    elif found["state"] == "none":
        show(found, as_json=False)
    else:
        _print_table(found)


def _print_table(found: dict[str, Any]) -> None:
    points, reason = found["point_difference"], found["reason"]
    summary = {
        "state": found["state"],
        "share": f"{found['share']:g} of the requests; both answer {found['shadow']:g}",
        "compared": f"{found['compared']} requests, {found['faces']} faces",
        "points": f"{points['mean']:.4f} apart in the mean, {points['max']:.4f} at most, of the box's side",
        "expressions": f"{found['disagreement']:.1%} of the faces differ",
    }
    if reason:
        summary["reason"] = f"{reason['bound']}: {reason['found']:.4f}, at most {reason['limit']:.4f}"
    show(summary, as_json=False)
    typer.echo("".join(f"{name:<12}" for name in ("", *_COLUMNS)))
    for side in ("champion", "challenger"):
        values = (found[side][name] for name in _COLUMNS)
        typer.echo("".join(f"{cell:<12}" for cell in (side, *map(_cell, values))))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _challenger_archive(config: Config) -> Path:
    from model.registry.release import fetch_challenger
    from model.serving.archive import package

    out = workspace.CANARY
    version = fetch_challenger(config.register_.name, out / "weights")
    return package(config.package, weights=out / "weights", out=out, version=version)
