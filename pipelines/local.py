"""Run a pipeline on this machine with kfp's own runners: a process a step, or a container a step."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import psutil
from kfp import local

from components.journal import PLACE, RUN, Entry, Journal
from components.pages import run_report
from model.cli.workspace import DEPLOYMENT
from model.errors import FaceError
from model.search import STORAGE
from model.storage import atomic_path, read_json, write_json
from pipelines import containers
from pipelines.acts import cache_acts
from pipelines.cache import ExactCache, code_digests, install, refuse, starting_from
from pipelines.compile import PIPELINES
from pipelines.outcome import Outputs, judge, require

Runner = Literal["subprocess", "docker"]

_HEAD = ("resolve", "ingest", "index", "validate", "shard")
NEEDED = {
    "training": (*_HEAD, "train", "evaluate", "evaluate-champion", "register", "package", "promote", "report"),
    "search": (*_HEAD, "search", "choose", "train", "evaluate", "evaluate-champion", "register", "report"),
    "ablation": (*_HEAD, "train", "evaluate", "compare", "report"),
}
"""Steps without whose outputs a run has failed, by pipeline; `promote` where the gate says pass."""

RESULT = {"training": "evaluate", "search": "evaluate", "ablation": "compare"}
KEPT = {
    "evaluate": ("reports", "evaluation.json", "evaluation.json"),
    "compare": ("table", "", "comparison.json"),
    "choose": ("report", "", "search.json"),
    "deploy": ("deployment", "", "deployment.json"),
}
"""What is copied beside the run, by step: output, file within it, name of the copy."""


def run_pipeline(short: str, arguments: Mapping[str, Any], *, runner: Runner, root: Path, cached: bool = True) -> Path:
    """Run one pipeline and return its result, `root`/<run>/evaluation.json (`comparison.json` of an ablation).

    The run's report.json lies beside it, also after a failure. A later run finds unchanged steps in `root`/cache.

    Raises:
        ConfigError: dvc.yaml or the image is missing.
        FaceError: a step failed (its exit code), or left nothing.
        ServiceError: no container engine.
    """
    root = root.resolve()
    run = _begin(root)
    if runner == "docker":
        code = containers.code_digests(Path("dvc.yaml"))
        chosen: Any = containers.runner(run.name, remote=str(arguments["remote"]))
    else:
        code, chosen = code_digests(Path("dvc.yaml")), local.SubprocessRunner(use_venv=False)
    exact = ExactCache(root / "cache", starting_from(code, str(arguments["train"]["start_from"])))
    install(exact if cached else None)
    cache_acts(PIPELINES[short][1])
    local.init(runner=chosen, pipeline_root=str(root), raise_on_error=True, enable_caching=cached)
    with _leaving_nothing(runner, run.name):
        failure = _call(PIPELINES[short][1], arguments)
    entries = Journal(str(run / "journal")).entries()
    _keep_report(entries, run, failure, who=str(arguments["who"]))
    outputs = judge(entries, exact.hits)
    require(outputs, NEEDED[short], target=str(arguments.get("target", "none")))
    if failure:
        raise FaceError(f"{run}: every step left its outputs, yet the runner says: {failure}; its log is above")
    return _keep(outputs, run, RESULT[short])


def _begin(root: Path) -> Path:
    """A new folder for this run, and what its steps find in their environment."""
    root.mkdir(parents=True, exist_ok=True)
    run = Path(tempfile.mkdtemp(prefix=time.strftime("run-%Y%m%d-%H%M%S-"), dir=root))
    # A container of another user reads and writes here too.
    run.chmod(0o755)
    os.environ[PLACE] = str(run / "journal")
    os.environ.pop(RUN, None)
    os.environ.setdefault(STORAGE, f"sqlite:///{root / 'study.db'}")
    return run


def _call(pipeline: Any, arguments: Mapping[str, Any]) -> str:
    """What the runner says of a failure; empty for none."""
    try:
        with redirect_stdout(sys.stderr):
            pipeline(**arguments)
    except Exception as error:  # noqa: BLE001 - it is weighed against what the steps left
        return str(error) or type(error).__name__
    return ""


@contextmanager
def _leaving_nothing(runner: Runner, run: str) -> Iterator[None]:
    """End what a run that is broken off leaves: kfp ends neither its processes nor its containers.

    At SIGTERM they end first: kfp would wait for steps that run, and then for those that wait for their place.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        refuse()
        _end_steps(runner, run)
        sys.exit(128 + number)

    former = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        _end_steps(runner, run)
        signal.signal(signal.SIGTERM, former)


def _end_steps(runner: Runner, run: str) -> None:
    if runner == "docker":
        containers.stop(run)
        return
    left = psutil.Process().children(recursive=True)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=10)


def _keep_report(entries: list[Entry], run: Path, failure: str, *, who: str) -> None:
    """The report that the last step wrote, or one made here where the runner fell over before."""
    written = [entry.outputs["document"]["uri"] for entry in entries if entry.step == "report" and entry.outputs]
    if written:
        shutil.copyfile(written[-1], run / "report.json")
    else:
        write_json(run / "report.json", run_report(entries, state="FAILED", error=failure, who=who))


def _keep(outputs: Outputs, run: Path, result: str) -> Path:
    for step, (name, file, kept) in KEPT.items():
        found = outputs.get(step, [])
        if len(found) == 1:
            with atomic_path(run / kept) as temporary:
                shutil.copyfile(found[0][name] / file if file else found[0][name], temporary)
    if outputs.get("deploy"):
        # Where `rmtl deploy` would have written it, and `rmtl lineage` looks.
        write_json(DEPLOYMENT, read_json(run / KEPT["deploy"][2]))
    return run / KEPT[result][2]
