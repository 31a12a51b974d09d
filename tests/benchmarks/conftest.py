"""A project with a recipe of two small restricted sources and a sample, and untrained weights to measure on them."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from model.config import Config
from tests.data.layouts import make_class_folders, make_generic, make_w300
from tests.untrained import make_weights

RECIPE = "two-sources"


class Project:
    """A folder to run the measuring scripts in; `data` holds the recipe's sources, `bundled` the sample."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data, self.bundled, self.weights = root / "benchmarks", root / "data", root / "weights"

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`python -m benchmarks.<script>` there."""
        command = [sys.executable, "-m", f"benchmarks.{script}", *arguments]
        environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, root: Path, config: Config) -> Project:
    made = Project(tmp_path_factory.mktemp("project"))
    sources = [make_w300(made.data, faces=3), make_class_folders(made.data, faces=1)]
    make_generic(made.bundled, faces=7)
    (made.bundled / "made").rename(made.bundled / "sample")
    values = {
        "index.sources": [source.model_dump(mode="json") for source in sources],
        "evaluate.bootstrap": 20,
        "evaluate.drawn": 2,
        "validate.shape_distance": 1.0,
    }
    (made.root / "params.yaml").write_text((root / "params.yaml").read_text())
    (made.root / "recipes").mkdir()
    (made.root / f"recipes/{RECIPE}.yaml").write_text(yaml.safe_dump(values))
    make_weights(config, made.weights, seed=0)
    return made
