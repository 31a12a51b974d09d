"""Corrects labels of the bundled sample: those that the audit suspects and that the generator knows to be wrong.

The generator's record stands for the person who looks at each suspect.

Run after `rmtl audit`: python -m benchmarks.sample_corrections --out data/sample/corrections.jsonl
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.entry import run, say
from benchmarks.label_noise import true_labels
from model.cli import workspace
from model.data.manifest import read_manifest
from model.schema import EXPRESSIONS, FaceRecord
from model.storage import atomic_path, read_json

_FOLDER = "sample/"


def corrections(audit: Mapping[str, Any], records: list[FaceRecord]) -> list[dict[str, str | None]]:
    """Lines of `corrections.jsonl`, in the order of the manifest; a suspect whose label is right gets none."""
    suspected = {suspect["row"] for suspect in audit["suspects"]}
    faces = [record for record in records if record.record_id in suspected]
    found = []
    for face, number in zip(faces, true_labels(faces), strict=True):
        if face.expression != EXPRESSIONS[number]:
            image = face.image.removeprefix(_FOLDER)
            found.append({"image": image, "was": face.expression, "expression": EXPRESSIONS[number]})
    return found


def main() -> None:
    """Write the corrections of an audit."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sample_corrections", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--audit", type=Path, default=workspace.AUDIT_REPORT)
    parser.add_argument("--manifest", type=Path, default=workspace.VALID_MANIFEST)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    audit = read_json(options.audit)
    lines = corrections(audit, read_manifest(options.manifest))
    with atomic_path(options.out) as part:
        part.write_text("".join(json.dumps(line) + "\n" for line in lines))
    say(f"{len(lines)} of {len(audit['suspects'])} suspects corrected: {options.out}")


if __name__ == "__main__":
    run(main)
