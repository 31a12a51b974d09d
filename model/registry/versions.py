"""Reading versions back: addresses and weights, checked against the digests in the version's tags.

Of a version's artifacts only `weights.safetensors`, `meta.json` and the JSON files of `model.registry.reports` are ever
fetched, by name.
"""

import errno
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import requests
from mlflow.entities.model_registry import ModelVersion as StoredVersion
from mlflow.exceptions import MlflowException

from model.errors import CheckpointError, ConfigError, MissingVersionError, RegistryError, StorageError
from model.registry.client import OUT_OF_REACH, Store, open_store
from model.storage import FULL, atomic_path, digest_file
from model.weights import META_FILE, WEIGHTS_FILE, Meta, load_weights

CHAMPION = "champion"
CHALLENGER = "challenger"
WEIGHTS_TAG = "weights_digest"
META_TAG = "meta_digest"
DATA_TAG = "data_digest"
GATE_TAG = "gate"
IDENTITY_TAG = "identity"
MODEL_TAG = "logged_model"
"""MLflow itself does not tell which logged model a version was made from."""

_URI = re.compile(r"^models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))$")


def fetch(uri: str, into: Path) -> Path:
    """Download the weights of `models:/name@alias` or `models:/name/3` into a folder, checked before it appears.

    Raises:
        ConfigError: a malformed address.
        RegistryError: no such version, not registered by `rmtl register`, or its bytes are not the tagged ones.
        ServiceError: MLflow is out of reach.
    """
    if into.exists() and any(path.name not in (META_FILE, WEIGHTS_FILE) for path in into.iterdir()):
        raise RegistryError(f"{into}: holds other files than weights, which would be lost; choose an empty folder")
    with open_store() as store:
        version = resolve(store, uri)
        with atomic_path(into) as folder:
            folder.mkdir()
            download_weights(store, version, folder)
    return into


def resolve(store: Store, uri: str) -> StoredVersion:
    """The version behind an address.

    Raises:
        ConfigError: a malformed address.
        MissingVersionError: nothing there.
    """
    match = _URI.match(uri)
    if match is None:
        raise ConfigError(f"{uri}: not a model address; write models:/name@alias or models:/name/3")
    name, alias = match["name"], match["alias"]
    try:
        if alias:
            return store.client.get_model_version_by_alias(name, alias)
        return store.client.get_model_version(name, match["version"])
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise MissingVersionError(f"{uri}: MLflow at {store.shown} has no such version; see `rmtl history`") from error


def all_versions(store: Store, name: str | None = None) -> Iterator[StoredVersion]:
    """Every version of a model, or of all models."""
    token = None
    while True:
        query = None if name is None else f"name = '{name}'"
        page = store.client.search_model_versions(query, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def download_weights(store: Store, version: StoredVersion, folder: Path) -> Meta:
    """Both files of a version in `folder`, checked against its tags.

    Raises:
        RegistryError: an unsigned version, a missing file, or other bytes than were registered.
    """
    where = name_of(version)
    if WEIGHTS_TAG not in version.tags or META_TAG not in version.tags:
        raise RegistryError(f"{where}: carries no digests, so nothing of it is loaded; register it by `rmtl register`")
    for file in (META_FILE, WEIGHTS_FILE):
        download_file(store, version, file, folder)
    found = {META_TAG: digest_file(folder / META_FILE), WEIGHTS_TAG: digest_file(folder / WEIGHTS_FILE)}
    for tag, digest in found.items():
        if digest != version.tags[tag]:
            raise RegistryError(
                f"{where}: {tag} of the stored file is {digest[:12]}, registered was {version.tags[tag][:12]}; "
                "the artifact was altered: do not use it, register the weights again"
            )
    try:
        return load_weights(folder)[1]
    except CheckpointError as error:
        raise RegistryError(f"{where}: {error}") from error


def identity(meta: Meta) -> str:
    """Digest of what decides a version's answers: weights, network, mean shape, temperature and conventions."""
    deciding = [meta.weights_digest, meta.net.model_dump(mode="json"), meta.mean_shape, meta.temperature]
    # Where there is none, the digest is that of versions from before there could be any.
    deciding += [item.model_dump(mode="json") | {"name": name} for name, item in sorted(meta.conventions.items())]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def download_file(store: Store, version: StoredVersion, file: str, folder: Path) -> Path:
    """One file of a version's artifacts.

    Raises:
        RegistryError: it is not there.
        StorageError: the disk is full.
    """
    try:
        return store.download(str(version.source), file, folder)
    except (OSError, MlflowException) as error:
        if is_missing(error):
            what = f"{name_of(version)}: has no {file} among its artifacts; register it again"
            raise RegistryError(what) from error
        if isinstance(error, OSError) and error.errno in FULL:
            raise StorageError(f"{folder / file}: {error.strerror}; make room and run again") from error
        raise


def is_missing(error: OSError | MlflowException) -> bool:
    """Whether a download failed because nothing is there, not because of a server or a disk."""
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code == 404
    if isinstance(error, MlflowException):
        return error.error_code not in OUT_OF_REACH
    # MLflow raises an OSError without number for a file that is not in a folder.
    return not isinstance(error, requests.RequestException) and error.errno in (None, errno.ENOENT)


def name_of(version: StoredVersion) -> str:
    """The address of a version."""
    return f"models:/{version.name}/{version.version}"
