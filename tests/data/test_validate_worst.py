"""The sheet of the worst rows: what it shows, what it only counts, what it lists."""

import html
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.config.data import Source
from model.data.sheet import Tile
from model.data.validate import crops, worst
from model.data.validate.report import Quarantined
from model.schema import FaceRecord
from tests.data.bench import CONFIG, Bench
from tests.data.layouts import encoded, face_points, label_line, make_class_folders, make_generic, texture, write

Drawn = list[list[Tile]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """The tiles of each sheet that was drawn."""
    seen: Drawn = []
    draw = worst.draw_sheet

    def keep(path: Path, tiles: list[Tile]) -> None:
        seen.append(tiles)
        draw(path, tiles)

    monkeypatch.setattr(worst, "draw_sheet", keep)
    return seen


def _page(bench: Bench) -> str:
    return html.unescape((bench.root / "reports/data_docs/worst.html").read_text())


def _sheet(bench: Bench) -> Path:
    return bench.root / "reports/data_docs/worst.png"


def _plant(bench: Bench, *, restricted: bool = False) -> Source:
    """A made set with faces shifted out of their picture, a turned one, a box of nowhere, and pictures cut off."""
    source = make_generic(bench.root)
    lines = [(bench.root / "made/labels.jsonl").read_text().strip()]
    for shift in (35, 60, 40, 50, 55, 45):
        lines.append(_face(bench, f"out{shift}.webp", points=np.add(face_points(1), (0, shift)).tolist()))
    lines.append(_face(bench, "turned.webp", points=(63 - face_points(1)).tolist()))
    lines.append(_face(bench, "nowhere.webp", expression="sad", box=[1e9, 10, 2e9, 60]))
    lines.append(_face(bench, "cut.webp", expression="sad"))
    write(bench.root / "made/cut.webp", encoded(texture(3), ".webp")[:-90])
    write(bench.root / "made/labels.jsonl", "\n".join(lines))
    return source.model_copy(update={"restricted": restricted})


def _face(bench: Bench, name: str, **labels: object) -> str:
    write(bench.root / "made" / name, encoded(texture(sum(name.encode())), ".webp"))
    return label_line(name, "train", **labels)


def test_planted_faults_are_drawn_the_worst_first(bench: Bench, drawn: Drawn) -> None:
    bench.index(_plant(bench))
    bench.validate(budget=0.5)
    told = [tile.caption.splitlines()[:2] for tile in drawn[0]]
    expected = [
        *(("points_inside", f"made/out{shift}.webp") for shift in (60, 55, 50, 45)),
        ("orientation_fits", "made/turned.webp"),
        ("box_sane", "made/nowhere.webp"),
    ]
    assert [rule.split(": ")[0] for rule, _ in told] == list("123456")
    assert [(rule.split(": ")[1], name) for rule, name in told] == expected
    assert [len(tile.points_K2) for tile in drawn[0] if tile.points_K2 is not None] == [68] * 5 + [0]
    assert all(tile.box is not None for tile in drawn[0])
    with Image.open(_sheet(bench)) as sheet:
        assert min(sheet.size) > 200
    page = _page(bench)
    assert all(name in page and bench.quarantine()[name][1] in page for _, name in expected)
    listed = page[page.index("Without a readable picture") : page.index("Rows by rule")]
    assert set(re.findall(r"made/\w+\.webp", listed)) == {"made/cut.webp"}
    assert "<td>points_inside</td><td>6</td><td>4</td>" in page
    assert "not shown" not in page


def test_rerun_draws_the_same_bytes(bench: Bench) -> None:
    """T12."""
    bench.index(_plant(bench))
    files = [bench.root / "reports/data_docs" / name for name in ("worst.html", "worst.png")]
    bench.validate(budget=0.5)
    first = [file.read_bytes() for file in files]
    bench.validate(budget=0.5)
    assert [file.read_bytes() for file in files] == first


def test_restricted_source_is_counted_and_neither_drawn_nor_listed(bench: Bench, drawn: Drawn) -> None:
    bench.index(_plant(bench, restricted=True))
    report = bench.validate(budget=0.5)
    assert drawn == [[]]
    assert not _sheet(bench).exists()
    page = _page(bench)
    assert f"{report.quarantined} rows of restricted sources" in page
    assert "made/" not in page
    assert "<img" not in page


def test_copy_of_a_restricted_picture_is_not_drawn(bench: Bench, drawn: Drawn) -> None:
    """Neither the same bytes nor a mirrored and recompressed copy, both in the split of the restricted picture."""
    fer, made = make_class_folders(bench.root), make_generic(bench.root)
    labels = [(bench.root / "made/labels.jsonl").read_text().strip()]
    outside = np.add(face_points(1), (0, 60)).tolist()
    labels += [_face(bench, name, points=outside) for name in ("own.webp", "same.webp", "mirrored.webp")]
    write(bench.root / "made/same.webp", (bench.root / "fer/train/neutral/0.webp").read_bytes())
    write(bench.root / "made/mirrored.webp", encoded(texture(602, 48)[:, ::-1].copy(), ".webp", 60))
    write(bench.root / "made/labels.jsonl", "\n".join(labels))
    bench.index(fer, made)
    bench.validate(budget=0.5)
    assert {name: rule for name, (rule, _) in bench.quarantine().items()} == {
        f"made/{name}.webp": "points_inside" for name in ("own", "same", "mirrored")
    }
    assert [tile.caption.splitlines()[1] for tile in drawn[0]] == ["made/own.webp"]
    assert "2 rows of restricted sources, or copies of their pictures" in _page(bench)


def test_copy_of_a_restricted_picture_that_was_never_opened_is_not_drawn(bench: Bench, drawn: Drawn) -> None:
    """Its own row cannot be used, so that neither index nor validation looked at it."""
    source = _plant(bench)
    hidden = source.model_copy(update={"name": "hidden", "path": "hidden", "restricted": True})
    write(bench.root / "hidden/1.webp", (bench.root / "made/out60.webp").read_bytes())
    write(bench.root / "hidden/labels.jsonl", label_line("1.webp", "train", problem="no_points: by hand"))
    bench.index(source, hidden)
    bench.validate(budget=0.5)
    names = [tile.caption.splitlines()[1] for tile in drawn[0]]
    assert "made/out60.webp" not in names
    assert "made/out55.webp" in names


def test_picture_outside_of_the_data_is_not_opened(bench: Bench, drawn: Drawn) -> None:
    """T11: a table that names it must not bring it into a report."""
    outside = bench.root.parent / "private.webp"
    write(outside, encoded(texture(1), ".webp"))
    record = FaceRecord(record_id="made/1", source="made", split="train", subset="", image=f"../{outside.name}")
    moved = [Quarantined(record, "readable", "reader", "bad_path: by hand", 0.0)]
    worst.write_worst(bench.root, moved, [record], {}, config=CONFIG, data=bench.root)
    assert drawn == [[]]


def test_picture_that_two_sources_name_is_not_drawn_where_one_is_restricted(bench: Bench, drawn: Drawn) -> None:
    source = make_class_folders(bench.root)
    write(bench.root / "fer/train/happy/tiny.png", encoded(texture(2)[:5, :5].copy(), ".png"))
    bench.index(source, source.model_copy(update={"name": "open", "restricted": False}), holdout=0.5)
    bench.validate(budget=0.5)
    assert set(bench.quarantine()) == {"fer/train/happy/tiny.png", "open/train/happy/tiny.png"}
    assert drawn == [[]]
    assert "2 rows of restricted sources" in _page(bench)


def test_sound_set_has_a_page_that_says_so(bench: Bench) -> None:
    bench.index(make_generic(bench.root))
    bench.validate()
    assert "No row is in quarantine" in _page(bench)
    assert not _sheet(bench).exists()
    index = (bench.root / "reports/data_docs/index.html").read_text()
    assert 'href="worst.html"' in index


def test_number_of_tiles_is_bounded_by_rule_and_in_all(
    bench: Bench, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worst, "_MOST", 4)
    bench.index(_plant(bench))
    bench.validate(budget=0.5)
    assert len(drawn[0]) == 3
    assert [tile.caption[:1] for tile in drawn[0]] == ["1", "2", "3"]


def test_name_of_a_file_is_text_on_the_page(bench: Bench, drawn: Drawn) -> None:
    source = make_generic(bench.root)
    name = "<b>&$ünlü_" + 60 * "x" + ".webp"
    path = bench.root / "made/labels.jsonl"
    path.write_text(path.read_text() + _face(bench, name, expression="sad", box=[30, 10, 20, 60]))
    bench.index(source)
    bench.validate(budget=0.5)
    raw = (bench.root / "reports/data_docs/worst.html").read_text()
    assert html.escape(name) in raw
    assert "<b>" not in raw
    assert drawn[0][0].caption.splitlines()[1] == "..." + "x" * 26 + ".webp"


@pytest.mark.parametrize("side", [1, 5, 900])
def test_any_picture_box_and_points_make_a_crop(side: int) -> None:
    """Pixels outside of the picture are grey, and what is not finite is left out."""
    picture = np.zeros((side, side + 1, 3), np.uint8)
    boxes = [None, [0.0, 0.0], [float("nan"), 0, 5, 5], [5.0, 5, 5, 5], [-1e12, -1e12, 1e12, 1e12], [9.0, 9, 1, 1]]
    for box in boxes:
        for points in (None, [float("inf"), 1.0, 2.0, 3.0], [1e15, -1e15]):
            record = FaceRecord("a/1", "a", "train", "", "1.png", box=box, points=points)
            crop = crops.crop_row(Quarantined(record, "rule", "row", "why", 0.0), picture)
            assert crop.pixels_HWC.shape[0] == crop.pixels_HWC.shape[1]
            assert set(np.unique(crop.pixels_HWC)) <= {0, 127}
            assert np.isfinite(crop.points_P2).all()
