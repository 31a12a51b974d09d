"""The training pipeline in containers: from an empty folder and a data version on S3 to the same metrics."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from model.cli.recipe import write_values
from model.s3 import s3_client
from tests.chain import SHORT
from tests.pipelines.project import Project, Run
from tests.s3 import ACCESS, SECRET, run_server

pytestmark = [pytest.mark.container, pytest.mark.service, pytest.mark.pipeline, pytest.mark.timeout(1500)]

REMOTE = "s3://faces/store"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def places(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables of a real S3 server that holds the sample, and nothing else of it on this disk."""
    with run_server(tmp_path_factory.mktemp("s3")) as server:
        variables = {
            "AWS_ENDPOINT_URL_S3": server.url,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            s3_client.cache_clear()
            client = s3_client()
            client.create_bucket(Bucket="faces")
            store = root / "benchmarks/store"
            for path in sorted(file for file in store.rglob("*") if file.is_file()):
                client.upload_file(str(path), "faces", f"store/{path.relative_to(store)}")
            yield variables
        s3_client.cache_clear()


def empty(folder: Path, root: Path) -> Project:
    """A project without data, artifacts or registry."""
    folder.mkdir()
    for name in ("params.yaml", "dvc.yaml", "data.dvc"):
        shutil.copy(root / name, folder / name)
    shutil.copytree(root / "recipes", folder / "recipes")
    write_values(folder / "params.yaml", SHORT)
    return Project(folder)


@pytest.fixture(scope="module")
def contained(
    root: Path, places: dict[str, str], train_image: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, Run]:
    project = empty(tmp_path_factory.mktemp("contained") / "project", root)
    return project, project.run("--runner", "docker", "--remote", REMOTE, RMTL_IMAGE=train_image, **places)


def test_containers_give_the_metrics_and_the_weights_of_processes(
    contained: tuple[Project, Run], root: Path, places: dict[str, str], tmp_path: Path
) -> None:
    """T16: those of stages, and of the commands that they are, are compared with processes in tests/test_chain.py."""
    project = empty(tmp_path / "project", root)
    expected = project.run("--remote", REMOTE, **places).json("evaluation.json")
    piped = contained[1].json("evaluation.json")
    assert piped["weights_digest"] == expected["weights_digest"]
    assert piped["summary"].keys() == expected["summary"].keys()
    for name, value in expected["summary"].items():
        assert piped["summary"][name] == pytest.approx(value, abs=1e-6), name


def test_an_unchanged_rerun_starts_no_container_but_the_report(
    contained: tuple[Project, Run], places: dict[str, str], train_image: str
) -> None:
    """T12."""
    again = contained[0].run("--runner", "docker", "--remote", REMOTE, RMTL_IMAGE=train_image, **places)
    assert again.steps == []


def test_no_secret_is_left_behind(contained: tuple[Project, Run]) -> None:
    """T17."""
    project, run = contained
    assert SECRET not in run.stdout + run.stderr
    for path in project.root.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


@pytest.fixture
def start(contained: tuple[Project, Run], places: dict[str, str], train_image: str) -> Callable[..., Any]:
    """`start(*options)` begins a training in a container that would not end by itself."""

    def begin(*options: str) -> "subprocess.Popen[str]":
        endless = ("--set", "train.steps_per_epoch=100000")
        return contained[0].start(
            "--runner", "docker", "--remote", REMOTE, *endless, *options, RMTL_IMAGE=train_image, **places
        )

    return begin


def test_a_killed_container_fails_the_run_whatever_the_runner_says(
    contained: tuple[Project, Run], engine: docker.DockerClient, start: Callable[..., Any], train_image: str
) -> None:
    before = contained[0].runs()
    process = start()
    _training(engine, train_image, process, 1)[0].kill()
    _, stderr = process.communicate(timeout=300)
    assert process.returncode not in (0, None)
    assert "step train left no trace" in stderr
    (run,) = contained[0].runs() - before
    assert not (run / "evaluation.json").exists()


def test_sigterm_ends_the_containers_of_rows_and_rows_that_wait_for_their_place(
    engine: docker.DockerClient, start: Callable[..., Any], train_image: str
) -> None:
    """T18: kfp runs two rows of an ablation at once, and would wait for both, and for the third."""
    process = start("--pipeline", "ablation", "--rows", "row-hard-sharing", "row-residual", "row-association")
    _training(engine, train_image, process, 2)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert _running(engine, train_image, "train") == []


def _training(engine: docker.DockerClient, image: str, process: "subprocess.Popen[str]", number: int) -> list[Any]:
    """So many containers that train, once they do."""
    deadline = time.monotonic() + 300
    while len(training := _running(engine, image, "train")) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return training


def _running(engine: docker.DockerClient, image: str, step: str) -> list[docker.models.containers.Container]:
    running = engine.containers.list(filters={"ancestor": image})
    return [item for item in running if step in item.attrs["Config"]["Cmd"]]
