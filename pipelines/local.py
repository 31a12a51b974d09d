"""Run a pipeline on this machine with kfp's own runners: a process a step, or a container a step."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import Any, Literal

from kfp import local

from components.base import IMAGE
from components.journal import PLACE, Entry, Journal
from model.errors import ConfigError, ServiceError
from model.search import STORAGE
from pipelines.cache import ExactCache, code_digests, install
from pipelines.compile import PIPELINES
from pipelines.outcome import Outcome, judge

Runner = Literal["subprocess", "docker"]

_HEAD = ("ingest", "index", "validate", "shard")
NEEDED = {
    "training": (*_HEAD, "train", "evaluate", "register", "package", "report"),
    "search": (*_HEAD, "search", "choose", "train", "evaluate", "register", "report"),
    "ablation": (*_HEAD, "train", "evaluate", "compare", "report"),
}
"""Steps without whose outputs a run has failed, by pipeline."""

RESULT = {"training": "evaluate", "search": "evaluate", "ablation": "compare"}
KEPT = {
    "evaluate": ("reports", "evaluation.json", "evaluation.json"),
    "compare": ("table", "", "comparison.json"),
    "choose": ("report", "", "search.json"),
    "report": ("document", "", "report.json"),
}
"""What is copied beside the run, by step: output, file within it, name of the copy."""

PASSED_ON = ("AWS_", "MLFLOW_", "RMTL_")
"""Beginnings of the variables that reach a container."""


def run_pipeline(short: str, arguments: Mapping[str, Any], *, runner: Runner, root: Path, cached: bool = True) -> Path:
    """Run one pipeline and return its result, `root`/<run>/evaluation.json (`comparison.json` of an ablation).

    The run's report.json lies beside it, also after a failure. A later run finds unchanged steps in `root`/cache.

    Raises:
        ConfigError: dvc.yaml or the image is missing.
        FaceError: a step failed (its exit code), or left nothing.
        ServiceError: no container engine.
    """
    root = root.resolve()
    root.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix=time.strftime("run-%Y%m%d-%H%M%S-"), dir=root))
    # A container of another user reads and writes here too.
    run.chmod(0o755)
    os.environ[PLACE] = str(run / "journal")
    os.environ.setdefault(STORAGE, f"sqlite:///{root / 'study.db'}")
    exact = ExactCache(root / "cache", code_digests(Path("dvc.yaml")))
    install(exact if cached else None)
    runners = {"subprocess": _processes, "docker": _containers}
    local.init(runner=runners[runner](), pipeline_root=str(root), raise_on_error=False, enable_caching=cached)
    with redirect_stdout(sys.stderr):
        PIPELINES[short][1](**arguments)
    entries = Journal(os.environ[PLACE]).entries()
    _keep_reports(entries, run)
    outcome = judge(entries, exact.hits, needed=NEEDED[short])
    return _keep(outcome, run, RESULT[short])


def _processes() -> local.SubprocessRunner:
    return local.SubprocessRunner(use_venv=False)


def _containers() -> local.DockerRunner:
    """Containers on the host's network, as the caller, that see this folder and nothing else, and write only there.

    Raises:
        ConfigError: the image is not there.
        ServiceError: no container engine answers.
    """
    import docker
    from docker.errors import DockerException, ImageNotFound

    try:
        with closing(docker.from_env()) as client:
            client.images.get(IMAGE)
    except ImageNotFound as error:
        raise ConfigError(f"RMTL_IMAGE={IMAGE}: no such image here; run `make images`") from error
    except (DockerException, OSError) as error:
        raise ServiceError(
            f"no container engine answers ({error}); start Docker, or use --runner subprocess"
        ) from error
    here = Path.cwd()
    places = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{here / 'mlflow.db'}",
        "MLFLOW_DEFAULT_ARTIFACT_ROOT": str(here / "mlartifacts"),
    }
    environment = {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}
    return local.DockerRunner(
        environment={**places, **environment},
        mounts=[docker.types.Mount(str(here), str(here), type="bind")],
        network_mode="host",
        read_only=True,
        shm_size="1g",
        tmpfs={"/tmp": "exec"},
        user=f"{os.getuid()}:{os.getgid()}",
    )


def _keep_reports(entries: list[Entry], run: Path) -> None:
    """Copy the run's report, which exists after a failure too."""
    for entry in entries:
        if entry.step == "report" and entry.outputs:
            shutil.copyfile(entry.outputs["document"]["uri"], run / "report.json")


def _keep(outcome: Outcome, run: Path, result: str) -> Path:
    for step, (name, file, kept) in KEPT.items():
        found = outcome.outputs.get(step, [])
        if len(found) == 1:
            shutil.copyfile(found[0][name] / file if file else found[0][name], run / kept)
    return run / KEPT[result][2]
