"""What is kept with a version beside its weights: evaluations, comparisons, the gate's report; each with its digest."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from mlflow.entities.model_registry import ModelVersion as StoredVersion
from pydantic import TypeAdapter, ValidationError

from model.errors import RegistryError, StorageError
from model.evaluation.comparison import Comparison, read_comparison
from model.registry.client import Store
from model.registry.versions import MODEL_TAG, WEIGHTS_TAG, download_file, name_of
from model.schema import EvaluationReport
from model.storage import digest_file, read_json, write_json

GATE_REPORT_TAG = "gate_report"
EVALUATION_TAG = "evaluation"
"""Data digest of the latest evaluation; `evaluation.<data digest>` is the SHA-256 of each one's file."""

_REPORT = TypeAdapter(EvaluationReport)


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
        raise RegistryError(f"{name_of(version)}: has no evaluation; register it again by `rmtl register`")
    with tempfile.TemporaryDirectory() as scratch:
        path = download_file(store, version, report_file(data), Path(scratch))
        if digest_file(path) != expected:
            raise RegistryError(f"{name_of(version)}: {report_file(data)} was altered; evaluate and register again")
        return read_report(path)


def stored_comparison(store: Store, version: StoredVersion, champion: EvaluationReport) -> Comparison | None:
    """A version's comparison with these weights on this data; None where none was registered.

    Raises:
        RegistryError: the file is not the registered one.
    """
    weights = version.tags.get(WEIGHTS_TAG, "")
    where = comparison_place(Comparison(weights, champion.weights_digest, champion.data_digest, 0.0, []))
    expected = version.tags.get(where)
    if expected is None:
        return None
    with tempfile.TemporaryDirectory() as scratch:
        path = download_file(store, version, f"{where}.json", Path(scratch))
        if digest_file(path) != expected:
            raise RegistryError(f"{name_of(version)}: {where}.json was altered; compare and register again")
        return read_comparison(path)


def comparison_place(comparison: Comparison) -> str:
    """File of a comparison among a version's artifacts, less its ending, and the tag with its digest."""
    return f"comparisons/{comparison.data_digest}/{comparison.champion_digest}"


def keep_file(store: Store, version: StoredVersion, source: Path, place: str, tag: str) -> None:
    """Put a file among a version's artifacts, and its digest into a tag; nothing is done where it is there already."""
    digest = digest_file(source)
    if version.tags.get(tag) == digest:
        return
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / place
        copy.parent.mkdir(parents=True)
        shutil.copyfile(source, copy)
        store.client.log_model_artifacts(version.tags[MODEL_TAG], scratch)
    store.client.set_model_version_tag(version.name, version.version, tag, digest)


def report_tag(data_digest: str) -> str:
    """Name of the tag that holds the digest of an evaluation on this data."""
    return f"{EVALUATION_TAG}.{data_digest}"


def report_file(data_digest: str) -> str:
    """Place of an evaluation among a version's artifacts."""
    return f"evaluations/{data_digest}.json"


def add_gate_report(store: Store, version: StoredVersion, content: Any) -> str:
    """Keep why the gate let a version through among its artifacts, and return the digest that names the file."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "gate.json"
        write_json(path, content)
        digest = digest_file(path)
        keep_file(store, version, path, _gate_file(digest), GATE_REPORT_TAG)
    return digest


def check_gate_report(store: Store, version: StoredVersion, digest: str) -> None:
    """See that the gate's report is the one of that digest; there is none to see where the digest is empty.

    Raises:
        RegistryError: it is gone or was altered.
    """
    if not digest:
        return
    with tempfile.TemporaryDirectory() as scratch:
        if digest_file(download_file(store, version, _gate_file(digest), Path(scratch))) != digest:
            raise RegistryError(f"{name_of(version)}: {_gate_file(digest)} was altered; promote the version again")


def _gate_file(digest: str) -> str:
    return f"gate/{digest}.json"
