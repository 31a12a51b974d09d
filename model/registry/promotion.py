"""Moving the alias `champion`: promote through the gate, roll back, tell the history.

The promotion log is the truth, and the alias follows it: an act counts once its entry is written, and the alias is
then set until it equals the log's last champion; a kill in between or two machines at once leave no other state.
"""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from mlflow.entities.model_registry import ModelVersion as StoredVersion

from model.config import RegisterConfig
from model.errors import GateError, MissingVersionError, RegistryError
from model.registry.client import Store, open_store
from model.registry.gate import judge
from model.registry.keys import signing_key, verify_keys
from model.registry.promotion_log import Action, Entry, PromotionLog, champions
from model.registry.release import check_version, promotion_of
from model.registry.reports import add_gate_report, report_tag, stored_comparison, stored_report
from model.registry.signature import problem_of, signed
from model.registry.versions import (
    CHALLENGER,
    CHAMPION,
    DATA_TAG,
    GATE_TAG,
    META_TAG,
    WEIGHTS_TAG,
    download_weights,
    resolve,
)
from model.storage import digest_bytes

WHY_LONGEST = 3000
"""Characters of a reason that are kept."""

_logger = logging.getLogger(__name__)


def promote(
    config: RegisterConfig,
    *,
    who: str,
    why: str,
    version: str | None = None,
    approved_by: str = "",
    expected: str | None = None,
) -> Entry:
    """Make a version (the challenger by default) the champion, if it meets the gate against the champion of now.

    A champion whose promotion no configured key signed is promoted anew, which signs it.

    Args:
        approved_by: who gave the approval that `register.gate.approval` asks for; kept in the log in any case.
        expected: the champion the caller decided against; by default the one found at the start.

    Returns:
        The entry of the log; the present one where the version is champion already.

    Raises:
        ConfigError: public keys are configured and the private one is not.
        GateError: conditions that failed, or no approval; the alias stays, the refusal is logged.
        RegistryError: another promoter came first (logged too), or weights or evaluation are not the registered ones.
        ServiceError: MLflow is out of reach.
    """
    signing_key()
    with open_store() as store:
        log = _open_log(store, config.name)
        champion = _settle(store, log)
        address = f"models:/{config.name}/{version}" if version else f"models:/{config.name}@{CHALLENGER}"
        candidate = resolve(store, address)
        draft = _draft("promote", candidate, who=who, why=why, before=expected or champion)
        draft = replace(draft, approved_by=approved_by)
        if str(candidate.version) == champion and expected is None:
            moves = [entry for entry in log.entries() if entry.action != "refused"]
            # An alias that was set by hand has no entry yet: the gate decides on it as on any other version.
            if moves and not problem_of(moves[-1], log.name, verify_keys()):
                return moves[-1]
        with tempfile.TemporaryDirectory() as scratch:
            meta = download_weights(store, candidate, Path(scratch))
        gate_digest = _enforce_gate(store, log, draft, candidate, config)
        return _move(store, log, replace(draft, gate_digest=gate_digest, classes=",".join(meta.expressions)))


def rollback(name: str, *, who: str, why: str) -> Entry:
    """Make the former champion the champion again; called twice, it goes two champions back.

    Raises:
        ConfigError: public keys are configured and the private one is not.
        RegistryError: no former champion, it is gone, altered or not signed, or another act came first.
        ServiceError: MLflow is out of reach.
    """
    signing_key()
    with open_store() as store:
        log = _open_log(store, name)
        champion = _settle(store, log)
        entries = log.entries()
        stack = champions(entries)
        if len(stack) < 2:
            raise RegistryError(f"{name}: no former champion to go back to (champion: {champion or 'none'})")
        former = resolve(store, f"models:/{name}/{stack[-2]}")
        draft = _draft("rollback", former, who=who, why=why, before=champion)
        promoted = promotion_of(entries, stack[-2]) or draft
        if problem := problem_of(promoted, name, verify_keys()):
            raise RegistryError(f"{problem}; it is not gone back to, promote a version instead")
        with tempfile.TemporaryDirectory() as scratch:
            meta = check_version(store, name, promoted, Path(scratch))
        classes = ",".join(meta.expressions)
        return _move(store, log, replace(draft, gate_digest=promoted.gate_digest, classes=classes))


def history(name: str) -> list[Entry]:
    """The whole log, oldest first, its chain of digests checked.

    Raises:
        RegistryError: the log was altered.
        ServiceError: MLflow is out of reach.
    """
    with open_store() as store:
        return _open_log(store, name).entries()


def _open_log(store: Store, name: str) -> PromotionLog:
    if not store.client.search_registered_models(f"name = '{name}'"):
        raise RegistryError(f"{name}: MLflow at {store.shown} has no such model yet; run `rmtl register`")
    return PromotionLog.open(store, name)


def _enforce_gate(
    store: Store, log: PromotionLog, draft: Entry, candidate: StoredVersion, config: RegisterConfig
) -> str:
    """The digest of the gate's report, which is kept with the version."""
    report = stored_report(store, candidate)
    if report.weights_digest != draft.weights_digest:
        raise RegistryError(
            f"models:/{config.name}/{candidate.version}: its evaluation measured weights {report.weights_digest[:12]}, "
            f"it holds {draft.weights_digest[:12]}; register it again by `rmtl register`"
        )
    former = comparison = None
    champion = _still_there(store, config.name, draft.before)
    if champion is not None:
        former = stored_report(store, champion, report.data_digest)
        comparison = stored_comparison(store, candidate, former)
    verdict = judge(report, former, config.gate, comparison)
    store.client.set_model_version_tag(config.name, candidate.version, GATE_TAG, verdict.gate)
    reasons = "; ".join([*verdict.reasons, *_missing_approval(draft, config)])
    if reasons:
        _append(store, log, replace(draft, action="refused", why=f"gate: {reasons}"[:WHY_LONGEST]))
        raise GateError(
            f"models:/{config.name}/{candidate.version} does not meet the gate, `{CHAMPION}` stays at "
            f"{draft.before or 'none'}: {reasons}"
        )
    about = {"model": config.name, "version": draft.after, "champion": draft.before, "when": draft.when}
    measured = {"data_digest": report.data_digest, "evaluation": candidate.tags[report_tag(report.data_digest)]}
    limits = config.gate.model_dump(mode="json")
    return add_gate_report(store, candidate, {"format": 1, **about, **measured, "limits": limits, **asdict(verdict)})


def _still_there(store: Store, name: str, version: str | None) -> StoredVersion | None:
    """The champion's version; None where there is none, or none any more."""
    if version is None:
        return None
    try:
        return resolve(store, f"models:/{name}/{version}")
    except MissingVersionError as error:
        _logger.warning("the champion was deleted: %s", error)
        return None


def _missing_approval(draft: Entry, config: RegisterConfig) -> Iterator[str]:
    allowed = config.gate.approval
    if allowed and draft.approved_by not in allowed:
        given = f"not of {draft.approved_by}" if draft.approved_by else "none was given"
        yield (
            f"approval of {' or '.join(allowed)} is needed (register.gate.approval), {given}; "
            "`rmtl promote --approved-by NAME`"
        )


def _move(store: Store, log: PromotionLog, draft: Entry) -> Entry:
    with store.locked("promotion"):
        entry = _append(store, log, draft, expected=True)
        if entry is not None:
            _settle(store, log)
            return entry
    winner = _champion(store, log.name, log.entries()) or "none"
    why = f"lost: champion is {winner}, not {draft.before or 'none'} as decided against; asked: {draft.why}"
    _append(store, log, replace(draft, action="refused", why=why[:WHY_LONGEST]))
    raise RegistryError(
        f"{log.name}: another promoter came first, champion is version {winner} and no longer "
        f"{draft.before or 'none'}; see `rmtl history` and decide again"
    )


def _append(store: Store, log: PromotionLog, draft: Entry, *, expected: bool = False) -> Entry | None:
    """Write under the next free number; with `expected` only while the champion is still `draft.before`."""
    while True:
        entries = log.entries()
        if expected and _champion(store, log.name, entries) != draft.before:
            return None
        previous = digest_bytes(entries[-1].text().encode()) if entries else ""
        entry = signed(replace(draft, sequence=len(entries) + 1, previous=previous), log.name)
        if log.append(entry):
            return entry


def _settle(store: Store, log: PromotionLog) -> str | None:
    """Set the alias until it is the log's champion, unless that version was deleted, and return that."""
    while True:
        champion, alias = _champion(store, log.name, log.entries()), _alias(store, log.name)
        if champion is None or alias == champion or _still_there(store, log.name, champion) is None:
            return champion
        _logger.info("%s: alias %s is at %s, the log says %s: set", log.name, CHAMPION, alias, champion)
        store.client.set_registered_model_alias(log.name, CHAMPION, champion)


def _champion(store: Store, name: str, entries: list[Entry]) -> str | None:
    stack = champions(entries)
    return stack[-1] if stack else _alias(store, name)


def _alias(store: Store, name: str) -> str | None:
    version = store.client.get_registered_model(name).aliases.get(CHAMPION)
    return None if version is None else str(version)


def _draft(action: Action, version: StoredVersion, *, who: str, why: str, before: str | None) -> Entry:
    return Entry(
        sequence=0,
        action=action,
        before=before,
        after=str(version.version),
        who=who,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        why=why[:WHY_LONGEST],
        weights_digest=version.tags.get(WEIGHTS_TAG, ""),
        data_digest=version.tags.get(DATA_TAG, ""),
        previous="",
        meta_digest=version.tags.get(META_TAG, ""),
    )
