"""The training stage in dvc.lock: the weights it left, and the parameters it read.

A version is bound to it at registration, if dvc.lock then records the registered weights; weights that came about
otherwise (a pipeline, `rmtl train` by hand) have no stage to check. Later trainings overwrite dvc.lock, so the commits
are looked into too.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from model.config import flatten
from model.registry.hop import NONE, UNKNOWN, Hop, committed, git
from model.weights import WEIGHTS_FILE, Meta

STAGE_TAG = "dvc_lock"
"""MD5 of the weights, as the training stage recorded it."""

_FILE = "dvc.lock"
_STAGE = "train"
_PARAMS = "params.yaml"
_HERE = "workspace"


@dataclass(frozen=True)
class _Stage:
    where: str
    weights: str
    params: Mapping[str, Any]


def recorded_weights(weights: Path, workspace: Path) -> str:
    """The MD5 of these weights where the workspace's dvc.lock says that its training left them, else `unknown`."""
    here = next(_stages(workspace), None)
    return here.weights if here and here.where == _HERE and here.weights == _md5(weights) else UNKNOWN


def stage_hop(tagged: str, weights: Path, meta: Meta, workspace: Path) -> Hop:
    """See that a dvc.lock, here or in a commit, records the registered weights and the parameters that made them.

    Args:
        tagged: the version's `STAGE_TAG`.
        weights: folder with the registered weights.
    """
    digest = _md5(weights)
    if tagged not in (UNKNOWN, digest):
        return Hop(_FILE, tagged, f"the registered weights have MD5 {digest}")
    broken = None
    for stage in _stages(workspace):
        if stage.weights == digest:
            hop = Hop(_FILE, f"{digest} ({stage.where})", _difference(stage, meta))
            if not hop.problem:
                return hop
            broken = broken or hop
    if broken or tagged == UNKNOWN:
        return broken or Hop(_FILE, NONE, "")
    advice = "`git checkout` the one that did, and commit it"
    return Hop(_FILE, tagged, f"no {_FILE}, here or in a commit, records these weights; {advice}")


def _stages(workspace: Path) -> Iterator[_Stage]:
    """The stage as dvc.lock has it now, then as the commits have it, newest first."""
    file = workspace / _FILE
    yield from _parse(_HERE, file.read_bytes() if file.is_file() else None)
    for commit in (git(workspace, "log", "--all", "--topo-order", "--format=%h", "--", _FILE) or b"").decode().split():
        yield from _parse(commit, committed(workspace, commit, _FILE))


def _parse(where: str, content: bytes | None) -> Iterator[_Stage]:
    try:
        stage = yaml.safe_load(content or b"")["stages"][_STAGE]
        outs = {Path(out["path"]).name: str(out["md5"]) for out in stage["outs"]}
        yield _Stage(where, outs[WEIGHTS_FILE], dict(stage["params"][_PARAMS]))
    except (yaml.YAMLError, LookupError, TypeError, ValueError):
        # A file without such a stage, or one in the middle of a merge, records nothing.
        return


def _difference(stage: _Stage, meta: Meta) -> str:
    """The first parameter that the weights do not share with the stage; empty where there is none."""
    trained = flatten(meta.config)
    for name, value in flatten(stage.params).items():
        if name in trained and trained[name] != value:
            return f"{name} is {value} in {_FILE}, the weights were trained with {trained[name]}"
    return ""


def _md5(weights: Path) -> str:
    with (weights / WEIGHTS_FILE).open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()
