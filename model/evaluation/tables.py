"""Small tables beside the plots, which `dvc plots` draws and compares between versions."""

from pathlib import Path

import numpy as np
import pandas as pd

from model.evaluation.findings import Findings
from model.evaluation.landmarks import Array
from model.schema import EXPRESSIONS
from model.storage import atomic_path

_STEPS = 200


def write_tables(findings: Findings, folder: Path) -> None:
    """`ced.csv` (shares in percent by error in percent), `confusion.csv` (a row a face), `measures.csv`."""
    curves = ced_curves(findings)
    if curves:
        _write(ced_table(curves, findings.config.thresholds), folder / "ced.csv")
    if findings.answers.probabilities_NE is not None:
        known = findings.truth.expression_N >= 0
        predicted = findings.answers.probabilities_NE.argmax(axis=1)[known]
        names = np.array(EXPRESSIONS)
        table = pd.DataFrame({"actual": names[findings.truth.expression_N[known]], "predicted": names[predicted]})
        _write(table, folder / "confusion.csv")
    _write(pd.DataFrame([vars(row) for row in findings.report.measures]), folder / "measures.csv")


def ced_curves(findings: Findings) -> dict[str, Array]:
    """Errors of all faces, of the base answer, and of each source and subset where there are several."""
    main = findings.main_errors()
    if main is None:
        return {}
    kind, errors_N = main
    curves = {"all": errors_N}
    base_N = findings.errors.get(("landmarks_base", kind))
    if base_N is not None:
        curves["before the residual"] = base_N
    for label, values in (
        ("source", [record.source for record in findings.records]),
        ("subset", [record.subset for record in findings.records]),
    ):
        scored = sorted({value for value, error in zip(values, errors_N, strict=True) if value and error >= 0})
        if len(scored) > 1:
            for name in scored:
                inside = np.array([value == name for value in values])
                curves[f"{label}={name}"] = np.where(inside, errors_N, np.nan)
    return curves


def ced_table(curves: dict[str, Array], thresholds: tuple[float, ...]) -> pd.DataFrame:
    """Share of faces at or below evenly spaced errors up to 1.25 times the largest threshold, a column a curve."""
    grid = np.linspace(0, 1.25 * max(thresholds), _STEPS + 1)
    table = {"error": (100 * grid).round(4)}
    for name, errors_N in curves.items():
        ordered = np.sort(errors_N[~np.isnan(errors_N)])
        table[name] = (100 * np.searchsorted(ordered, grid, side="right") / len(ordered)).round(4)
    return pd.DataFrame(table)


def _write(table: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
