"""A packed source: the same faces in few tars."""

import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from model.config import PackConfig, Source
from model.config.data import Splits
from model.data.manifest import data_digest
from model.data.pack import pack_source
from model.errors import ConfigError, DataContractError
from model.schema import FaceRecord
from model.storage import read_bytes
from tests.command import Command, contents
from tests.data import layouts
from tests.data.bench import Bench

MAKERS: dict[str, Callable[[Path], Source]] = {
    "w300": layouts.make_w300,
    "aflw": layouts.make_aflw,
    "affectnet": layouts.make_affectnet,
    "affectnet2021": layouts.make_affectnet2021,
    "rafdb": layouts.make_rafdb,
    "rafdb, original": lambda data: layouts.make_rafdb(data, aligned=False),
    "class_folders": layouts.make_class_folders,
    "class_folders, persons": lambda data: layouts.make_class_folders(data).model_copy(
        update={"persons": "/([0-9]+)[.]"}
    ),
    "generic": layouts.make_generic,
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def packed(source: Source, data: Path, *, max_mb: int = 1, name: str = "packed") -> Source:
    return pack_source(PackConfig(max_mb=max_mb), source, data=data, into=data / name).source


def rows(records: list[FaceRecord]) -> list[FaceRecord]:
    """Records without the place of the picture."""
    return [replace(record, image="") for record in records]


@pytest.mark.parametrize("layout", MAKERS)
def test_a_packed_source_has_the_same_rows_and_pictures(layout: str, bench: Bench) -> None:
    """Record ids, splits, groups, boxes, points, labels, votes and facts; and so the digest of the data."""
    source = MAKERS[layout](bench.root)
    before = bench.index(source, holdout=0.3)
    after = bench.index(packed(source, bench.root), holdout=0.3)
    assert rows(after) == rows(before)
    assert data_digest(after) == data_digest(before)
    assert not any(record.problem for record in after)
    for new, old in zip(after, before, strict=True):
        assert new.image.startswith("packed/00000.tar!")
        assert read_bytes(new.image, bench.root) == read_bytes(old.image, bench.root)


def test_a_packed_source_packed_again_has_the_same_bytes(bench: Bench) -> None:
    once = packed(layouts.make_class_folders(bench.root), bench.root)
    packed(once, bench.root, name="again")
    assert contents(bench.root / "again") == contents(bench.root / "packed")


def test_the_same_source_gives_the_same_bytes(bench: Bench) -> None:
    """T12."""
    source = layouts.make_generic(bench.root)
    packed(source, bench.root)
    for path in (bench.root / "made").rglob("*"):
        path.touch()
    packed(source, bench.root, name="again")
    assert contents(bench.root / "again") == contents(bench.root / "packed")


def test_a_picture_of_several_faces_is_stored_once(bench: Bench) -> None:
    source = layouts.make_aflw(bench.root, faces=6)
    found = pack_source(PackConfig(max_mb=1), source, data=bench.root, into=bench.root / "packed")
    assert (found.faces, found.pictures, found.tars, found.problems) == (6, 3, 1, 0)
    with tarfile.open(bench.root / "packed/00000.tar") as archive:
        assert archive.getnames() == ["00000000.jpg", "00000001.jpg", "00000002.jpg"]


def test_tars_are_bounded_and_a_larger_picture_has_one_for_itself(bench: Bench) -> None:
    sizes = [300_000, 500_000, 400_000, 2_000_000, 10, 10]
    lines = []
    for number, size in enumerate(sizes):
        layouts.write(bench.root / f"made/{number}.jpg", bytes([number]) * size)
        lines.append(layouts.label_line(f"{number}.jpg", "train", expression="sad"))
    layouts.write(bench.root / "made/labels.jsonl", "\n".join(lines))
    source = layouts.make_generic(bench.root.parent / "other", faces=0)
    packed(source, bench.root)
    tars = sorted((bench.root / "packed").glob("*.tar"))
    members = []
    for path in tars:
        with tarfile.open(path) as archive:
            members.append([item.size for item in archive])
    assert members == [sizes[:2], sizes[2:3], sizes[3:4], sizes[4:]]
    assert all(path.stat().st_size <= 1 << 20 for path in tars if path.name != "00002.tar")


def test_what_cannot_be_used_stays_in_the_table_with_its_reason(bench: Bench) -> None:
    """T01, T02: nothing is dropped in silence."""
    source = layouts.make_w300(bench.root)
    helen = bench.root / "w300/helen/trainset"
    (helen / "1000_1.jpg").write_bytes(b"no picture")
    (helen / "1000_2.pts").unlink()
    (helen / "1001_1.pts").write_text(layouts.pts(layouts.face_points()[:60]))
    (helen / "1001_2.jpg").unlink()
    before = bench.index(source)
    after = bench.index(packed(source, bench.root))
    assert data_digest(after) == data_digest(before)
    assert [replace(record, problem=None) for record in rows(after)] == [
        replace(record, problem=None) for record in rows(before)
    ]
    codes = [str(record.problem).split(":")[0] for record in after if record.problem]
    assert codes == [str(record.problem).split(":")[0] for record in before if record.problem]
    assert sorted(codes) == ["missing_picture", "missing_points", "not_an_image"]


def test_a_missing_picture_is_told_as_index_tells_it(bench: Bench) -> None:
    source = layouts.make_generic(bench.root, faces=2)
    (bench.root / "made/train/000.webp").unlink()
    before = bench.index(source)
    assert rows(bench.index(packed(source, bench.root))) == rows(before)
    assert str(before[0].problem).startswith("missing_picture: made/train/000.webp")


def test_a_point_that_is_no_number_becomes_a_problem(bench: Bench) -> None:
    """T02."""
    source = layouts.make_w300(bench.root)
    pts = bench.root / "w300/helen/trainset/1000_1.pts"
    lines = pts.read_text().splitlines()
    lines[3] = "nan 10.0"
    pts.write_text("\n".join(lines))
    face = bench.index(packed(source, bench.root))[0]
    assert str(face.problem).startswith("not_finite: w300/helen/trainset/1000_1.jpg")
    assert face.points is None


def test_corrections_are_part_of_what_is_packed(bench: Bench) -> None:
    source = layouts.make_generic(bench.root, faces=2)
    line = {"image": "test/000.webp", "was": "neutral", "expression": "fear"}
    layouts.write(bench.root / "made/corrections.jsonl", json.dumps(line))
    before = bench.index(source)
    assert "fear" in [record.expression for record in before]
    assert rows(bench.index(packed(source, bench.root))) == rows(before)


@pytest.mark.parametrize("into", ["data/taken", "elsewhere", "data", "data/../data2/x"])
def test_only_a_new_folder_below_the_data_is_written(into: str, tmp_path: Path) -> None:
    source = layouts.make_generic(tmp_path / "data", faces=2)
    (tmp_path / "data/taken").mkdir()
    with pytest.raises(ConfigError, match=r"--into .*(exists already|must lie below)"):
        pack_source(PackConfig(max_mb=1), source, data=tmp_path / "data", into=tmp_path / into)
    assert not (tmp_path / "elsewhere").exists()


def test_the_command_prints_the_source_to_put_into_the_parameters(rmtl: Command, workspace: Path) -> None:
    source = layouts.make_class_folders(workspace / "data")
    tree = yaml.safe_load((workspace / "params.yaml").read_text())
    tree["index"]["sources"] = [source.model_dump(mode="json", exclude_none=True)]
    (workspace / "params.yaml").write_text(yaml.safe_dump(tree))
    result = rmtl("data", "pack", "fer", cwd=workspace)
    assert result.returncode == 0, result.stderr
    assert "data/fer-packed: 28 faces (0 with a problem), 28 pictures\nin 1 tars" in result.stdout
    splits = {"train": ["train"], "test": ["test"]}
    expected = {"name": "fer", "reader": "generic", "path": "fer-packed", "restricted": True, "splits": splits}
    assert yaml.safe_load(result.stdout.split("\n\n", 1)[1]) == [expected]
    result = rmtl("data", "pack", "fer", "--into", "data/again", "--json", cwd=workspace)
    assert json.loads(result.stdout)["source"] == expected | {"path": "again"}
    assert rmtl("data", "pack", "nobody", cwd=workspace).returncode == 2


def test_people_of_several_sources_stay_the_same_people(bench: Bench) -> None:
    """T05: who stands in two sources is still found once one of them is packed."""
    source = layouts.make_generic(bench.root).model_copy(update={"people": "celebrities"})
    before = bench.index(source, holdout=0.3)
    entry = packed(source, bench.root)
    assert entry.people == "celebrities"
    assert rows(bench.index(entry, holdout=0.3)) == rows(before)
    assert any(str(record.group).startswith("celebrities/") for record in before)


def test_a_source_without_rows_leaves_no_folder(bench: Bench) -> None:
    source = layouts.make_generic(bench.root).model_copy(update={"splits": Splits(train=("training",))})
    with pytest.raises(DataContractError, match="no row of the splits of source made"):
        packed(source, bench.root)
    assert not (bench.root / "packed").exists()
