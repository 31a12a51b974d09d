"""What a deployment accepts of the registry (T33): signed promotions that nobody altered."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model.config import RegisterConfig
from model.errors import ConfigError, GateError, RegistryError
from model.registry.client import open_store
from model.registry.keys import PRIVATE_FILE, PUBLIC_FILE, SIGNING_KEY, VERIFY_KEY, VERIFY_KEY_FILE, make_key_pair
from model.registry.promotion import history, promote, rollback
from model.registry.promotion_log import PromotionLog
from model.registry.registry import register_version
from model.registry.release import confirm_champion, fetch_challenger, fetch_champion
from model.registry.versions import CHALLENGER, CHAMPION
from model.storage import digest_bytes
from model.weights import META_FILE, WEIGHTS_FILE, load_meta

Use = Callable[..., None]


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Puts halves of a named pair into the environment; a pair is made on first use."""

    def chosen(name: str, *, private: bool = True, public: bool = True) -> None:
        folder = tmp_path / "keys" / name
        if not folder.exists():
            make_key_pair(folder)
        for variable, file, wanted in ((SIGNING_KEY, PRIVATE_FILE, private), (VERIFY_KEY, PUBLIC_FILE, public)):
            if wanted:
                monkeypatch.setenv(variable, (folder / file).read_text())
            else:
                monkeypatch.delenv(variable, raising=False)

    for name in (SIGNING_KEY, VERIFY_KEY, VERIFY_KEY_FILE):
        monkeypatch.delenv(name, raising=False)
    return chosen


@pytest.fixture
def two(workspace: Path, gate: RegisterConfig, cases: Any, use: Use) -> str:
    """Two promoted versions, both signed by the key `ours`; the name of the model."""
    use("ours")
    for name in "ab":
        register_version(gate, **cases.write(name))
        promote(gate, who="ada", why=name)
    return gate.name


def source(name: str, version: str) -> Path:
    with open_store() as store:
        return Path(store.client.get_model_version(name, version).source.removeprefix("file://"))


def forge(name: str, **changes: Any) -> None:
    """Append an entry as somebody could who may write to MLflow and has no key."""
    with open_store() as store:
        log = PromotionLog.open(store, name)
        last = log.entries()[-1]
        following = {"sequence": last.sequence + 1, "previous": digest_bytes(last.text().encode()), "who": "eve"}
        assert log.append(replace(last, **following | changes))


def test_the_signed_champion_is_fetched_without_the_private_key(two: str, use: Use, tmp_path: Path) -> None:
    use("ours", private=False)
    assert fetch_champion(two, tmp_path / "weights") == "2"
    assert {path.name for path in (tmp_path / "weights").iterdir()} == {META_FILE, WEIGHTS_FILE}
    confirm_champion(two, "2", load_meta(tmp_path / "weights"))
    entry = history(two)[-1]
    assert entry.classes.startswith("neutral,happy")
    assert entry.key and entry.signature and entry.gate_digest and entry.meta_digest


def test_an_alias_moved_by_hand_deploys_nothing(two: str, use: Use, tmp_path: Path) -> None:
    with open_store() as store:
        store.client.set_registered_model_alias(two, CHAMPION, "1")
    assert fetch_champion(two, tmp_path / "weights") == "2"
    with pytest.raises(GateError, match="version 1 is not the champion, version 2 is"):
        confirm_champion(two, "1", load_meta(tmp_path / "weights"))


def test_a_forged_move_deploys_nothing(two: str, use: Use, tmp_path: Path) -> None:
    use("ours", private=False)
    forge(two, action="promote", before="2", after="1", signature="")
    with pytest.raises(RegistryError, match=r"entry 3 \(promote to version 1\) carries no signature; nothing of it"):
        fetch_champion(two, tmp_path / "weights")
    forge(two, action="promote", before="1", after="2", signature="AAAA")
    with pytest.raises(RegistryError, match=r"entry 4 .* was altered or signed by another key"):
        fetch_champion(two, tmp_path / "weights")
    assert not (tmp_path / "weights").exists()


def test_a_forged_promotion_is_not_gone_back_to(two: str, use: Use) -> None:
    """Else a roll-back would sign it."""
    forge(two, action="promote", before="2", after="1", signature="")
    forge(two, action="promote", before="1", after="2", signature="")
    with pytest.raises(RegistryError, match=r"entry 3 .* carries no signature; it is not gone back to"):
        rollback(two, who="ada", why="complaints")


def test_an_altered_entry_deploys_nothing(two: str, workspace: Path, tmp_path: Path) -> None:
    with sqlite3.connect(workspace / "mlflow.db") as database:
        database.execute('update params set value = replace(value, \'"why":"b"\', \'"why":"c"\')')
    with pytest.raises(RegistryError, match=r"entry 2 .* was altered or signed by another key"):
        fetch_champion(two, tmp_path / "weights")


def test_weights_swapped_with_their_digests_deploy_nothing(two: str, cases: Any, tmp_path: Path) -> None:
    """Files and tags agree; the signed log does not."""
    other, stored = cases.write("evil")["weights"], source(two, "2")
    for file in (META_FILE, WEIGHTS_FILE):
        (stored / file).write_bytes((other / file).read_bytes())
    with open_store() as store:
        for tag, value in (
            ("weights_digest", load_meta(other).weights_digest),
            ("meta_digest", digest_bytes((other / META_FILE).read_bytes())),
        ):
            store.client.set_model_version_tag(two, "2", tag, value)
    with pytest.raises(RegistryError, match=r"weights_digest is .* promoted was .*; the version was altered since"):
        fetch_champion(two, tmp_path / "weights")


def test_an_altered_gate_report_deploys_nothing(two: str, tmp_path: Path) -> None:
    (report,) = (source(two, "2") / "gate").iterdir()
    content = json.loads(report.read_text())
    assert (content["version"], content["champion"], content["gate"]) == ("2", "1", "pass")
    report.write_text(report.read_text().replace('"champion": "1"', '"champion": null'))
    with pytest.raises(RegistryError, match="was altered; promote the version again"):
        fetch_champion(two, tmp_path / "weights")


def test_other_weights_in_an_archive_are_not_the_champion(two: str, cases: Any) -> None:
    with pytest.raises(RegistryError, match="package the registered version"):
        confirm_champion(two, "2", load_meta(cases.weights("b", temperature=2.0)))


def test_a_key_that_is_not_known_deploys_nothing_until_the_champion_is_signed_anew(
    two: str, gate: RegisterConfig, use: Use, tmp_path: Path
) -> None:
    use("other")
    with pytest.raises(RegistryError, match="signed by another key"):
        fetch_champion(two, tmp_path / "weights")
    assert promote(gate, who="ada", why="a new key", version="2").sequence == 3
    assert fetch_champion(two, tmp_path / "weights") == "2"
    assert promote(gate, who="ada", why="nothing new", version="2").sequence == 3
    with pytest.raises(RegistryError, match="it is not gone back to"):
        rollback(two, who="ada", why="complaints")
    use("ours")
    assert rollback(two, who="ada", why="complaints").after == "1"
    assert fetch_champion(two, tmp_path / "former") == "1"


def test_without_keys_it_is_said_that_nothing_is_checked(
    workspace: Path, gate: RegisterConfig, cases: Any, use: Use, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    register_version(gate, **cases.write("a"))
    with pytest.raises(GateError, match="no version was promoted"):
        fetch_champion(gate.name, tmp_path / "weights")
    entry = promote(gate, who="ada", why="first")
    assert (entry.key, entry.signature) == ("", "")
    assert fetch_champion(gate.name, tmp_path / "weights") == "1"
    assert "RMTL_VERIFY_KEY is not set: the signature of version 1 is not checked" in caplog.text
    use("ours", private=False)
    with pytest.raises(ConfigError, match="what is moved without a signature cannot be deployed"):
        promote(gate, who="ada", why="signed?")


def test_an_evaluation_of_other_weights_lets_nothing_through(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    register_version(gate, **cases.write("a"))
    stored, foreign = source(gate.name, "1"), cases.write("b")["evaluation"]
    (report,) = (stored / "evaluations").iterdir()
    report.write_bytes(foreign.read_bytes())
    with open_store() as store:
        digest = digest_bytes(foreign.read_bytes())
        store.client.set_model_version_tag(gate.name, "1", f"evaluation.{report.stem}", digest)
    with pytest.raises(RegistryError, match="its evaluation measured weights"):
        promote(gate, who="eve", why="looks good")


def test_the_challenger_is_fetched_without_a_promotion_where_no_key_is_configured(
    workspace: Path, gate: RegisterConfig, cases: Any, use: Use
) -> None:
    register_version(gate, **cases.write("a"))
    promote(gate, who="ada", why="first")
    written = cases.write("b")
    register_version(gate, **written)
    assert fetch_challenger(gate.name, workspace / "weights") == "2"
    assert load_meta(workspace / "weights") == load_meta(written["weights"])
    use("ours")
    with pytest.raises(RegistryError, match="asks for a signature, and the challenger was never promoted"):
        fetch_challenger(gate.name, workspace / "another")
    assert not (workspace / "another").exists()


def test_a_challenger_promoted_with_our_key_may_answer_clients_and_no_other(
    two: str, workspace: Path, use: Use
) -> None:
    assert fetch_challenger(two, workspace / "weights") == "2"
    use("theirs", private=False)
    with pytest.raises(RegistryError, match="altered or signed by another key"):
        fetch_challenger(two, workspace / "another")


def test_without_a_challenger_there_is_nothing_to_fetch(two: str, workspace: Path) -> None:
    with open_store() as store:
        store.client.delete_registered_model_alias(two, CHALLENGER)
    with pytest.raises(RegistryError, match="has no such version"):
        fetch_challenger(two, workspace / "weights")
