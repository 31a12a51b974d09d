import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from model.errors import ConfigError
from model.registry.keys import (
    PRIVATE_FILE,
    PUBLIC_FILE,
    SIGNING_KEY,
    VERIFY_KEY,
    VERIFY_KEY_FILE,
    is_signed,
    key_id,
    make_key_pair,
    sign,
    signing_key,
    verify_keys,
)
from tests.command import Command


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (SIGNING_KEY, VERIFY_KEY, VERIFY_KEY_FILE):
        monkeypatch.delenv(name, raising=False)


def raw(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())).decode()


def test_without_keys_nothing_is_signed_and_nothing_checked() -> None:
    assert signing_key() is None
    assert verify_keys() == []


def test_a_made_pair_signs_and_verifies_as_pem_on_many_lines_or_one_and_as_base64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = make_key_pair(tmp_path)
    pem = (tmp_path / PRIVATE_FILE).read_text()
    public = (tmp_path / PUBLIC_FILE).read_text()
    assert stat.S_IMODE((tmp_path / PRIVATE_FILE).stat().st_mode) == 0o600
    for private, known in ((pem, public), (pem.strip().replace("\n", "\\n"), shown)):
        monkeypatch.setenv(SIGNING_KEY, private)
        monkeypatch.setenv(VERIFY_KEY, known)
        key = signing_key()
        assert key is not None
        assert is_signed(b"text", sign(b"text", key), verify_keys())
        assert not is_signed(b"other", sign(b"text", key), verify_keys())
        assert not is_signed(b"text", "no base64", verify_keys())
        monkeypatch.setenv(SIGNING_KEY, raw(key))
        assert key_id(signing_key().public_key()) == key_id(verify_keys()[0])  # type: ignore[union-attr]


def test_while_keys_change_both_count_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_key_pair(tmp_path / "old")
    make_key_pair(tmp_path / "new")
    known = tmp_path / "known.pem"
    known.write_text("".join((tmp_path / name / PUBLIC_FILE).read_text() for name in ("old", "new")))
    monkeypatch.setenv(VERIFY_KEY_FILE, str(known))
    assert len(verify_keys()) == 2
    for name in ("old", "new"):
        monkeypatch.setenv(SIGNING_KEY, (tmp_path / name / PRIVATE_FILE).read_text())
        key = signing_key()
        assert key is not None
        assert is_signed(b"text", sign(b"text", key), verify_keys())


def test_the_private_key_alone_verifies_too(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Ed25519PrivateKey.generate()
    monkeypatch.setenv(SIGNING_KEY, raw(key))
    assert [key_id(found) for found in verify_keys()] == [key_id(key.public_key())]


def test_public_keys_without_the_private_one_sign_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    public = Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    monkeypatch.setenv(VERIFY_KEY, base64.b64encode(public).decode())
    with pytest.raises(ConfigError, match="what is moved without a signature cannot be deployed"):
        signing_key()


def test_a_key_that_is_none_is_refused_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = generate_private_key(SECP256R1())
    other_pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for text in ("hush-hush", base64.b64encode(b"hush" * 4).decode(), other_pem, other_pem[:80]):
        monkeypatch.setenv(SIGNING_KEY, text)
        with pytest.raises(ConfigError, match="`rmtl keys FOLDER` makes one") as caught:
            signing_key()
        assert text[30:60] not in str(caught.value) or not text[30:60]
        assert "hush" not in str(caught.value)
        assert caught.value.__context__ is None
    monkeypatch.delenv(SIGNING_KEY)
    monkeypatch.setenv(
        VERIFY_KEY, other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    )
    with pytest.raises(ConfigError, match="another kind than Ed25519"):
        verify_keys()
    monkeypatch.delenv(VERIFY_KEY)
    monkeypatch.setenv(VERIFY_KEY_FILE, str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match=r"none\.pem: cannot be read"):
        verify_keys()


def test_rmtl_keys_makes_a_pair_once_and_shows_the_public_half_only(rmtl: Command, tmp_path: Path) -> None:
    result = rmtl("keys", "here", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    body = (tmp_path / "here" / PRIVATE_FILE).read_text().splitlines()[1]
    assert body not in result.stdout + result.stderr
    assert f"export {SIGNING_KEY}=" in result.stdout
    again = rmtl("keys", "here", cwd=tmp_path)
    assert again.returncode == 2
    assert "is there already and stays" in again.stderr
    assert (tmp_path / "here" / PRIVATE_FILE).read_text().splitlines()[1] == body
