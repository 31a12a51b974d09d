import subprocess
from pathlib import Path
from typing import Any

import pytest

from model.config import RegisterConfig
from model.data.manifest import data_digest, write_manifest
from model.registry.client import open_store
from model.registry.hop import Hop
from model.registry.lineage import Places, verify, walk
from model.registry.promotion import promote
from model.registry.registry import register_version
from model.schema import FaceRecord

HOPS = [
    *("version", "weights", "evaluation", "promotion", "run", "archive", "served"),
    *("code", "config", "lock", "dvc", "dvc.lock", "data", "manifest"),
]
RECORDS = [FaceRecord("a-1", "a", "train", "", "a/1.png", sha256="0")]


@pytest.fixture
def clone(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, in which weights are then trained."""
    (workspace / "constraints.txt").write_text("torch==2.13.0\n")
    (workspace / "data.dvc").write_text("outs:\n- md5: 0123456789abcdef.dir\n  path: data\n")
    write_manifest(workspace / "manifest.parquet", RECORDS)
    git(workspace, "init", "-q")
    git(workspace, "add", "constraints.txt", "data.dvc")
    git(workspace, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "Start")
    monkeypatch.setenv("RMTL_GIT_REVISION", git(workspace, "rev-parse", "HEAD").strip())
    return workspace


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def register(gate: RegisterConfig, cases: Any) -> str:
    register_version(gate, **cases.write("a", data=data_digest(RECORDS)))
    return f"models:/{gate.name}@challenger"


def problems(hops: list[Hop]) -> list[str]:
    return [hop.hop for hop in hops if hop.problem]


def test_every_hop_from_version_to_manifest_resolves(clone: Path, gate: RegisterConfig, cases: Any) -> None:
    """T36: version, run, commit, lock, DVC digest, manifest."""
    hops = walk(register(gate, cases), Places(clone / "manifest.parquet"))
    assert [hop.hop for hop in hops] == HOPS
    assert problems(hops) == []
    verify(hops)


def test_who_promoted_a_version_is_a_hop_that_an_altered_gate_report_breaks(
    clone: Path, gate: RegisterConfig, cases: Any
) -> None:
    address = register(gate, cases)
    assert walk(address, Places(clone / "manifest.parquet"))[3] == Hop("promotion", "none", "")
    promote(gate, who="ada", why="first")
    assert walk(address, Places(clone / "manifest.parquet"))[3] == Hop("promotion", "entry 1 by ada, no key", "")
    with open_store() as store:
        source = Path(store.client.get_model_version(gate.name, "1").source.removeprefix("file://"))
    (report,) = (source / "gate").iterdir()
    report.write_text("{}")
    assert problems(walk(address, Places(clone / "manifest.parquet"))) == ["promotion"]
