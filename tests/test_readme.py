"""The README's two commands, run as a new user runs them: in a fresh clone, without the environment."""

import os
import re
import subprocess
from pathlib import Path

import pytest


def commands(readme: Path) -> list[str]:
    """Lines of the first code block."""
    block = re.search(r"```bash\n(.*?)```", readme.read_text(), flags=re.DOTALL)
    assert block is not None
    return [line.split("#")[0].strip() for line in block.group(1).splitlines()]


def test_the_readme_begins_with_the_two_commands(root: Path) -> None:
    assert commands(root / "README.md") == ["make demo", "make test"]


def test_each_make_target_of_the_documents_exists(root: Path) -> None:
    """T47."""
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), flags=re.MULTILINE))
    for page in [*root.glob("*.md"), *root.glob("docs/*.md")]:
        named = set(re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", page.read_text(), flags=re.MULTILINE))
        assert {name for pair in named for name in pair if name} <= targets, page


@pytest.mark.demo
@pytest.mark.timeout(2400)
def test_make_demo_serves_an_answer_in_a_fresh_clone(root: Path, tmp_path: Path) -> None:
    """T47. `make test` is what runs this test, so it is not run again inside."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(root), str(clone)], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "RMTL_"))}
    result = subprocess.run(
        commands(root / "README.md")[0].split(), cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert '"expression":{"neutral":' in result.stdout.replace(" ", "")
    assert "test/nme_interocular" in result.stdout
    assert (clone / "artifacts/demo/drawn/face.png").is_file()
    assert '"image":"artifacts/demo/astronaut.png","faces":[{' in result.stdout
    assert (clone / "reports/astronaut.png").is_file()
    assert (clone / "reports/evaluation.html").is_file()
    assert subprocess.run(["pgrep", "-f", str(clone)], check=False, capture_output=True).returncode == 1
