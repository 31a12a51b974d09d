"""Print answers, cut short, and the headline values of an evaluation where one is named.

Run:
    python -m benchmarks.demo_answer artifacts/demo/answer.jsonl reports/evaluation.json
"""

import json
import sys
from pathlib import Path
from typing import Any

from model.storage import read_json

SHOWN = 3


def shorten(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer with the first few of the 68 points."""
    return {**answer, "faces": [_shorten_face(face) for face in answer["faces"]]}


def _shorten_face(face: dict[str, Any]) -> dict[str, Any]:
    more = f"... {len(face['landmarks']) - SHOWN} more"
    cut = {name: [*face[name][:SHOWN], more] for name in ("landmarks", "confidence")}
    return {**face, **cut}


def main() -> None:
    """Print the files of the arguments: answers, then perhaps an evaluation."""
    for line in Path(sys.argv[1]).read_text().splitlines():
        print(json.dumps(shorten(json.loads(line)), separators=(",", ":")))  # noqa: T201
    for report in sys.argv[2:]:
        print()  # noqa: T201
        for name, value in read_json(Path(report))["summary"].items():
            print(f"{name:<28}{value:9.3f}")  # noqa: T201


if __name__ == "__main__":
    main()
