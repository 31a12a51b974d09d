"""kfp's local cache, exact: source code belongs to the key, and bytes or effects that changed are no hit."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from kfp import dsl
from kfp.local import cache
from kfp.local.cache import LocalCache

import model
from components.step import DIGEST
from model.errors import ConfigError, StorageError
from model.source import TRAINING, digest_source
from model.storage import digest_bytes, digest_tree
from model.weights import file_digest
from pipelines.acts import ACTS, stands

OTHER_SOURCES = {
    "resolve": ["model/data/ingest.py"],
    "ingest": ["model/data/ingest.py"],
    "search-worker": ["model/search", *TRAINING],
    "choose": ["model/search", "components/pages.py"],
    "compare": ["components/pages.py"],
    "evaluate-champion": [
        "model/evaluation",
        "model/net",
        "model/data/codec.py",
        "model/data/transforms.py",
        "model/registry",
    ],
    "promote": ["model/registry"],
    "deploy": ["model/serving"],
}
"""Source of the steps that are no stage of dvc.yaml."""

TRAINS = ("train", "search-worker")

SHOWN = {
    "validate": ["components/pages.py"],
    "train": ["components/curves.py"],
    "register": ["components/pages.py"],
}
"""Source of what a step shows besides."""

_log = logging.getLogger(__name__)


class ExactCache(LocalCache):  # type: ignore[misc]
    """Answers only with what the same code made of the same inputs, and still has the bytes that it had then.

    An act is answered only while its effect stands.

    Args:
        code: what stands for the source of each step.

    Attributes:
        hits: outputs that were answered, by step.
    """

    def __init__(self, folder: Path, code: Mapping[str, str]) -> None:
        super().__init__(cache_root=str(folder))
        self._code = code
        self.hits: dict[str, list[dict[str, Any]]] = {}

    def compute_key(self, component_name: str, *arguments: Any, **named: Any) -> str:
        """kfp's own key, and the digest of the step's source; on a cluster the image's tag stands for it."""
        key = super().compute_key(component_name, *arguments, **named)
        return digest_bytes(f"{key} {self._code[step_of(component_name)]}".encode())

    def get(self, key: str) -> dict[str, Any] | None:
        """The outputs kept under a key, unless a file of theirs was altered since."""
        outputs: dict[str, Any] | None = super().get(key)
        if outputs is None:
            return None
        artifacts = {item.name: item for item in artifacts_of(outputs)}
        for artifact in artifacts.values():
            if not unaltered(artifact):
                _log.warning("%s: altered or gone since it was written; the step runs again", artifact.uri)
                return None
        step = next(item.metadata["step"] for item in artifacts.values())
        if step in ACTS and not stands(step, artifacts):
            _log.warning("%s: what it did was undone or overtaken since; it runs again", step)
            return None
        self.hits.setdefault(step, []).append(outputs)
        return outputs


def install(exact: ExactCache | None) -> None:
    """Make kfp's local runners use this cache, or none, in the present process."""
    cache.get_local_cache = lambda: exact


def refuse() -> None:
    """Let no further step begin in the present process: kfp asks for a cache before each, also where none is used."""
    cache.get_local_cache = _refused


def _refused() -> LocalCache:
    raise RuntimeError("the run was asked to end")


def artifacts_of(outputs: Mapping[str, Any]) -> Iterator[dsl.Artifact]:
    """The artifacts among a step's outputs."""
    return (value for value in outputs.values() if isinstance(value, dsl.Artifact))


def unaltered(artifact: dsl.Artifact) -> bool:
    """Whether an artifact has the digest that its step gave it."""
    try:
        return digest_tree(Path(artifact.path)) == str(artifact.metadata.get(DIGEST))
    except StorageError:
        return False


def step_of(component_name: str) -> str:
    """`comp-train-2` is the second use of step `train`."""
    return re.sub(r"-\d+$", "", component_name.removeprefix("comp-"))


def starting_from(code: Mapping[str, str], start: str) -> dict[str, str]:
    """What stands for the source of each step, with the weights that training starts from: a path tells not which.

    Raises:
        CheckpointError: there are no weights.
    """
    if not start:
        return dict(code)
    content = file_digest(Path(start))
    return {step: f"{digest} {content}" if step in TRAINS else digest for step, digest in code.items()}


def code_digests(stages: Path) -> dict[str, str]:
    """Digest of the source of each step: what its stage of dvc.yaml depends on, else what `OTHER_SOURCES` has.

    Raises:
        ConfigError: the file is missing or no DVC pipeline.
    """
    try:
        tree = yaml.safe_load(stages.read_text())["stages"]
        sources = {name: [item for item in stage["deps"] if item.startswith("model/")] for name, stage in tree.items()}
    except (OSError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ConfigError(f"{stages}: not a DVC pipeline: {error}; run in the folder of the project") from error
    sources = sources | OTHER_SOURCES
    digests = {name: digest_source(items + SHOWN.get(name, [])) for name, items in sources.items()}
    # An archive names the version of the package that may open it.
    return digests | {"package": f"{digests['package']} {model.__version__}"}
