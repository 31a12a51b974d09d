"""DVC against an S3 remote: settings and tries with bounds, and why a transfer failed."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import yaml

from model.errors import ConfigError
from model.s3 import CONNECT_S, READ_S

OPTIONS: Mapping[str, str] = {"verify": "true", "connect_timeout": str(CONNECT_S), "read_timeout": str(READ_S)}
"""Settings of an S3 remote: what comes is checked against its digest, a silent server is given up (seconds)."""

TRIES: Mapping[str, str] = {"AWS_RETRY_MODE": "standard", "AWS_MAX_ATTEMPTS": "4"}
"""Tries of one request by DVC's client.

s3fs repeats all of them up to five times where an answer says SlowDown or does not come, which bounds a silent server
to five minutes; an answer to HEAD has no text to say it in, and gets these tries alone. The standard mode has a budget
for tries beyond the first, so that a server that stays down costs few of them, not some for each file.
"""


def dvc_environment() -> dict[str, str]:
    """The environment for a DVC process; variables that the user has set stay."""
    return {**TRIES, **os.environ}


def write_remote(name: str, url: str) -> None:
    """Name an S3 remote in DVC's local settings, which are never committed; keys stay in the environment.

    Args:
        url: `s3://bucket/prefix`; the endpoint comes from `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`.

    Raises:
        ConfigError: this is no DVC project.
    """
    from dvc.config import Config
    from dvc.config import ConfigError as DvcConfigError

    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    section = {"url": url, **OPTIONS, **({"endpointurl": endpoint} if endpoint else {})}
    try:
        with Config.from_cwd().edit("local") as settings:
            settings["remote"][name] = section
    except DvcConfigError as error:
        raise ConfigError(f"the remote {name} cannot be set: {error}; run in the folder of data.dvc") from error


def lack_of_room(pointer: Path) -> str:
    """That there are fewer bytes free here than the data of a pointer (data.dvc) have; empty where there are enough."""
    try:
        size = sum(int(output.get("size", 0)) for output in yaml.safe_load(pointer.read_text())["outs"])
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return ""
    folders = [folder for folder in (Path(), Path(".dvc/cache")) if folder.is_dir()]
    free, folder = min((shutil.disk_usage(folder).free, folder.resolve()) for folder in folders)
    return f"{free} bytes are free in {folder}, {pointer} has {size}; make room and run again" if free < size else ""
