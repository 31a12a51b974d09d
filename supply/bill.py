"""The bill of materials (CycloneDX) of an environment, and the wheel that anyone can build again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft7Validator
from uv import find_uv_bin

from model.errors import GateError
from model.storage import atomic_path

EPOCH = "315532800"
"""1980-01-01, the first day that a zip file can name."""


def write_bill(root: Path, out: Path) -> dict[str, Any]:
    """Write the packages of this environment, with licences and who needs whom, as CycloneDX 1.6.

    Raises:
        GateError: the bill breaks the schema.
    """
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--no-validate"]
    command += ["--pyproject", str(root / "pyproject.toml"), "--spec-version", "1.6", sys.executable]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    # The grammar of internationalised addresses takes a minute for a thousand of them.
    Draft7Validator.FORMAT_CHECKER.checkers.pop("iri-reference", None)
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise GateError(f"the bill of materials breaks its schema: {fault}")
    with atomic_path(out) as temporary:
        temporary.write_text(text)
    bill: dict[str, Any] = json.loads(text)
    return bill


def head(root: Path) -> str:
    """The commit that is checked out."""
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def build_wheel(root: Path, out: Path, *, commit: str) -> Path:
    """Build the wheel of a commit into `out`; uncommitted files do not count.

    One commit and one version of setuptools give the same bytes, whatever clock and umask.
    """
    with TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        archive = subprocess.run(["git", "-C", str(root), "archive", commit], capture_output=True, check=True).stdout
        unpack = ["tar", "--extract", "--preserve-permissions", "--directory", str(tree)]
        subprocess.run(unpack, input=archive, check=True)
        command = [find_uv_bin(), "build", "--wheel", "--no-build-isolation", "--python", sys.executable]
        command += ["--quiet", "--out-dir", str(out), str(tree)]
        # The wheel carries the modes of its files, and so the umask.
        environment = os.environ | {"SOURCE_DATE_EPOCH": EPOCH}
        subprocess.run(command, env=environment, umask=0o022, capture_output=True, check=True)
    (wheel,) = out.glob("*.whl")
    return wheel
