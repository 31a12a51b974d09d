"""The network that finds points for the audit never sees an expression."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from model.audit.landmarks import train_landmark_net
from model.config import AuditConfig, Config
from model.schema import FaceRecord

AUDIT = AuditConfig(folds=2, epochs=1, flagged=0.85)


def test_it_trains_on_points_alone_and_only_once(
    drawn: Callable[[int], tuple[list[FaceRecord], Path]], points_alone: Config, tmp_path: Path
) -> None:
    records, data = drawn(24)
    faces = [*records[:20], *(replace(record, points=None, points_mask=None) for record in records[20:])]
    given = {"data": data, "out": tmp_path / "audit"}
    net = train_landmark_net(AUDIT, points_alone.run, points_alone.shard, records=faces, **given)
    assert net is not None
    assert net.meta.net.tasks == ("landmarks",)
    tables = [pq.read_table(tmp_path / f"audit/shards/{split}.parquet") for split in ("train", "val")]
    assert sum(table.num_rows for table in tables) == 20
    assert {value for table in tables for value in table["expression"].to_pylist()} == {None}
    groups = [{str(name).split("/")[1] for name in table["record_id"].to_pylist()} for table in tables]
    assert not {int(row) // 2 for row in groups[0]} & {int(row) // 2 for row in groups[1]}
    written = (tmp_path / "audit/train/weights.safetensors").stat().st_mtime_ns
    train_landmark_net(AUDIT, points_alone.run, points_alone.shard, records=faces, **given)
    assert (tmp_path / "audit/train/weights.safetensors").stat().st_mtime_ns == written


def test_no_face_with_points_gives_no_network(
    drawn: Callable[[int], tuple[list[FaceRecord], Path]], points_alone: Config, tmp_path: Path
) -> None:
    records, data = drawn(4)
    bare = [replace(record, points=None, points_mask=None) for record in records]
    out = tmp_path / "audit"
    assert train_landmark_net(AUDIT, points_alone.run, points_alone.shard, records=bare, data=data, out=out) is None
    assert not out.exists()
