"""What an endpoint imports is in the dependency group that its image installs."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

PROGRAM = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in set(sys.argv[1:]):
            raise ModuleNotFoundError(f"the image has no {name}")

sys.meta_path.insert(0, Missing())
from model.serving import entry, face_handler, foreground, handler, v2
"""


def test_an_endpoint_needs_nothing_that_its_image_lacks(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())
    installed = _with_requirements(project["dependency-groups"]["serve"])
    left_out = {_plain(name) for name in project["project"]["dependencies"]} - installed
    modules = [
        module for module, names in packages_distributions().items() if {_plain(name) for name in names} & left_out
    ]
    assert {"scipy", "mlflow"} <= set(modules)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *modules], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _with_requirements(names: list[str]) -> set[str]:
    found: set[str] = set()
    left = [_plain(name) for name in names]
    while left:
        if (name := left.pop()) not in found:
            found.add(name)
            try:
                left += [_plain(item) for item in requires(name) or [] if "extra ==" not in item]
            except PackageNotFoundError:
                continue
    return found


def _plain(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-").replace(".", "-")
