"""A small project with its own data, DVC remote and quick training, in which pipelines run for real."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.cli.recipe import write_values
from pipelines.arguments import data_version
from tests.data.layouts import make_generic

QUICK = {
    "train.epochs": 1,
    "train.steps_per_epoch": 2,
    "train.batch_size": 8,
    "train.precision": "fp32",
    "evaluate.bootstrap": 5,
    "evaluate.drawn": 0,
    "register.gate.max_nme": 1e6,
    "register.gate.min_macro_f1": 0.0,
    "register.gate.simple_nme_gain": None,
    "register.gate.simple_f1_gain": None,
    # After two steps one network is as good as another: the champion must not keep the next one out.
    "register.gate.max_nme_loss": 1.0,
    "register.gate.max_f1_loss": 100.0,
    "register.gate.max_slice_nme_loss": 1.0,
    "register.gate.max_slice_f1_loss": 100.0,
    "search.trials": 2,
    "search.overrides": {},
}


@dataclass(frozen=True)
class Project:
    """A folder with params.yaml, dvc.yaml, data.dvc and a remote `store`."""

    root: Path

    def dvc(self, *arguments: str) -> None:
        """Run DVC here."""
        subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=self.root, check=True, capture_output=True)

    def push(self) -> str:
        """Take note of the data as it is; returns the version's digest."""
        self.dvc("add", "--quiet", "data")
        self.dvc("push", "--quiet")
        return data_version(self.root / "data.dvc")

    def start(self, *options: str, **environment: str) -> "subprocess.Popen[str]":
        """Begin `rmtl pipeline run`."""
        command = [sys.executable, "-m", "pipelines", "run", "--remote", "store", *options]
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        variables = {**os.environ, "PYTHONPATH": path, **environment}
        return subprocess.Popen(
            command, cwd=self.root, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *options: str, code: int = 0, **environment: str) -> "Run":
        """`rmtl pipeline run` to its end, which must come with this exit code."""
        before = self.runs()
        process = self.start(*options, **environment)
        stdout, stderr = process.communicate(timeout=600)
        assert process.returncode == code, f"{options}: exit {process.returncode}\n{stdout}\n{stderr[-6000:]}"
        (folder,) = self.runs() - before
        return Run(folder, stdout, stderr)

    def runs(self) -> set[Path]:
        """Folders of the runs so far."""
        return set((self.root / "artifacts/pipeline").glob("run-*"))


@dataclass(frozen=True)
class Run:
    """What a run left."""

    folder: Path
    stdout: str
    stderr: str

    def json(self, name: str) -> Any:
        """One of its files."""
        return json.loads((self.folder / name).read_text())

    @property
    def steps(self) -> list[str]:
        """The steps that ran, in order; the report, which always runs, is left out."""
        return [item["step"] for item in self.json("report.json")["steps"]]


def make_project(root: Path, repository: Path, *, faces: int = 14) -> Project:
    """A Git and DVC project with made faces, pushed to the folder `store`."""
    source = make_generic(root / "data", faces=faces)
    for name in ("params.yaml", "dvc.yaml"):
        (root / name).write_text((repository / name).read_text())
    (root / "recipes").symlink_to(repository / "recipes")
    write_values(root / "params.yaml", {"index.sources": [source.model_dump(mode="json")], **QUICK})
    project = Project(root)
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main"], cwd=root, check=True)
    project.dvc("init", "--quiet")
    project.dvc("remote", "add", "--quiet", "--default", "store", "store")
    (root / "store").mkdir()
    project.push()
    return project
