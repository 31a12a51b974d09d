"""Signatures on entries of the promotion log.

They are made at promotion and not at registration: deployment has to know that somebody who holds the key let this
version through the gate, against the champion of that moment, and a version that was registered only may be anything.
"""

from collections.abc import Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from model.registry.keys import VERIFY_KEY, is_signed, key_id, sign, signing_key
from model.registry.promotion_log import Entry


def signed(entry: Entry, name: str) -> Entry:
    """The entry with the signature of the environment's key; as it is where there is none."""
    key = signing_key()
    if key is None:
        return entry
    entry = replace(entry, key=key_id(key.public_key()))
    return replace(entry, signature=sign(entry.statement(name), key))


def problem_of(entry: Entry, name: str, keys: Sequence[Ed25519PublicKey]) -> str:
    """Why the entry is not to be trusted; empty for one that any of the keys signed, and where there are no keys."""
    if not keys or is_signed(entry.statement(name), entry.signature, keys):
        return ""
    what = f"promotion log of {name}: entry {entry.sequence} ({entry.action} to version {entry.after})"
    if not entry.signature:
        return f"{what} carries no signature"
    known = ", ".join(key_id(key) for key in keys)
    return f"{what} was altered or signed by another key ({entry.key}; {VERIFY_KEY} holds {known})"
