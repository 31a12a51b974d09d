from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from model.errors import DataContractError, RegistryError
from model.evaluation.comparison import read_comparison
from model.evaluation.paired import Measured, compare
from model.schema import to_json
from model.storage import write_json

JUDGED = {("landmarks", "nme"), ("expression", "macro_f1"), ("expression", "f1")}


@pytest.fixture(scope="module")
def ours(evaluated: Any) -> Measured:
    return evaluated.report, evaluated.out / "predictions.parquet"


@pytest.fixture(scope="module")
def other(bench: Any, config: Any, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Another net on the same faces."""
    from tests.evaluation.conftest import save_random_weights

    out = tmp_path_factory.mktemp("other")
    save_random_weights(config, out / "weights", input_size=48)
    return replace(bench, weights=out / "weights").run(out), out / "predictions.parquet"


def compared(bench: Any, challenger: Measured, champion: Measured) -> dict[tuple[Any, ...], Any]:
    comparison = compare(bench.config, challenger, champion, manifest=bench.manifest, seed=0)
    return {(item.task, item.metric, item.normaliser, item.subset): item for item in comparison.differences}


def test_a_net_does_not_differ_from_itself(bench: Any, ours: Measured) -> None:
    found = compared(bench, ours, ours).values()
    assert found
    assert {(item.value, item.low, item.high) for item in found} == {(0.0, 0.0, 0.0)}


def test_values_are_the_differences_of_both_reports_on_every_slice(bench: Any, ours: Measured, other: Measured) -> None:
    found = compared(bench, ours, other)
    values = [
        {
            (item.task, item.metric, item.normaliser, item.subset): item
            for item in report.measures
            if item.value is not None
        }
        for report, _ in (ours, other)
    ]
    expected = {key for key in values[0].keys() & values[1].keys() if key[:2] in JUDGED}
    assert found.keys() == expected
    for key in expected:
        assert found[key].value == pytest.approx(values[0][key].value - values[1][key].value, abs=1e-5)
        assert found[key].n == values[0][key].n
    names = {key[3].partition("=")[0] for key in expected}
    assert names >= {"all", "source", "class", "pose", "size"}


def test_roles_exchanged_exchange_the_ends(bench: Any, ours: Measured, other: Measured) -> None:
    there, back = compared(bench, ours, other), compared(bench, other, ours)
    for key, item in there.items():
        assert (item.value, item.low, item.high) == pytest.approx((-back[key].value, -back[key].high, -back[key].low))
        assert item.low <= item.high


def test_other_faces_are_refused(bench: Any, ours: Measured, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(ours[1]).slice(1), tmp_path / "fewer.parquet")
    with pytest.raises(DataContractError, match="holds other faces than the manifest"):
        compared(bench, ours, (ours[0], tmp_path / "fewer.parquet"))


def test_a_comparison_survives_its_file(bench: Any, ours: Measured, other: Measured, tmp_path: Path) -> None:
    comparison = compare(bench.config, ours, other, manifest=bench.manifest, seed=0)
    write_json(tmp_path / "comparison.json", to_json(comparison))
    assert read_comparison(tmp_path / "comparison.json") == comparison
    (tmp_path / "comparison.json").write_text("{}")
    with pytest.raises(RegistryError, match="run `rmtl evaluate --champion`"):
        read_comparison(tmp_path / "comparison.json")
