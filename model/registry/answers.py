"""From an answer to the version that gave it."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion as StoredVersion

from model.errors import ConfigError, RegistryError
from model.registry.client import Store
from model.registry.hop import Hop
from model.registry.versions import DATA_TAG, WEIGHTS_TAG, all_versions, name_of, resolve
from model.serving.schema import Origin

_HEAD = re.compile(r"[0-9a-f]{12}")
"""Head of a weights digest, which answers of weights name that no registry numbered."""


def read_answers(path: Path) -> list[Origin]:
    """The origins that a file of answers names, each once, in order.

    The file holds JSON lines of `rmtl predict --out`, or what the endpoint answered. Lines that only tell why there is
    no answer count where they name an origin.

    Raises:
        ConfigError: no such file, other content than answers, or no answer among it.
    """
    origins = [
        Origin.of(answer) for answer in _read(path) if not answer.get("error") or Origin.of(answer) != Origin("", "")
    ]
    if not origins:
        raise ConfigError(f"{path}: holds errors only, and no answer whose origin could be told")
    return list(dict.fromkeys(origins))


def find_version(store: Store, name: str, origin: Origin) -> tuple[StoredVersion | None, Hop]:
    """The version of the model `name` that an answer comes from, if it is registered, and the hop that leads there."""
    version = _version_of(store, name, origin)
    if version is None:
        problem = f"no version of {name} at {store.shown} is that; answers of registered weights can be followed"
    elif (registered := version.tags.get(DATA_TAG, "")) != origin.data_digest:
        problem = f"{name_of(version)} was registered with data {registered}"
    else:
        problem = ""
    return version, Hop("answer", str(origin), problem)


def _version_of(store: Store, name: str, origin: Origin) -> StoredVersion | None:
    if _HEAD.fullmatch(origin.version):
        found = [
            item for item in all_versions(store, name) if item.tags.get(WEIGHTS_TAG, "").startswith(origin.version)
        ]
        return max(found, key=lambda item: int(item.version), default=None)
    try:
        return resolve(store, f"models:/{name}/{origin.version}")
    except (ConfigError, RegistryError):
        return None


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        lines = path.read_text().split("\n")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {error.strerror}; give models:/name@alias, models:/name/3, a file of answers or "
            "the http address of an endpoint"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file of JSON lines: {error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield from _parse(line, f"{path}:{number}")


def _parse(line: str, where: str) -> list[Mapping[str, Any]]:
    """The answers of a line: its own, or those of a list that the endpoint gave to several pictures."""
    try:
        value = json.loads(line)
        answers = value.get("predictions", [value])
        if not all("error" in answer and isinstance(answer, dict) for answer in answers):
            raise ValueError("an answer has faces, or an error")
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ConfigError(f"{where}: no answer of `rmtl predict` or of the endpoint: {error}") from error
    return list(answers)
