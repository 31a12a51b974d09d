"""Ed25519 keys: whose word makes a version fit to be deployed.

The private key is `RMTL_SIGNING_KEY`, as PEM or as base64 of its 32 bytes; it is never shown, stored or logged.
Public keys are in `RMTL_VERIFY_KEY`, or in the file that `RMTL_VERIFY_KEY_FILE` names: one, or several while keys
change.
"""

import base64
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from model.errors import ConfigError
from model.storage import digest_bytes

SIGNING_KEY = "RMTL_SIGNING_KEY"
VERIFY_KEY = "RMTL_VERIFY_KEY"
VERIFY_KEY_FILE = "RMTL_VERIFY_KEY_FILE"
PRIVATE_FILE = "signing-key.pem"
PUBLIC_FILE = "verify-key.pem"

_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)


def signing_key() -> Ed25519PrivateKey | None:
    """The private key of the environment; None where there is none.

    Raises:
        ConfigError: something else than an Ed25519 key, or no key where public ones are configured: what is promoted
            unsigned there could never be deployed.
    """
    text = os.environ.get(SIGNING_KEY, "").strip()
    if not text:
        if _public_text():
            raise ConfigError(
                f"{VERIFY_KEY} is set, {SIGNING_KEY} is not: what is moved without a signature cannot be deployed; "
                "set the private key where you promote and roll back"
            )
        return None
    key: object = None
    # Causes are left out: they may quote what was read.
    with suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = (
            load_pem_private_key(_unescaped(text).encode(), None)
            if _is_pem(text)
            else Ed25519PrivateKey.from_private_bytes(base64.b64decode(text, validate=True))
        )
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{SIGNING_KEY}: not an Ed25519 private key in PEM without password, nor base64 of its 32 bytes; "
            "`rmtl keys FOLDER` makes one"
        )
    return key


def verify_keys() -> list[Ed25519PublicKey]:
    """The public keys of the environment, else that of its private key; empty where nothing is configured.

    Raises:
        ConfigError: no such file, or something else than Ed25519 keys.
    """
    text = _public_text()
    if not text:
        key = signing_key()
        return [key.public_key()] if key else []
    return [_public(part) for part in _PEM.findall(_unescaped(text)) or text.split()]


def key_id(key: Ed25519PublicKey) -> str:
    """The head of the SHA-256 of a public key's 32 bytes."""
    return digest_bytes(key.public_bytes(Encoding.Raw, PublicFormat.Raw))[:16]


def sign(content: bytes, key: Ed25519PrivateKey) -> str:
    """The signature, in base64."""
    return base64.b64encode(key.sign(content)).decode()


def is_signed(content: bytes, signature: str, keys: Iterable[Ed25519PublicKey]) -> bool:
    """Whether one of the keys made this signature of the content."""
    try:
        raw = base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    return any(_made(key, raw, content) for key in keys)


def make_key_pair(folder: Path) -> str:
    """Write a new pair into `folder`, the private key readable by its owner only; an existing key is never replaced.

    Returns:
        The public key in base64, on one line.

    Raises:
        ConfigError: a key is there already.
    """
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    folder.mkdir(parents=True, exist_ok=True)
    present = [name for name in (PRIVATE_FILE, PUBLIC_FILE) if (folder / name).exists()]
    if present:
        raise ConfigError(f"{folder / present[0]}: is there already and stays; choose another folder")
    for name, content, mode in ((PRIVATE_FILE, private, 0o600), (PUBLIC_FILE, public, 0o644)):
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
            stream.write(content)
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def _public_text() -> str:
    text, file = os.environ.get(VERIFY_KEY, "").strip(), os.environ.get(VERIFY_KEY_FILE, "")
    if text or not file:
        return text
    try:
        content = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{VERIFY_KEY_FILE}={file}: cannot be read: {error}") from error
    if not content:
        raise ConfigError(
            f"{VERIFY_KEY_FILE}={file}: is empty, so nothing could be verified; write the public key there"
        )
    return content


def _public(text: str) -> Ed25519PublicKey:
    try:
        key = (
            load_pem_public_key(text.encode())
            if _is_pem(text)
            else Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
        )
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{VERIFY_KEY}: not an Ed25519 public key in PEM or base64: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{VERIFY_KEY}: a public key of another kind than Ed25519; `rmtl keys FOLDER` makes a pair")
    return key


def _made(key: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    try:
        key.verify(signature, content)
    except InvalidSignature:
        return False
    return True


def _is_pem(text: str) -> bool:
    return text.startswith("-----BEGIN")


def _unescaped(text: str) -> str:
    """Files of variables hold a PEM on one line, its ends of line as two characters."""
    return text.replace("\\n", "\n")
