"""The manifest: what is written is read, and its digest follows the labels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.manifest import data_digest, read_about, read_frame, read_manifest, write_manifest
from model.errors import DataContractError
from model.schema import EXPRESSIONS, LANDMARKS, LANDMARKS_19, MANIFEST, VOTES, FaceRecord

RECORD = FaceRecord(
    record_id="sample/train.tar!000001.webp",
    source="sample",
    split="train",
    subset="landmarks",
    image="sample/train.tar!000001.webp",
    sha256="0" * 64,
    width=112,
    height=112,
    points=[float(value) for value in range(2 * LANDMARKS)],
    points_mask=[True] * LANDMARKS,
    expression="happy",
)

coordinates = st.lists(
    st.floats(allow_nan=False, allow_infinity=False, width=32), min_size=2 * LANDMARKS, max_size=2 * LANDMARKS
)


@given(
    points=st.none() | coordinates, expression=st.none() | st.sampled_from(EXPRESSIONS), problem=st.none() | st.text()
)
def test_rows_survive_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory,
    points: list[float] | None,
    expression: str | None,
    problem: str | None,
) -> None:
    path = tmp_path_factory.mktemp("manifest") / "manifest.parquet"
    record = replace(RECORD, points=points, expression=expression, problem=problem)
    write_manifest(path, [record, RECORD])
    assert read_manifest(path) == [record, RECORD]


def test_what_is_told_about_all_rows_is_read_and_changes_none(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    write_manifest(path, [RECORD])
    assert read_about(path) == {}
    write_manifest(path, [RECORD], {"excluded": {"sample/landmarks": 2}})
    assert read_about(path) == {"excluded": {"sample/landmarks": 2}}
    assert read_manifest(path) == [RECORD]


def test_columns_stand_in_the_order_of_the_contract(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.parquet", [RECORD])
    assert list(read_frame(tmp_path / "manifest.parquet").columns) == MANIFEST.names


def test_the_digest_ignores_order() -> None:
    other = replace(RECORD, record_id="other")
    assert data_digest([RECORD, other]) == data_digest([other, RECORD])


LABELLED = replace(
    RECORD,
    box=[10.0, 20.0, 90.0, 80.0],
    points19=[float(value) for value in range(2 * LANDMARKS_19)],
    points19_mask=[True] * LANDMARKS_19,
    votes=[1] * len(VOTES),
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("record_id", "sample/other.webp"),
        ("split", "val"),
        ("sha256", "0" * 63 + "1"),
        ("box", [10.0, 20.0, 90.0, 80.5]),
        ("points", [*(LABELLED.points or [])[:-1], 0.5]),
        ("points_mask", [True] * (LANDMARKS - 1) + [False]),
        ("points19", [*(LABELLED.points19 or [])[:-1], 0.5]),
        ("points19_mask", [True] * (LANDMARKS_19 - 1) + [False]),
        ("expression", "sad"),
        ("votes", [2] + [1] * (len(VOTES) - 1)),
    ],
)
def test_the_digest_sees_each_label(field: str, value: object) -> None:
    changes: list[dict[str, Any]] = [{}, {field: value}, {field: None}]
    assert len({data_digest([replace(LABELLED, **change)]) for change in changes}) == len(changes)


def test_a_foreign_table_is_refused(tmp_path: Path) -> None:
    pd.DataFrame({"image": ["a.png"]}).to_parquet(tmp_path / "manifest.parquet")
    with pytest.raises(DataContractError, match="run `rmtl index` again"):
        read_manifest(tmp_path / "manifest.parquet")


def test_a_missing_manifest_names_the_step_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match="run `rmtl index`"):
        read_manifest(tmp_path / "manifest.parquet")
