"""Accepting a validated version: later ones are compared with its profile."""

from pathlib import Path
from typing import Any

from model.config.data import ValidateConfig
from model.data.validate.drift import reference_of
from model.errors import DataContractError, StorageError
from model.storage import read_json, write_json


def accept_version(config: ValidateConfig, *, report: Path, data: Path) -> Path:
    """Write the profile of the version that `report` describes to `drift.reference` below `data`; returns the file.

    Drift does not stand in the way: accepting is how one says that it is wanted.

    Raises:
        DataContractError: no report, or the version is over budget or failed a rule of kind `stop`.
    """
    told = _read(report)
    failed = [rule["rule"] for rule in told["rules"] if rule["kind"] == "stop" and not rule["passed"]]
    bad = sum(rule["quarantined"] for rule in told["rules"] if rule["kind"] == "row")
    if bad > config.budget * told["rows"]:
        failed.append(f"budget ({bad} of {told['rows']} rows are bad)")
    if failed:
        raise DataContractError(f"{report}: validation failed: {', '.join(failed)}; such a version cannot be accepted")
    target = data / config.drift.reference
    write_json(target, reference_of(told["drift"]["profile"], told["data_digest"]))
    return target


def _read(report: Path) -> dict[str, Any]:
    try:
        told: dict[str, Any] = read_json(report)
    except StorageError as error:
        raise DataContractError(f"{report}: {error}; run `rmtl validate` first") from error
    if not told.get("drift"):
        raise DataContractError(f"{report}: has no profile of the data; run `rmtl validate` again")
    return told
