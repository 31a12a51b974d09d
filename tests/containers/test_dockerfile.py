"""What can be told about the Dockerfile without an engine."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

CUDA = {"BASE_IMAGE": "python:3.12-slim-bookworm", "TORCH": "cu130"}


@pytest.mark.parametrize("variant", [{}, CUDA], ids=["cpu", "cuda"])
def test_hadolint_finds_nothing(root: Path, tmp_path: Path, variant: dict[str, str]):
    """T46."""
    text = (root / "Dockerfile").read_text()
    for name, value in variant.items():
        text, count = re.subn(rf"^ARG {name}=.*$", f"ARG {name}={value}", text, flags=re.MULTILINE)
        assert count == 1
    (tmp_path / "Dockerfile").write_text(text)
    lint = subprocess.run(["hadolint", str(tmp_path / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (lint.returncode, lint.stdout) == (0, "")


def test_the_builder_of_old_engines_understands_it(root: Path):
    text = (root / "Dockerfile").read_text()
    assert re.search(r"RUN\s+--|COPY\s+--(chmod|link|parents)|<<|^#\s*syntax", text, flags=re.MULTILINE) is None


def test_settings_of_pip_stay_in_the_build_stages(root: Path):
    """T17: an index may carry a password."""
    final = (root / "Dockerfile").read_text().partition("AS runtime")[2]
    assert "PIP_" not in final
    assert "UV_" not in final


def test_the_context_leaves_out_data_and_secrets(root: Path):
    """T17."""
    lines = (root / ".dockerignore").read_text().split("\n")
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert not any(re.search(r"data|\.env|\.dvc|artifacts", rule) for rule in rules)


def test_packages_of_the_endpoint_are_a_part_of_the_dependencies(root: Path):
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert set(project["dependency-groups"]["serve"]) < set(project["project"]["dependencies"])
