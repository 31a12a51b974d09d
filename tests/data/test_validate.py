"""The step `validate`: what it moves, what it stops for, what it writes.

A run takes a second or two, so each test plants many faults and looks at all of them.
"""

import html
import json
import re
from pathlib import Path

import numpy as np
import pytest

from model.config.data import LeakageConfig
from model.data.manifest import data_digest, write_manifest
from model.errors import DataContractError
from model.schema import EXPRESSIONS, FLIP_68
from tests.data.bench import Bench
from tests.data.layouts import (
    encoded,
    face_points,
    label_line,
    make_all,
    make_class_folders,
    make_generic,
    make_w300,
    pts,
    texture,
    write,
)
from tests.data.test_index import png_bomb


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_sound_benchmarks_of_every_layout_pass(bench: Bench) -> None:
    """T12, T03: a rerun writes the same bytes; labels outside our seven are set aside and counted, not budgeted."""
    bench.index(*make_all(bench.root), holdout=0.2)
    leakage = LeakageConfig(exact="stop", near="stop", group="stop")
    report = bench.validate(leakage=leakage)
    assert {rule for rule, _ in bench.quarantine().values()} == {"labelled"}
    assert report.counts["labels_outside"] == {"contempt": 1, "no face": 1, "none": 1, "uncertain": 1}
    assert report.valid == len(bench.valid()) == report.rows - 4
    assert report.data_digest == data_digest(bench.valid())
    assert report.counts["valid"]["rafdb"]["test"]["expression"] == dict.fromkeys(EXPRESSIONS, 1)
    files = [bench.root / name for name in ("artifacts/manifest.valid.parquet", "artifacts/quarantine.csv")]
    files.append(bench.root / "reports/validation.json")
    before = [file.read_bytes() for file in files]
    bench.validate(leakage=leakage)
    assert [file.read_bytes() for file in files] == before
    assert json.loads(before[2])["rules"] == report.rules


def test_data_docs_show_the_rules_with_their_purposes_and_fetch_nothing(bench: Bench) -> None:
    """The page of each suite has what each rule demands and why, its results have the demand, the index has the why."""
    bench.index(make_generic(bench.root))
    report = bench.validate(expected={"made/test": 14})
    docs = bench.root / "reports/data_docs"
    suites = text_of(docs, "expectations/*.html")
    results = text_of(docs, "validations/**/*.html")
    purposes = [rule["purpose"] for rule in report.rules]
    assert len(purposes) == 24
    assert [purpose for purpose in purposes if purpose not in suites] == []
    assert [purpose for purpose in purposes if purpose not in text_of(docs, "index.html")] == []
    demand = "shape_plausible: the points form a face: their distance to the mean face is at most 0.6"
    assert demand in suites
    assert demand in results
    assert "made/test has the 14 labelled faces of the benchmark" in results
    pages = [page.read_text() for page in docs.rglob("*") if page.suffix in (".html", ".css")]
    assert not re.findall(r'<(?:script|link|img|iframe)[^>]+"https?://|url\(.?https?:', "".join(pages))


def text_of(docs: Path, pattern: str) -> str:
    """What the pages of a pattern show, without their markup."""
    pages = "".join(page.read_text() for page in docs.glob(pattern))
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", pages)).split())


def test_bad_pictures_are_quarantined_with_file_and_reason(bench: Bench) -> None:
    """T01: cut, empty, no image, tiny, header bomb, too large: named, and the run goes on within the budget."""
    source = make_class_folders(bench.root)
    content = encoded(texture(1))
    bad = {
        "cut.jpg": (content[: len(content) // 2], "picture_decodes", "truncated_image"),
        "empty.jpg": (b"", "record_readable", "0 bytes"),
        "text.jpg": (b"Not a picture at all.", "record_readable", "not_an_image"),
        "tiny.png": (encoded(texture(2)[:1, :1], ".png"), "min_side", "shorter side 1 px, at least 16"),
        "bomb.png": (png_bomb(20000, 20000), "record_readable", "image_too_large"),
        "large.png": (png_bomb(400, 400), "max_pixels", "160000 pixels, at most 100000"),
    }
    for name, (bytes_, _, _) in bad.items():
        write(bench.root / "fer/train/happy" / name, bytes_)
    bench.index(source, holdout=0.5)
    report = bench.validate(budget=0.5)
    quarantine = bench.quarantine()
    for name, (_, rule, reason) in bad.items():
        found = quarantine[f"fer/train/happy/{name}"]
        assert found[0] == rule
        assert reason in found[1]
    assert len(quarantine) == report.quarantined == len(bad)


def test_over_budget_stops_after_writing_everything(bench: Bench) -> None:
    """T01."""
    source = make_class_folders(bench.root)
    write(bench.root / "fer/train/happy/empty.jpg", b"")
    bench.index(source, holdout=0.5)
    with pytest.raises(DataContractError, match=r"budget: 1 of 29 rows are bad \(3\.4 %.*fer/train/happy/empty\.jpg"):
        bench.validate()
    assert list(bench.quarantine()) == ["fer/train/happy/empty.jpg"]
    assert len(bench.valid()) == 28
    assert (bench.root / "reports/validation.json").is_file()
    page = bench.root / "reports/data_docs/index.html"
    links = re.findall(r'href="([^"]+)"', page.read_text())
    assert len(links) == 4
    assert all((page.parent / link).is_file() for link in links)


def test_bad_landmarks_are_quarantined_with_the_rule(bench: Bench) -> None:
    """T02: too few points, no numbers, points outside, in another order or turned, a decimal comma, no header."""
    source = make_w300(bench.root, faces=20)
    points = face_points(1)
    eyes = np.arange(68)
    eyes[36:48] = FLIP_68[36:48]
    files = {
        "few": (pts(points[:67]), "points_count", "67 points, need 68"),
        "five": (pts(points[:21]), "points_count", "21 points, need 68"),
        "nan": (pts(np.where(np.arange(136).reshape(68, 2) == 9, np.nan, points)), "points_finite", "not a finite"),
        "outside": (pts(points + np.array([0, 45])), "points_inside", "picture sizes outside, at most 0.3"),
        "swapped": (pts(points[:, ::-1]), "shape_plausible", "x and y swapped"),
        "mirrored": (pts(points[FLIP_68]), "shape_plausible", "points numbered in another order"),
        "eyes": (pts(points[eyes]), "numbering_sound", "the eyes are numbered from the other side: another order"),
        "late": (pts(np.roll(points, 1, axis=0)), "numbering_sound", "each point has the number of the one after"),
        "turned": (pts(63 - points), "orientation_fits", "points turned by 1"),
        "comma": (pts(points).replace(".", ","), "record_readable", "bad_point: w300/ibug/comma.pts, line 4"),
        "bare": (pts(points)[25:], "record_readable", "pts_without_header: w300/ibug/bare.pts, line 1"),
    }
    for number, (name, (text, _, _)) in enumerate(files.items()):
        write(bench.root / f"w300/ibug/{name}.png", encoded(texture(900 + number), ".png"))
        write(bench.root / f"w300/ibug/{name}.pts", text)
    bench.index(source, holdout=0.5)
    bench.validate(budget=0.5)
    quarantine = bench.quarantine()
    for name, (_, rule, reason) in files.items():
        found = quarantine[f"w300/ibug/{name}.png"]
        assert found[0] == rule
        assert reason in found[1]
    assert len(quarantine) == len(files)


def test_missing_class_warns_with_counts_and_another_number_than_the_official_one(bench: Bench) -> None:
    """T08."""
    source = make_generic(bench.root)
    path = bench.root / "made/labels.jsonl"
    lines = [line for line in path.read_text().splitlines() if '"val"' not in line or '"fear"' not in line]
    path.write_text("\n".join(lines))
    bench.index(source)
    report = bench.validate(expected={"made/test": 20, "made/train": 14})
    assert report.warnings == [
        "official_count_made/test: made/test: 14 labelled faces, the benchmark has 20 (validate.expected)",
        "classes_present_val: val has no face of fear "
        "(neutral 2, happy 2, sad 2, surprise 2, fear 0, disgust 2, anger 2)",
    ]


def test_empty_split_stops(bench: Bench) -> None:
    """T08."""
    bench.index(make_class_folders(bench.root), holdout=0.0)
    with pytest.raises(DataContractError, match=r"splits_filled: a split is empty: val; see index\.sources"):
        bench.validate()
    assert len(bench.valid()) == 28


def test_benchmark_without_a_sound_row_stops_with_its_first_files(bench: Bench) -> None:
    """T01, T08."""
    source = make_generic(bench.root, faces=4)
    for picture in bench.root.glob("made/*/*.webp"):
        picture.write_bytes(b"")
    bench.index(source)
    with pytest.raises(
        DataContractError, match=r"(?s)a split is empty: train, val, test.*budget: 12 of 12 rows are bad"
    ):
        bench.validate()
    assert bench.valid() == []


def test_altered_picture_missing_picture_and_bad_box_are_bad_rows(bench: Bench) -> None:
    """T14."""
    source = make_generic(bench.root)
    path = bench.root / "made/labels.jsonl"
    write(bench.root / "made/box.webp", encoded(texture(990), ".webp"))
    write(bench.root / "made/flat.webp", encoded(texture(991), ".webp"))
    both = {"points": face_points(9).tolist(), "expression": "sad"}
    for name in ("other.webp", "clipped.webp", "sized.webp"):
        write(bench.root / "made" / name, encoded(texture(len(name)), ".webp"))
    tight = [*face_points(9).min(axis=0), *face_points(9).max(axis=0)]
    extra = [
        label_line("other.webp", "train", box=[tight[0], tight[1], (tight[0] + tight[2]) / 2, tight[3]], **both),
        label_line("sized.webp", "train", box=[tight[0], tight[1], tight[2] - tight[0], tight[3] - tight[1]], **both),
        label_line("clipped.webp", "train", box=[tight[0], tight[1] + 1, tight[2], tight[3]], **both),
        label_line("box.webp", "train", expression="sad", box=[10, 10, 200, 60]),
        label_line("flat.webp", "train", expression="sad", box=[30, 10, 20, 60]),
    ]
    path.write_text("\n".join([path.read_text().strip(), *extra]))
    bench.index(source)
    write(bench.root / "made/train/000.webp", encoded(texture(992), ".webp"))
    (bench.root / "made/train/001.webp").unlink()
    bench.validate(budget=0.5)
    found = bench.quarantine()
    assert found["made/train/000.webp"][1].startswith("altered")
    assert found["made/train/001.webp"][1].startswith("missing_picture")
    assert found["made/box.webp"] == ("box_sane", "box: reaches 2.13 picture sizes beyond the picture")
    assert found["made/other.webp"][0] == "box_holds_points"
    assert found["made/other.webp"][1].startswith("box and tight box of the points overlap by 0.")
    assert found["made/sized.webp"][1] == "box: gives the size of the points where their second corner belongs"
    assert "made/clipped.webp" not in found
    assert found["made/flat.webp"][1].startswith("box: -10 x 50 pixels")


def test_record_id_used_twice_stops(bench: Bench) -> None:
    records = bench.index(make_generic(bench.root))
    write_manifest(bench.root / "artifacts/manifest.parquet", [*records, records[3]])
    with pytest.raises(DataContractError, match=r"records_unique: 2 rows.*`made/train/003\.webp` is used twice"):
        bench.validate()
