"""Reading versions back: addresses, weights and evaluations, each checked against the digests in its tags.

Of a version's artifacts only `weights.safetensors`, `meta.json` and `evaluations/*.json` are ever fetched, by name.
"""

import re
import tempfile
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion as StoredVersion
from mlflow.exceptions import MlflowException
from pydantic import TypeAdapter, ValidationError

from model.errors import CheckpointError, RegistryError, StorageError
from model.registry.client import Store, open_store
from model.schema import EvaluationReport
from model.storage import atomic_path, digest_file, read_json
from model.weights import META_FILE, WEIGHTS_FILE, Meta, load_weights

CHAMPION = "champion"
CHALLENGER = "challenger"
WEIGHTS_TAG = "weights_digest"
META_TAG = "meta_digest"
DATA_TAG = "data_digest"
GATE_TAG = "gate"
EVALUATION_TAG = "evaluation"
"""Data digest of the latest evaluation; `evaluation.<data digest>` is the SHA-256 of each one's file."""

_URI = re.compile(r"^models:/(?P<name>[^/@]+)(@(?P<alias>[^/@]+)|/(?P<version>[0-9]+))$")
_REPORT = TypeAdapter(EvaluationReport)


def fetch(uri: str, into: Path) -> Path:
    """Download the weights of `models:/name@alias` or `models:/name/3` into a folder, checked before it appears.

    Raises:
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
        RegistryError: malformed, or nothing there.
    """
    match = _URI.match(uri)
    if match is None:
        raise RegistryError(f"{uri}: not a model address; write models:/name@alias or models:/name/3")
    name, alias = match["name"], match["alias"]
    try:
        if alias:
            return store.client.get_model_version_by_alias(name, alias)
        return store.client.get_model_version(name, match["version"])
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise RegistryError(f"{uri}: MLflow at {store.shown} has no such version; see `rmtl history`") from error


def download_weights(store: Store, version: StoredVersion, folder: Path) -> Meta:
    """Both files of a version in `folder`, checked against its tags.

    Raises:
        RegistryError: an unsigned version, a missing file, or other bytes than were registered.
    """
    where = _name(version)
    if WEIGHTS_TAG not in version.tags or META_TAG not in version.tags:
        raise RegistryError(f"{where}: carries no digests, so nothing of it is loaded; register it by `rmtl register`")
    for file in (META_FILE, WEIGHTS_FILE):
        _download(store, version, file, folder)
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


def read_report(path: Path) -> EvaluationReport:
    """An evaluation from its file.

    Raises:
        RegistryError: missing or malformed.
    """
    try:
        report = _REPORT.validate_python(read_json(path))
    except (ValidationError, StorageError) as error:
        raise RegistryError(f"{path}: not an evaluation: {error}; run `rmtl evaluate`") from error
    if not re.fullmatch(r"[\w-]{1,64}", report.data_digest):
        raise RegistryError(f"{path}: data_digest {report.data_digest!r} is not a digest; run `rmtl evaluate`")
    return report


def stored_report(store: Store, version: StoredVersion, data_digest: str | None = None) -> EvaluationReport:
    """A version's evaluation on this data, else its latest one.

    Raises:
        RegistryError: it has none, or the file is not the registered one.
    """
    latest = version.tags.get(EVALUATION_TAG, "")
    data = data_digest if data_digest and report_tag(data_digest) in version.tags else latest
    expected = version.tags.get(report_tag(data))
    if expected is None:
        raise RegistryError(f"{_name(version)}: has no evaluation; register it again by `rmtl register`")
    with tempfile.TemporaryDirectory() as scratch:
        path = _download(store, version, report_file(data), Path(scratch))
        if digest_file(path) != expected:
            raise RegistryError(f"{_name(version)}: {report_file(data)} was altered; evaluate and register again")
        return read_report(path)


def report_tag(data_digest: str) -> str:
    """Name of the tag that holds the digest of an evaluation on this data."""
    return f"{EVALUATION_TAG}.{data_digest}"


def report_file(data_digest: str) -> str:
    """Place of an evaluation among a version's artifacts."""
    return f"evaluations/{data_digest}.json"


def _download(store: Store, version: StoredVersion, file: str, folder: Path) -> Path:
    try:
        return store.download(str(version.source), file, folder)
    except (OSError, MlflowException) as error:
        if isinstance(error, MlflowException) and error.error_code == "INTERNAL_ERROR":
            raise
        raise RegistryError(f"{_name(version)}: has no {file} among its artifacts; register it again") from error


def _name(version: StoredVersion) -> str:
    return f"models:/{version.name}/{version.version}"
