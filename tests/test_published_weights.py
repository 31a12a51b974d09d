"""Published weights on their way to a user: tracked beside the data, in the store that comes with the repository."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.publish import publish
from model.cli.recipe import write_values
from model.config import Config
from tests.command import Command, contents
from tests.data.layouts import make_generic
from tests.untrained import make_weights

pytestmark = pytest.mark.dvc


def run(*command: str, cwd: Path) -> None:
    programs = {"dvc": [sys.executable, "-m", "dvc"], "git": ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]}
    done = subprocess.run([*programs[command[0]], *command[1:]], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def origin(root: Path, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository like ours, whose sources are restricted, with weights published by the documented commands."""
    project = tmp_path_factory.mktemp("origin") / "project"
    source = make_generic(project / "data", faces=2).model_copy(update={"restricted": True})
    shutil.copy(root / "params.yaml", project / "params.yaml")
    write_values(project / "params.yaml", {"index.sources": [source.model_dump(mode="json")]})
    run("git", "init", "--quiet", cwd=project)
    run("dvc", "init", "--quiet", cwd=project)
    shutil.copy(root / ".dvc/config", project / ".dvc/config")
    run("dvc", "add", "--quiet", "data", cwd=project)
    publish(make_weights(config, project / "artifacts/train", seed=0), project / "weights", kind="bf16", reports={})
    run("dvc", "add", "--quiet", "weights", cwd=project)
    run("dvc", "push", "weights.dvc", "--remote", "bundled", cwd=project)
    (project / ".gitignore").write_text("/data\n/weights\n/artifacts\n")
    run("git", "add", "--all", cwd=project)
    run("git", "commit", "--quiet", "--message", "Publish weights", cwd=project)
    return project


@pytest.fixture
def clone(origin: Path, tmp_path: Path) -> Path:
    run("git", "clone", "--quiet", str(origin), str(tmp_path / "clone"), cwd=tmp_path)
    return tmp_path / "clone"


def test_restricted_data_stay_out_of_the_store_that_holds_the_weights(rmtl: Command, origin: Path) -> None:
    result = rmtl("data", "push", "--remote", "bundled", cwd=origin)
    assert result.returncode == 2
    stored = set(contents(origin / "benchmarks/store").values())
    assert set(contents(origin / "weights").values()) <= stored
    assert not set(contents(origin / "data").values()) & stored


def test_a_fresh_clone_pulls_data_and_weights_and_asks_the_weights(
    rmtl: Command, origin: Path, clone: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "remote"
    run("dvc", "remote", "add", "elsewhere", str(elsewhere), cwd=origin)
    run("dvc", "push", "data.dvc", "--remote", "elsewhere", cwd=origin)
    run("dvc", "remote", "add", "elsewhere", str(elsewhere), cwd=clone)
    pulled = rmtl("data", "pull", "--remote", "elsewhere", cwd=clone)
    assert pulled.returncode == 0, pulled.stderr
    assert contents(clone / "data") == contents(origin / "data")
    assert contents(clone / "weights") == contents(origin / "weights")
    status = rmtl("data", "status", "--remote", "elsewhere", cwd=clone)
    assert status.returncode == 0, status.stderr
    assert status.stdout.count("up to date") + status.stdout.count("in sync") == 4

    shutil.copytree(origin / "artifacts", clone / "artifacts")
    Image.new("RGB", (64, 64), (90, 120, 90)).save(clone / "picture.png")
    answer = rmtl("predict", "picture.png", cwd=clone)
    assert answer.returncode == 0, answer.stderr
    assert "weights: weights\n" in answer.stderr


def test_dvc_alone_pulls_the_weights(clone: Path, origin: Path) -> None:
    run("dvc", "pull", "weights.dvc", cwd=clone)
    assert contents(clone / "weights") == contents(origin / "weights")
