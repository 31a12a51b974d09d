import os
import zipfile
from pathlib import Path

import model
from model.storage import digest_file
from supply.bill import build_wheel, head, write_bill


def test_the_bill_names_every_package_and_obeys_the_schema(root: Path, tmp_path: Path):
    """T46."""
    bill = write_bill(root, tmp_path / "bill.json")
    names = {item["name"]: item.get("version") for item in bill["components"]}
    assert {"torch", "numpy", "kfp", "torchserve"} <= names.keys()
    assert bill["metadata"]["component"]["name"] == "residual-mtl"
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert all(item["purl"].startswith("pkg:pypi/") for item in bill["components"] if item["name"] in ("torch", "kfp"))


def test_a_wheel_built_twice_is_the_same_to_the_byte(root: Path, tmp_path: Path):
    """T46."""
    commit = head(root)
    first = build_wheel(root, tmp_path / "first", commit=commit)
    before = os.umask(0o077)
    try:
        second = build_wheel(root, tmp_path / "second", commit=commit)
    finally:
        os.umask(before)
    assert digest_file(first) == digest_file(second)
    assert first.name == second.name == f"residual_mtl-{model.__version__}-py3-none-any.whl"
    names = zipfile.ZipFile(first).namelist()
    assert {"model/serving/log4j2.xml", "model/serving/face_handler.py", "components/train.py"} <= set(names)
    assert not any(name.startswith(("tests/", "benchmarks/", "supply/", "data/")) for name in names)
