"""The model card of a version says what its evaluation says."""

import re
from pathlib import Path
from typing import Any

from model.config import RegisterConfig
from model.evaluation.markdown import headlines
from model.registry.card import CARD_FILE, render_card
from model.registry.client import open_store
from model.registry.registry import register_version
from model.registry.reports import read_report
from model.schema import EXPRESSIONS, INTENDED_USE
from model.weights import load_meta


def rows(text: str, section: str) -> dict[str, list[str]]:
    """Cells of the table of a section, by the first one."""
    part = text.split(section)[1].split("\n#", maxsplit=1)[0]
    lines = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in part.splitlines() if line.startswith("| ")]
    return {name: cells for name, *cells in lines[2:]}


def test_every_number_of_the_card_is_that_of_the_evaluation(root: Path, cases: Any) -> None:
    """T47."""
    report = read_report(root / "docs/results/sample.json")
    text = render_card(load_meta(cases.weights("a")), report)
    found = rows(text, "## Metrics")
    told = list(headlines(report.measures))
    assert [item.words for item in told] == list(found)
    for item in told:
        assert item.measure.value is not None
        assert abs(float(found[item.words][0].split()[0]) - item.measure.value) <= 0.05
        assert found[item.words][1] == f"{item.measure.n:,}"
    assert list(rows(text, "### By apparent expression")) == list(EXPRESSIONS)
    subsets = {row.subset for row in report.measures if "=" in row.subset and row.task in ("landmarks", "expression")}
    assert {name.replace("\\|", "|") for name in rows(text, "### By slice")} <= subsets


def test_a_version_has_its_card(workspace: Path, gate: RegisterConfig, cases: Any, tmp_path: Path) -> None:
    case = cases.write("a", restricted=True)
    version = register_version(gate, **case)
    with open_store() as store:
        text = Path(store.client.download_artifacts(version.run_id, CARD_FILE, str(tmp_path))).read_text()
    meta, report = load_meta(case["weights"]), read_report(case["evaluation"])
    assert text == render_card(meta, report)
    assert meta.weights_digest in text
    assert INTENDED_USE in text
    assert "Non-commercial research only" in text
    assert "$" not in text
