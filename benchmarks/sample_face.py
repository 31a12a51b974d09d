"""Take one face out of the sample benchmark's test split, as a picture file to ask the endpoint about.

Run:
    python -m benchmarks.sample_face artifacts/demo/face.png
"""

import io
import json
import sys
from pathlib import Path

from PIL import Image

from model.storage import atomic_path, read_bytes

SAMPLE = Path("data/sample")
SMALLEST = 100


def sample_face() -> Image.Image:
    """The first uncovered happy face of the test split in colour size.

    Raises:
        LookupError: the benchmark has no such face.
    """
    for line in (SAMPLE / "labels.jsonl").read_text().splitlines():
        label = json.loads(line)
        if label["split"] == "test" and label["expression"] == "happy" and label["facts"]["occluder"] == "none":
            picture = Image.open(io.BytesIO(read_bytes(label["image"], SAMPLE)))
            if picture.width >= SMALLEST:
                return picture
    raise LookupError(f"{SAMPLE}/labels.jsonl: no uncovered happy face of {SMALLEST} px in the test split")


def main() -> None:
    """Write the face to the path of the first argument."""
    with atomic_path(Path(sys.argv[1])) as temporary:
        sample_face().save(temporary, format="PNG")


if __name__ == "__main__":
    main()
