"""The versions of the bundled sample, as its store holds them."""

import json
from pathlib import Path

from model.data.ingest import read_pointer
from model.data.versions import Store, is_listing, read_listing
from model.schema import EXPRESSIONS

CORRECTIONS = "sample/corrections.jsonl"
LABELS = "sample/labels.jsonl"


def test_versions_of_the_sample_differ_in_corrected_labels_alone(root: Path) -> None:
    objects = Store("bundled", root / "benchmarks/store").objects()
    listings = {digest: read_listing(path) for digest, path in objects.items() if is_listing(digest)}
    versions = {digest: files for digest, files in listings.items() if LABELS in files}
    now = versions.pop(read_pointer((root / "data.dvc").read_text(), origin="data.dvc"))
    (former,) = versions.values()
    assert {name: md5 for name, md5 in now.items() if name != CORRECTIONS} == former
    assert all(md5 in objects for md5 in now.values())


def test_corrections_are_of_training_faces_and_change_the_label(root: Path) -> None:
    """Held-out and test labels are exact; what is measured on them stays comparable over versions."""
    lines = [json.loads(line) for line in (root / "data" / CORRECTIONS).read_text().splitlines()]
    assert lines
    for line in lines:
        assert line["image"].startswith("train.tar!")
        assert {line["was"], line["expression"]} < set(EXPRESSIONS)
        assert line["was"] != line["expression"]
