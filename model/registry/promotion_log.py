"""The append-only record of what was champion when, kept in the tracking store: the one place of truth.

Entries are parameters of one MLflow run in the experiment `<name>-promotions`. MLflow refuses to change or remove a
parameter, so a key `entry.000007` can be written once, by one process, whoever shares the server: appending is a
compare-and-set. Entries are ordered by number, not by clock, and each holds the digest of the one before.
"""

import json
import time
from dataclasses import MISSING, asdict, dataclass, fields, replace
from typing import Literal

from mlflow.exceptions import MlflowException

from model.errors import RegistryError
from model.registry.client import Store
from model.storage import digest_bytes

LOG_RUN_TAG = "promotion_log_run"
WAIT_S = 10.0
LONGEST = 5500
"""Characters of an entry; MLflow cuts parameters at 6000."""

Action = Literal["promote", "rollback", "refused"]


@dataclass(frozen=True)
class Entry:
    """One act on the alias `champion`; a refused one left it where it was.

    `when` is UTC and informative, `sequence` orders. `before` is the champion at the time (null: none), `after` the
    version asked for. `previous` is the SHA-256 of the entry before, empty for the first.

    A move also holds the digests of meta.json and of the gate's report, and the `classes` in order; `signature` is that
    of `statement` by the key `key`, both empty where no key was configured.
    """

    sequence: int
    action: Action
    before: str | None
    after: str
    who: str
    when: str
    why: str
    weights_digest: str
    data_digest: str
    previous: str
    meta_digest: str = ""
    classes: str = ""
    gate_digest: str = ""
    approved_by: str = ""
    key: str = ""
    signature: str = ""

    def text(self) -> str:
        """Canonical JSON, one line; fields with a default are left out where they are empty."""
        optional = {item.name for item in fields(self) if item.default is not MISSING}
        values = {name: value for name, value in asdict(self).items() if value or name not in optional}
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"))

    def statement(self, name: str) -> bytes:
        """What is signed of an act on the model `name`: all but the signature, and so by `previous` all acts before."""
        return f"residual-mtl promotion of {name}\n{replace(self, signature='').text()}".encode()


class PromotionLog:
    """The log of one registered model."""

    def __init__(self, store: Store, name: str, run_id: str) -> None:
        self.name = name
        self._store = store
        self._run_id = run_id

    @classmethod
    def open(cls, store: Store, name: str) -> "PromotionLog":
        """The log of a model, made on first use. Only the maker of the experiment makes the run."""
        client, experiment = store.client, f"{name}-promotions"
        found = client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else store.experiment(experiment)
        deadline = time.monotonic() + (WAIT_S if found else 0.0)
        while True:
            run_id = client.get_experiment(experiment_id).tags.get(LOG_RUN_TAG)
            if run_id:
                return cls(store, name, str(run_id))
            if time.monotonic() >= deadline:
                break
            time.sleep(0.2)
        run_id = client.create_run(experiment_id, run_name="promotions").info.run_id
        client.set_experiment_tag(experiment_id, LOG_RUN_TAG, run_id)
        return cls(store, name, run_id)

    def entries(self) -> list[Entry]:
        """All entries in order.

        Raises:
            RegistryError: an entry is missing, altered or not readable.
        """
        stored = self._store.client.get_run(self._run_id).data.params
        entries: list[Entry] = []
        previous = ""
        for sequence in range(1, 1 + sum(name.startswith("entry.") for name in stored)):
            text = stored.get(_key(sequence), "")
            try:
                entry = Entry(**json.loads(text))
            except (ValueError, TypeError) as error:
                raise RegistryError(f"promotion log: {_key(sequence)} is missing or not readable: {error}") from error
            if entry.sequence != sequence or entry.previous != previous:
                raise RegistryError(
                    f"promotion log: {_key(sequence)} does not follow from the one before; the log was altered, "
                    "restore the tracking database from a backup"
                )
            entries.append(entry)
            previous = digest_bytes(text.encode())
        return entries

    def append(self, entry: Entry) -> bool:
        """Write an entry under its number; False where another process has written that number first.

        Raises:
            RegistryError: the entry is too long, or MLflow takes none, as where the log's run was deleted.
        """
        size = len(entry.text())
        if size > LONGEST:
            raise RegistryError(f"promotion log: an entry of {size} characters, at most {LONGEST} fit; say less")
        for pause in (0.2, 0.5, 1.0, None):
            try:
                self._store.client.log_param(self._run_id, _key(entry.sequence), entry.text())
            except MlflowException as error:
                if error.error_code == "INVALID_PARAMETER_VALUE":
                    return self._lost(entry, error)
                # Two writers of one sqlite file can get in each other's way; the same entry may be written again.
                if pause is None or error.error_code != "TEMPORARILY_UNAVAILABLE":
                    raise
                time.sleep(pause)
            else:
                return True
        return False

    def _lost(self, entry: Entry, error: MlflowException) -> Literal[False]:
        """False where the refused number is taken."""
        if _key(entry.sequence) in self._store.client.get_run(self._run_id).data.params:
            return False
        raise RegistryError(
            f"promotion log of {self.name}: MLflow takes no entry: {error}; if its run {self._run_id} was deleted, "
            f"restore it: `mlflow runs restore --run-id {self._run_id}`"
        ) from error


def champions(entries: list[Entry]) -> list[str]:
    """Champions that a roll-back can return to, oldest first; the last one is the champion."""
    stack: list[str] = []
    for entry in entries:
        match entry.action:
            case "promote":
                if not stack and entry.before is not None:
                    stack.append(entry.before)
                if stack[-1:] != [entry.after]:
                    stack.append(entry.after)
            case "rollback":
                del stack[-1:]
            case "refused":
                pass
    return stack


def _key(sequence: int) -> str:
    return f"entry.{sequence:06d}"
