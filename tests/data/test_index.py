"""Index: one manifest out of every layout."""

from pathlib import Path

from model.config.data import IndexConfig
from model.data.index import build_index
from model.data.manifest import read_manifest
from tests.data.layouts import make_all


def test_every_layout_lands_in_one_manifest(tmp_path: Path) -> None:
    sources = make_all(tmp_path)
    counts = build_index(
        IndexConfig(sources=tuple(sources), holdout=0.0, exclude=()), data=tmp_path, out=tmp_path / "out", seed=0
    )
    records = read_manifest(tmp_path / "out" / "manifest.parquet")
    assert counts["problems"] == 0
    assert {record.source for record in records} == {source.name for source in sources}
    assert len({record.record_id for record in records}) == len(records)
    assert all(record.box and record.sha256 and record.width for record in records)
