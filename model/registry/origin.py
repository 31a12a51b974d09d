"""Tags by which a version and its run name where the weights come from."""

import hashlib
import json
from pathlib import Path

import yaml

from model.registry.hop import UNKNOWN
from model.registry.stage import STAGE_TAG, recorded_weights
from model.storage import digest_file
from model.weights import Meta

GIT_TAG = "git_revision"
CONFIG_TAG = "config_digest"
DVC_TAG = "dvc_md5"
LOCK_TAG = "lock_digest"

DVC_FILE = "data.dvc"
LOCK_FILE = "constraints.txt"


def origin_tags(meta: Meta, weights: Path, *, data_version: str = "", workspace: Path = Path()) -> dict[str, str]:
    """Tags that lead from weights to their origin; what cannot be told in the workspace is `unknown`.

    Args:
        data_version: digest of the data version, for a step that runs where no data.dvc is; else that file's.
    """
    lock, pointer = workspace / LOCK_FILE, workspace / DVC_FILE
    recorded = dvc_md5(pointer.read_text()) if pointer.is_file() else UNKNOWN
    return {
        GIT_TAG: meta.code.get("git", UNKNOWN),
        CONFIG_TAG: config_digest(meta),
        DVC_TAG: data_version or recorded,
        LOCK_TAG: digest_file(lock) if lock.is_file() else UNKNOWN,
        STAGE_TAG: recorded_weights(weights, workspace),
    }


def run_tag(meta: Meta) -> str:
    """Name of the tag by which a run claims weights; its value is the digest of their data."""
    return f"weights.{meta.weights_digest}"


def config_digest(meta: Meta) -> str:
    """SHA-256 of the configuration that the weights were trained with."""
    return hashlib.sha256(json.dumps(meta.config, sort_keys=True).encode()).hexdigest()


def dvc_md5(text: str) -> str:
    """The digest that the text of a data.dvc names, else `unknown`."""
    try:
        return str(yaml.safe_load(text)["outs"][0]["md5"])
    except (yaml.YAMLError, LookupError, TypeError):
        return UNKNOWN
