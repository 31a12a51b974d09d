"""300-W and every trap of its `.pts` files."""

import errno
from pathlib import Path

import numpy as np
import pytest

from model.config.data import Source, Splits
from model.data.readers import read_source, w300
from model.data.readers.w300 import parse_pts
from model.errors import DataContractError
from tests.data.layouts import encoded, face_points, make_w300, pts, texture, write


def test_points_become_zero_based_and_the_box_is_tight(tmp_path: Path) -> None:
    face = next(read_source(make_w300(tmp_path), tmp_path))
    points = face_points(0)
    assert face.points == pytest.approx(points.ravel().tolist())
    assert face.box == pytest.approx([*points.min(axis=0), *points.max(axis=0)])
    assert face.points_mask == [True] * 68
    assert (face.split, face.subset, face.restricted) == ("train", "helen", True)


def test_file_with_a_space_in_its_name_is_read(tmp_path: Path) -> None:
    faces = {face.image: face for face in read_source(make_w300(tmp_path), tmp_path)}
    spaced = faces["w300/ibug/image_092 _01.png"]
    assert spaced.problem is None
    assert (spaced.subset, spaced.group) == ("challenging", "w300/ibug/image_092")


def test_faces_of_one_photo_share_a_group_and_numbered_photos_do_not(tmp_path: Path) -> None:
    groups = [face.group for face in read_source(make_w300(tmp_path), tmp_path)]
    assert groups[:4] == ["w300/helen/1000", "w300/helen/1000", "w300/helen/1001", "w300/helen/1001"]
    assert len(set(groups[4:])) == 4


def test_copy_without_header_is_refused() -> None:
    body = "\n".join(f"{x} {y}" for x, y in face_points())
    assert str(parse_pts(body, "a.pts")).startswith("pts_without_header: a.pts, line 1")


def test_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    """T02."""
    source = make_w300(tmp_path)
    plain = [face.points for face in read_source(source, tmp_path)]
    for path in tmp_path.rglob("*.pts"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert [face.points for face in read_source(source, tmp_path)] == plain


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("}\n", "", "truncated_points: a.pts, line 71, no closing brace after 68 points"),
        ("{\n", "{\n12,5 13,5\n", "bad_point: a.pts, line 4, expected `x y`"),
        ("{\n", "{\n12.5\n", "bad_point: a.pts, line 4, expected `x y`"),
    ],
)
def test_damaged_file_is_named_with_its_line(old: str, new: str, problem: str) -> None:
    """T02: a decimal comma, half a point, a cut file."""
    assert str(parse_pts(pts(face_points()).replace(old, new), "a.pts")).startswith(problem)


@pytest.mark.parametrize("count", [21, 67])
def test_wrong_number_of_points_is_kept_for_validation(count: int) -> None:
    """T02."""
    points = parse_pts(pts(face_points()[:count]), "a.pts")
    assert np.allclose(np.reshape(points, (-1, 2)), face_points()[:count])


def test_picture_without_points_and_points_without_picture_are_rows_with_a_problem(tmp_path: Path) -> None:
    source = make_w300(tmp_path)
    write(tmp_path / "w300/ibug/alone.jpg", encoded(texture(1)))
    write(tmp_path / "w300/ibug/orphan.pts", pts(face_points()))
    problems = {face.image: face.problem for face in read_source(source, tmp_path) if face.problem}
    assert problems["w300/ibug/alone.jpg"].startswith("missing_points: w300/ibug/alone.pts")
    assert problems["w300/ibug/orphan.pts"].startswith("missing_picture: w300/ibug/orphan.pts")


def test_points_that_cannot_be_read_cost_their_row_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """T02: a folder of that name, and a file that nobody may read."""
    source = make_w300(tmp_path)
    sound = [face.problem for face in read_source(source, tmp_path)]
    locked, folder = (tmp_path / f"w300/ibug/image_{number:03}.pts" for number in (1, 2))
    folder.unlink()
    folder.mkdir()
    opened = w300.read_text

    def read_text(path: Path) -> str:
        if path == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path)

    monkeypatch.setattr(w300, "read_text", read_text)
    faces = list(read_source(source, tmp_path))
    assert len(faces) == len(sound)
    assert [face.problem for face in faces if face.problem] == [
        "unreadable_points: w300/ibug/image_001.pts, cannot be read: Permission denied",
        "unreadable_points: w300/ibug/image_002.pts, cannot be read: Is a directory",
    ]


def test_missing_folder_lists_what_is_there(tmp_path: Path) -> None:
    make_w300(tmp_path)
    source = Source(name="w", reader="w300", path="w300", restricted=True, splits=Splits(train=("afw",)))
    with pytest.raises(DataContractError, match=r"afw: no such folder.*holds: helen, ibug"):
        list(read_source(source, tmp_path))
