"""Kustomizations as `kubectl` renders them, and the pods that come of them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBECTL = Path(sys.executable).parent / "kubectl"

Object = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod of an object: its labels as its controller sets them, and its spec with all containers in `containers`."""

    owner: Object
    labels: dict[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def kustomizations() -> list[str]:
    """Folders with a kustomization, less the one that needs secrets."""
    found = (path.parent.relative_to(DEPLOY).as_posix() for path in DEPLOY.rglob("kustomization.yaml"))
    return sorted(name for name in found if name != "secrets")


def render(folder: Path) -> list[Object]:
    """The objects of a kustomization; a wrong field or file fails here."""
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "deprecated" not in done.stderr, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def render_secrets(into: Path, values: dict[str, str]) -> list[Object]:
    """The secrets, made of filled copies of the committed examples."""
    folder = into / "secrets"
    shutil.copytree(DEPLOY / "secrets", folder)
    for example in folder.glob("*.env.example"):
        lines = example.read_text().splitlines()
        filled = [f"{line}{values.get(line[:-1], 'x')}" for line in lines if line.endswith("=")]
        example.with_suffix("").write_text("\n".join(filled))
    return render(folder)


def everything() -> list[Object]:
    """All objects of all kustomizations that render; a test of each tells the others."""
    found: list[Object] = []
    for name in kustomizations():
        with suppress(AssertionError):
            found += render(DEPLOY / name)
    return found


def pods(objects: list[Object]) -> Iterator[Pod]:
    """What runs in the end."""
    for item in objects:
        if item["kind"] == "InferenceService":
            predictor = item["spec"]["predictor"]
            set_by_kserve = {"serving.kserve.io/inferenceservice": item["metadata"]["name"]}
            spec = predictor if "containers" in predictor else predictor | {"containers": [predictor["model"]]}
            yield Pod(item, item["metadata"].get("labels", {}) | predictor.get("labels", {}) | set_by_kserve, spec)
        elif item["kind"].endswith("TrainingRuntime"):
            for job in item["spec"]["template"]["spec"]["replicatedJobs"]:
                template = job["template"]["spec"]["template"]
                yield Pod(item, template.get("metadata", {}).get("labels", {}), template["spec"])
