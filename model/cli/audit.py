"""`rmtl audit`: expression labels that are probably wrong."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import pandas as pd
import typer

from model.cli import workspace
from model.cli.app import PARAMS_FILE, AsJson, Overrides, Params, app, read_config, show
from model.storage import write_json

if TYPE_CHECKING:
    from model.audit import AuditReport

_SHOWN = 20

Landmarks = Annotated[
    Path | None,
    typer.Option("--landmarks", help="Weights that find points and never saw an expression; else trained here."),
]


@app.command()
def audit(
    landmarks: Landmarks = None,
    params: Params = PARAMS_FILE,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """List expression labels that are probably wrong: reports/audit.json, and a sheet where faces may be shown.

    Nothing is changed: correct the labels, or name the rows in index.exclude.

    Example: rmtl audit --set audit.epochs=20
    """
    from model.audit import audit_labels
    from model.audit.landmarks import load_landmark_net, train_landmark_net
    from model.audit.sheet import write_sheet
    from model.data.manifest import data_digest, read_manifest

    config = read_config(params, overrides)
    records = read_manifest(workspace.VALID_MANIFEST)
    net = load_landmark_net(landmarks) if landmarks else None
    if net is None:
        net = train_landmark_net(
            config.audit, config.run, config.shard, records=records, data=workspace.DATA, out=workspace.AUDIT
        )
    report = audit_labels(
        config.audit, records, net, data=workspace.DATA, data_digest=data_digest(records), seed=config.seed
    )
    write_json(workspace.AUDIT_REPORT, asdict(report))
    drawn = write_sheet(workspace.AUDIT_SHEET, report.suspects, records, workspace.DATA)
    if as_json:
        show(asdict(report), as_json=True)
    else:
        _print(report, drawn)


def _print(report: "AuditReport", drawn: int) -> None:
    typer.echo(
        f"{len(report.suspects)} of {report.labelled} labels are suspect; classifiers that never saw them agree with "
        f"{100 * report.accuracy:.1f} % of the labels, and {report.estimated} are estimated to be wrong at most"
    )
    if not report.landmarks:
        typer.echo("no face has points and no --landmarks was given: the face crops alone are a weak witness")
    for pair, count in list(report.pairs.items())[:_SHOWN]:
        typer.echo(f"  {count:>5}  {pair}")
    rows = pd.DataFrame([asdict(suspect) for suspect in report.suspects[:_SHOWN]])
    if len(rows):
        typer.echo(rows.drop(columns="image").to_string(index=False))
    typer.echo(f"all: {workspace.AUDIT_REPORT}" + (f"   drawn: {workspace.AUDIT_SHEET}" if drawn else ""))
