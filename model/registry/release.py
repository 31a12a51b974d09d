"""What may be deployed: the champion of the promotion log, signed where a public key is configured.

The alias `champion` in MLflow decides nothing here; that of the challenger does, for a share of the requests.
"""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from model.errors import GateError, RegistryError
from model.registry.client import Store, open_store
from model.registry.keys import VERIFY_KEY, verify_keys
from model.registry.promotion_log import Entry, PromotionLog, champions
from model.registry.reports import check_gate_report
from model.registry.signature import problem_of
from model.registry.versions import CHALLENGER, META_TAG, download_weights, identity, resolve
from model.storage import atomic_path
from model.weights import Meta

_ADVICE = "nothing of it is deployed; `rmtl history` shows the log, `rmtl promote --version N` signs a version anew"

_logger = logging.getLogger(__name__)


def fetch_champion(name: str, into: Path) -> str:
    """Download the champion's weights, checked against the log and its signature, and return its version.

    Raises:
        GateError: no version was ever promoted.
        RegistryError: log, signature, gate report or weights were altered, or nobody known signed.
        ServiceError: MLflow is out of reach.
    """
    with open_store() as store:
        entry = champion_entry(store, name)
        with atomic_path(into) as folder:
            folder.mkdir()
            check_version(store, name, entry, folder)
    return entry.after


def fetch_challenger(name: str, into: Path) -> str:
    """Download the challenger's weights, checked against their digests, and return its version.

    Where a public key is configured, only a version whose promotion one of these keys signed is a challenger that may
    answer clients: promoted, while the endpoint still serves the champion before.

    Raises:
        RegistryError: there is none, it was altered, or its promotion is not signed by a configured key.
        ServiceError: MLflow is out of reach.
    """
    with open_store() as store:
        version = resolve(store, f"models:/{name}@{CHALLENGER}")
        keys = verify_keys()
        with atomic_path(into) as folder:
            folder.mkdir()
            if keys:
                check_version(store, name, _signed_promotion(store, name, str(version.version), keys), folder)
            else:
                download_weights(store, version, folder)
    return str(version.version)


def _signed_promotion(store: Store, name: str, version: str, keys: Sequence[Ed25519PublicKey]) -> Entry:
    entry = promotion_of(PromotionLog.open(store, name).entries(), version)
    if entry is None:
        raise RegistryError(
            f"models:/{name}/{version}: {VERIFY_KEY} asks for a signature, and the challenger was never promoted; "
            "`rmtl promote`, then `rmtl deploy --canary SHARE` before `rmtl deploy --update`"
        )
    if problem := problem_of(entry, name, keys):
        raise RegistryError(f"{problem}; {_ADVICE}")
    return entry


def confirm_champion(name: str, version: str, meta: Meta) -> None:
    """See that weights in hand answer as the champion of log and signature does.

    Raises:
        GateError: the champion is another version.
        RegistryError: these are other weights, or as `fetch_champion`.
        ServiceError: MLflow is out of reach.
    """
    with open_store() as store, tempfile.TemporaryDirectory() as scratch:
        entry = champion_entry(store, name)
        if entry.after != version:
            raise GateError(f"{name}: version {version} is not the champion, version {entry.after} is; not deployed")
        promoted = check_version(store, name, entry, Path(scratch))
    if identity(meta) != identity(promoted):
        raise RegistryError(
            f"models:/{name}/{version}: weights {meta.weights_digest[:12]} are at hand, promoted was "
            f"{promoted.weights_digest[:12]}, or temperature or shape differ; package the registered version"
        )


def champion_entry(store: Store, name: str) -> Entry:
    """The last move of the log, which made the champion.

    Raises:
        GateError: no version was ever promoted.
        RegistryError: the log was altered, or the move carries no signature by a configured key.
    """
    found = store.client.search_registered_models(f"name = '{name}'")
    entries = PromotionLog.open(store, name).entries() if found else []
    moves = [entry for entry in entries if entry.action != "refused"]
    if not moves:
        raise GateError(f"{name}: no version was promoted; `rmtl register`, then `rmtl promote`")
    last, keys = moves[-1], verify_keys()
    if champions(entries)[-1:] != [last.after]:
        raise RegistryError(f"promotion log of {name}: entry {last.sequence} does not follow from the moves before it")
    if not keys:
        _logger.warning("%s is not set: the signature of version %s is not checked", VERIFY_KEY, last.after)
    if problem := problem_of(last, name, keys):
        raise RegistryError(f"{problem}; {_ADVICE}")
    return last


def promotion_of(entries: list[Entry], version: str) -> Entry | None:
    """The latest promotion of a version; None for one that was champion before the log began, or never."""
    return next((item for item in reversed(entries) if (item.action, item.after) == ("promote", version)), None)


def check_version(store: Store, name: str, entry: Entry, folder: Path) -> Meta:
    """Download the version that an entry moved to into `folder`, and see that it is still what was promoted.

    Raises:
        RegistryError: weights, meta.json or the gate's report were altered since.
    """
    version = resolve(store, f"models:/{name}/{entry.after}")
    meta = download_weights(store, version, folder)
    found = {
        "weights_digest": meta.weights_digest,
        "meta_digest": version.tags[META_TAG],
        "classes": ",".join(meta.expressions),
    }
    for field, value in found.items():
        stated = getattr(entry, field)
        # Entries of older versions state the digest of the weights only.
        if stated not in ("", value):
            raise RegistryError(
                f"models:/{name}/{entry.after}: {field} is {value[:64]}, promoted was {stated[:64]} (entry "
                f"{entry.sequence}); the version was altered since, {_ADVICE}"
            )
    check_gate_report(store, version, entry.gate_digest)
    return meta
