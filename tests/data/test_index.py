"""Index: one manifest out of every layout."""

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from model.config.data import IndexConfig, Source
from model.data.codec import decode_image, is_face_crop
from model.data.index import build_index, read_size
from model.data.manifest import read_manifest
from model.errors import FaceError, ServiceError, StorageError
from model.schema import FaceRecord
from tests.data.layouts import encoded, make_all, make_class_folders, make_generic, texture, write


def png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that promises a size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99)))


def index(data: Path, *sources: Source, holdout: float = 0.0, exclude: tuple[str, ...] = ()) -> list[FaceRecord]:
    config = IndexConfig(sources=sources, holdout=holdout, exclude=exclude)
    build_index(config, data=data, out=data / "out", seed=0)
    return read_manifest(data / "out" / "manifest.parquet")


def test_every_layout_lands_in_one_manifest(tmp_path: Path) -> None:
    sources = make_all(tmp_path)
    records = index(tmp_path, *sources)
    assert {record.source for record in records} == {source.name for source in sources}
    assert len({record.record_id for record in records}) == len(records)
    assert all(record.box and record.sha256 and record.width and not record.problem for record in records)


def test_a_name_that_is_no_text_is_a_problem_of_its_row(tmp_path: Path) -> None:
    """T01: an old archive unpacked names in Latin-1."""
    source = make_class_folders(tmp_path)
    write(tmp_path / "fer/train/happy" / os.fsdecode(b"J\xfcrgen.png"), encoded(texture(1), ".png"))
    (row,) = [face for face in index(tmp_path, source, holdout=0.3) if face.problem]
    assert row.image == "fer/train/happy/J\\xfcrgen.png"
    assert "the name `train/happy/J\\xfcrgen.png` is no UTF-8; rename the file" in str(row.problem)


@pytest.mark.parametrize("path", ["fer/", "./fer", "fer/."])
def test_the_folder_of_a_source_may_be_written_in_several_ways(tmp_path: Path, path: str) -> None:
    source = make_class_folders(tmp_path)
    values = source.model_dump() | {"path": path, "persons": r"^train/(\w+)/|^publictest/(?:.*)"}
    faces = index(tmp_path, Source.model_validate(values))
    assert not any(face.problem for face in faces)
    assert {face.group for face in faces if face.split == "train"} > {"fer/happy"}


INDEX = """
import sys
from pathlib import Path
from model.config.data import IndexConfig
from model.data.index import build_index
build_index(IndexConfig.model_validate_json(sys.argv[1]), data=Path(), out=Path(sys.argv[2]), seed=0)
"""


@pytest.mark.parametrize("hashing", ["1", "2"])
def test_second_run_writes_the_same_bytes(tmp_path: Path, hashing: str) -> None:
    """T12: in another process, whose sets have another order, and with a file that is a problem."""
    sources = make_all(tmp_path)
    write(tmp_path / "fer/train/happy/notes.txt", "hello")
    assert any(face.problem for face in index(tmp_path, *sources, holdout=0.3))
    config = IndexConfig(sources=tuple(sources), holdout=0.3, exclude=())
    command = [sys.executable, "-c", INDEX, config.model_dump_json(), "again"]
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": hashing}, check=True)
    assert (tmp_path / "again/manifest.parquet").read_bytes() == (tmp_path / "out/manifest.parquet").read_bytes()


def test_picture_without_points_or_box_is_a_face_crop(tmp_path: Path) -> None:
    face = index(tmp_path, make_class_folders(tmp_path))[0]
    assert face.box == [-0.5, -0.5, 47.5, 47.5]
    assert is_face_crop((-0.5, -0.5, 47.5, 47.5), 48, 48)


def test_val_is_cut_only_where_a_source_names_none(tmp_path: Path) -> None:
    fer, made = make_class_folders(tmp_path, faces=8), make_generic(tmp_path)
    records = index(tmp_path, fer, made, holdout=0.3)
    assert 0 < sum(record.source == "fer" and record.split == "val" for record in records) < 56
    assert sum(record.source == "made" and record.split == "val" for record in records) == 14


def test_excluded_ids_and_digests_leave_the_manifest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = make_class_folders(tmp_path)
    before = index(tmp_path, source)
    names = (before[0].record_id, str(before[5].sha256), "fer/nobody.png")
    after = index(tmp_path, source, exclude=names)
    assert [record.record_id for record in after] == [r.record_id for i, r in enumerate(before) if i not in (0, 5)]
    assert "names nothing that exists: fer/nobody.png" in caplog.text


def test_unreadable_pictures_become_rows_with_a_problem(tmp_path: Path) -> None:
    """T01, T12: empty, no image, a header bomb; a cut body is left to validation, which decodes."""
    source = make_class_folders(tmp_path)
    contents = {
        "a.png": b"",
        "b.jpg": b"GIF? no.",
        "c.png": png_bomb(20000, 20000),
        "d.jpg": encoded(texture(1))[:-400],
    }
    for name, content in contents.items():
        write(tmp_path / "fer/train/happy" / name, content)
    problems = {record.image[-5:]: record.problem for record in index(tmp_path, source)}
    assert str(problems["a.png"]).startswith("not_an_image: fer/train/happy/a.png, 0 bytes")
    assert str(problems["b.jpg"]).startswith("not_an_image: fer/train/happy/b.jpg, 8 bytes that are no picture of ")
    assert " at 0x" not in "".join(filter(None, problems.values())), "a rerun writes the same manifest"
    assert str(problems["c.png"]).startswith("image_too_large: fer/train/happy/c.png")
    assert problems["d.jpg"] is None


def test_missing_picture_is_a_problem(tmp_path: Path) -> None:
    source = make_generic(tmp_path, faces=4)
    (tmp_path / "made/train/000.webp").unlink()
    assert str(index(tmp_path, source)[0].problem).startswith("missing_picture: made/train/000.webp")


@pytest.mark.parametrize(
    ("failure", "ends"), [(ServiceError("the server is away"), True), (StorageError("no such object"), False)]
)
def test_a_picture_on_a_server_that_is_away_is_not_taken_for_missing(
    failure: FaceError, ends: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T20: an outage ends the step; an object that is not there is a problem of its row."""

    def read(_: str) -> bytes:
        raise failure

    monkeypatch.setattr("model.storage.read_object", read)
    source = make_generic(tmp_path, faces=2)
    labels = tmp_path / "made/labels.jsonl"
    labels.write_text(labels.read_text().replace("train/000.webp", "s3://faces/000.webp"))
    if ends:
        with pytest.raises(ServiceError, match="the server is away"):
            index(tmp_path, source)
    else:
        assert str(index(tmp_path, source)[0].problem).startswith("missing_picture: s3://faces/000.webp")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpeg", "png", "webp"])
def test_size_is_that_of_the_upright_picture(tmp_path: Path, orientation: int, suffix: str) -> None:
    """T09."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (30, 20)).save(tmp_path / f"a.{suffix}", exif=exif)
    content = (tmp_path / f"a.{suffix}").read_bytes()
    assert read_size(content) == decode_image(content, max_pixels=1000).shape[1::-1]


@pytest.mark.parametrize(
    "header",
    [
        b"WEBPVP8X" + bytes(8) + (16000).to_bytes(3, "little") * 2,
        b"WEBPVP8 " + bytes(10) + struct.pack("<HH", 16000, 16000),
        b"WEBPVP8L" + bytes(5) + (16000 | 16000 << 14).to_bytes(4, "little"),
    ],
)
def test_webp_bomb_is_refused_by_its_header(header: bytes) -> None:
    """T01."""
    with pytest.raises(Image.DecompressionBombError, match="WebP of"):
        read_size(b"RIFF" + bytes(4) + header + bytes(8))
