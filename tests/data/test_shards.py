import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from model.data.codec import decode_image, encode_points
from model.data.faces import read_faces
from model.data.manifest import data_digest, write_manifest
from model.data.shards import read_points, write_shards
from model.data.transforms import crop_face
from model.errors import DataContractError, ImageError, StorageError
from model.storage import digest_bytes

MIXED = [
    *[("train", "photos", "points", 40)] * 5,
    *[("train", "labels", "class", 24)] * 4,
    *[("val", "photos", "both", 40)] * 2,
    ("test", "labels", "both", 40),
]


def rewritten(made, **changes):
    """The set with one field changed in its first record."""
    records = [replace(made.records[0], **changes), *made.records[1:]]
    write_manifest(made.manifest, records)
    return made._replace(records=records)


def write(config, made, out: Path, **changes):
    return write_shards(config.shard.model_copy(update=changes), manifest=made.manifest, data=made.data, out=out)


def box_of(faces, row):
    x0, y0, x1, y1 = faces.box_N4[row].tolist()
    return x0, y0, x1, y1


def test_index_counts_what_the_manifest_holds(config, made_set, tmp_path):
    made = made_set(MIXED)
    index = write(config, made, tmp_path / "shards")
    assert index["faces"] == {"train": 9, "val": 2, "test": 1}
    assert index["counts"]["train"] == {"labels": 4, "photos": 5}
    assert index["sources"] == ["labels", "photos"]
    assert index["data_digest"] == data_digest(made.records)
    assert index["restricted"] is False
    assert json.loads((tmp_path / "shards" / "index.json").read_text()) == index


def test_one_restricted_source_restricts_the_whole(config, made_set, tmp_path):
    assert write(config, made_set(MIXED, restricted=True), tmp_path / "shards")["restricted"] is True


def test_writing_twice_gives_the_same_bytes(config, made_set, tmp_path):
    """T12."""
    made = made_set(MIXED)
    for name in ("one", "two"):
        write(config, made, tmp_path / name, max_side=32)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_shards_hold_a_bounded_number_of_faces_in_order(config, made_set, tmp_path):
    made = made_set(MIXED)
    write(config, made, tmp_path / "shards", faces_per_shard=4)
    names = sorted(path.name for path in (tmp_path / "shards").glob("train-*.tar"))
    assert names == ["train-000000.tar", "train-000001.tar", "train-000002.tar"]
    members = []
    for name in names:
        with tarfile.open(tmp_path / "shards" / name) as archive:
            members.append(archive.getnames())
    assert [len(each) for each in members] == [4, 4, 1]
    assert members[1][1] == "00000005.webp"
    assert read_faces(tmp_path / "shards", "train").record_ids == [record.record_id for record in made.records[:9]]


def test_small_pictures_keep_their_bytes_and_labels(config, made_set, tmp_path):
    made = made_set(MIXED)
    write(config, made, tmp_path / "shards")
    table = pq.read_table(tmp_path / "shards" / "train.parquet").to_pylist()
    for row, record in zip(table, made.records, strict=False):
        pack = (tmp_path / "shards" / f"train-{row['shard']:06d}.tar").read_bytes()
        original = (made.data / record.image).read_bytes()
        assert pack[row["offset"] : row["offset"] + row["size"]] == original
        assert (row["box"], row["points"], row["expression"]) == (record.box, record.points, record.expression)


@pytest.mark.parametrize("kind", ["both", "class", "points19"])
def test_large_pictures_shrink_without_changing_what_the_network_sees(config, made_set, tmp_path, kind):
    """Face windows and whole face crops: crop and points stay where they were, but for resampling."""
    made = made_set([("train", "photos", kind, 600)] * 3)
    write(config, made, tmp_path / "shards", max_side=160)
    faces = read_faces(tmp_path / "shards", "train")
    assert faces.size_N2.max() <= 160
    for row, record in enumerate(made.records):
        original = decode_image((made.data / record.image).read_bytes(), max_pixels=10**6)
        direct, direct_matrix = crop_face(original, tuple(record.box), size=64, crop_scale=1.3)
        stored, matrix = crop_face(faces.read_picture(row), box_of(faces, row), size=64, crop_scale=1.3)
        assert np.abs(stored.astype(int) - direct).mean() < 3
        known = ((record.points, faces.landmarks_NK2), (record.points19, faces.points19_NM2))
        for points, stored_points in [(points, stored_points) for points, stored_points in known if points]:
            truth = encode_points(np.reshape(points, (-1, 2)), direct_matrix)
            assert np.abs(encode_points(stored_points[row], matrix) - truth).max() * 64 < 0.3


def test_box_near_the_border_never_becomes_a_face_crop_by_shrinking(config, made_set, tmp_path):
    made = rewritten(made_set([("train", "photos", "points", 300)]), box=[4.0, 4.0, 295.0, 295.0])
    write(config, made, tmp_path / "shards", max_side=64)
    faces = read_faces(tmp_path / "shards", "train")
    picture = faces.read_picture(0)
    _, matrix = crop_face(picture, box_of(faces, 0), size=64, crop_scale=1.3)
    width_in_crop = np.diff(encode_points([[box_of(faces, 0)[0], 0], [box_of(faces, 0)[2], 0]], matrix)[:, 0])
    assert np.allclose(width_in_crop, 1 / 1.3)


def test_turned_picture_is_stored_so_that_it_reads_upright(config, made_set, tmp_path):
    """T09: EXIF is obeyed on both ways, with the bytes kept and with the window cut."""
    made = made_set([("train", "photos", "class", 100)])
    exif = Image.Exif()
    exif[0x0112] = 6
    tall = Image.fromarray(np.repeat(np.arange(100, dtype=np.uint8)[:, None, None], 3, axis=2).repeat(60, axis=1))
    buffer = io.BytesIO()
    tall.transpose(Image.Transpose.ROTATE_90).save(buffer, "WEBP", lossless=True, exif=exif)
    (made.data / "0.webp").write_bytes(buffer.getvalue())
    rewritten(made, sha256=digest_bytes(buffer.getvalue()), width=60, height=100, box=[0.0, 0.0, 60.0, 100.0])
    for max_side in (100, 50):
        write(config, made, tmp_path / "shards", max_side=max_side)
        picture = read_faces(tmp_path / "shards", "train").read_picture(0)
        assert picture.shape == (max_side, max_side * 60 // 100, 3)
        assert picture[-1].min() > picture[0].max() + 80


def test_face_without_box_takes_the_whole_picture(config, made_set, tmp_path):
    write(config, rewritten(made_set([("train", "labels", "class", 24)]), box=None), tmp_path / "shards")
    assert read_faces(tmp_path / "shards", "train").box_N4.tolist() == [[0, 0, 23, 23]]


def test_points_for_the_mean_shape_are_in_crop_units_and_only_of_faces_that_have_them(config, made_set, tmp_path):
    made = made_set(MIXED)
    write(config, made, tmp_path / "shards")
    landmarks_NK2, mask_NK = read_points(tmp_path / "shards", "train", 1.3)
    assert landmarks_NK2.shape == (5, 68, 2)
    assert mask_NK.all()
    extent = landmarks_NK2.max(axis=1) - landmarks_NK2.min(axis=1)
    assert np.allclose(extent.max(axis=1), 1 / 1.3)
    centre = (landmarks_NK2.max(axis=1) + landmarks_NK2.min(axis=1)) / 2
    assert np.allclose(centre, 0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problem": "bad_points: 67 points"}, "photos/0.*bad_points: 67 points.*rmtl validate"),
        ({"split": "extra"}, "split 'extra'"),
        ({"sha256": "0" * 64}, "picture changed since"),
        ({"width": 39}, r"truncated|too_large|pixels"),
        ({"width": 80, "height": 20}, "40x40 pixels, manifest says 80x20"),
        ({"width": None}, "size of the picture unknown"),
    ],
)
def test_row_that_is_not_what_validation_passed_stops_and_leaves_the_former_shards(
    config, made_set, tmp_path, changes, message
):
    """T14: bytes or rows changed behind the manifest's back are never packed."""
    made = made_set(MIXED)
    before = write(config, made, tmp_path / "shards")
    with pytest.raises(DataContractError, match=message):
        write(config, rewritten(made, **changes), tmp_path / "shards")
    assert json.loads((tmp_path / "shards" / "index.json").read_text()) == before


def test_missing_picture_is_named(config, made_set, tmp_path):
    made = made_set(MIXED)
    (made.data / "3.webp").unlink()
    with pytest.raises(StorageError, match=r"3\.webp"):
        write(config, made, tmp_path / "shards")


def test_absent_shards_say_which_command_makes_them(tmp_path):
    with pytest.raises(DataContractError, match="rmtl shard"):
        read_faces(tmp_path, "train")


def test_split_without_faces_is_refused(config, made_set, tmp_path):
    write(config, made_set(MIXED[:3]), tmp_path / "shards")
    with pytest.raises(DataContractError, match="split val holds no face"):
        read_faces(tmp_path / "shards", "val")


@pytest.mark.parametrize("name", ["train-000000.tar", "train.parquet"])
def test_shortened_file_is_refused_on_opening(config, made_set, tmp_path, name):
    """T15."""
    write(config, made_set(MIXED), tmp_path / "shards")
    path = tmp_path / "shards" / name
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(DataContractError, match=f"{name}: missing or not of"):
        read_faces(tmp_path / "shards", "train")


def test_flipped_bit_in_the_labels_is_refused_on_opening(config, made_set, tmp_path):
    """T15."""
    write(config, made_set(MIXED), tmp_path / "shards")
    flip_bit(tmp_path / "shards" / "train.parquet", 200)
    with pytest.raises(DataContractError, match="differs from the table that was written"):
        read_faces(tmp_path / "shards", "train")


def test_flipped_bit_in_a_picture_is_never_decoded(config, made_set, tmp_path):
    """T15."""
    write(config, made_set(MIXED), tmp_path / "shards")
    flip_bit(tmp_path / "shards" / "train-000000.tar", 512 + 60)
    with pytest.raises(StorageError, match=r"record photos/0\): bytes differ"):
        read_faces(tmp_path / "shards", "train").read_picture(0)


def test_picture_that_cannot_be_decoded_names_its_record(config, made_set, tmp_path):
    write(config, made_set(MIXED), tmp_path / "shards")
    faces = read_faces(tmp_path / "shards", "train")
    too_small = replace(faces, size_N2=faces.size_N2 // 4)
    with pytest.raises(ImageError, match="photos/2"):
        too_small.read_picture(2)


def flip_bit(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
