import json
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model.config import RegisterConfig
from model.errors import GateError, MissingVersionError, RegistryError
from model.registry.client import open_store
from model.registry.promotion import history, promote, rollback
from model.registry.promotion_log import LOG_RUN_TAG, Entry, PromotionLog, champions
from model.registry.registry import register_version
from model.registry.standing import is_registered
from model.registry.versions import CHAMPION
from model.storage import read_json

BEFORE = ("sequence", "action", "before", "after", "who", "when", "why", "weights_digest", "data_digest", "previous")

PROMOTER = """
import sys
from pathlib import Path
from model.config import load_config
from model.errors import RegistryError
from model.registry.promotion import promote
config = load_config(Path(sys.argv[1])).register_
print("ready", flush=True)
sys.stdin.readline()
try:
    promote(config, who=f"promoter {sys.argv[2]}", why="better", version=sys.argv[2], expected="1")
    print("won")
except RegistryError as error:
    print("lost", error)
"""


def champion(name: str) -> str | None:
    with open_store() as store:
        version = store.client.get_registered_model(name).aliases.get(CHAMPION)
    return None if version is None else str(version)


def test_promote_moves_the_alias_and_tells_who_and_why(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    register_version(gate, **cases.write("a"))
    assert champion(gate.name) is None
    entry = promote(gate, who="ada", why="first", version=None)
    assert champion(gate.name) == "1"
    assert (entry.sequence, entry.before, entry.after, entry.who, entry.why) == (1, None, "1", "ada", "first")
    assert history(gate.name) == [entry]


def test_promoting_the_champion_again_adds_nothing(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    register_version(gate, **cases.write("a"))
    assert promote(gate, who="ada", why="first") == promote(gate, who="bob", why="again")
    assert len(history(gate.name)) == 1


def test_an_alias_set_by_hand_is_no_promotion(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    """T32: the gate decides first, and the entry is written."""
    register_version(gate, **cases.write("a", nme=99.0))
    register_version(gate, **cases.write("b"))
    for version, passes in (("1", False), ("2", True)):
        with open_store() as store:
            store.client.set_registered_model_alias(gate.name, "champion", version)
        if not passes:
            with pytest.raises(GateError, match="does not meet the gate"):
                promote(gate, who="ada", why="by hand", version=version)
        else:
            assert promote(gate, who="ada", why="by hand", version=version).sequence > 0
    assert [entry.action for entry in history(gate.name)] == ["refused", "promote"]


def test_a_worse_slice_is_refused_and_the_alias_stays(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    """T32: exit code 4; the refusal is in the log."""
    register_version(gate, **cases.write("a"))
    promote(gate, who="ada", why="first")
    assert register_version(gate, **cases.write("b", f1=70.0, fear=40.0)).gate == "fail"
    with pytest.raises(GateError, match=r"class=fear .* 40.00 % against the champion's 60.00 %") as caught:
        promote(gate, who="ada", why="better mean")
    assert caught.value.exit_code == 4
    assert champion(gate.name) == "1"
    assert [entry.action for entry in history(gate.name)] == ["promote", "refused"]


def test_the_gate_compares_with_the_champion_of_now(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    register_version(gate, **cases.write("a", nme=6.0))
    assert register_version(gate, **cases.write("b", nme=5.0)).gate == "pass"
    promote(gate, who="ada", why="better", version="2")
    with pytest.raises(GateError, match=r"nme, all .* 6.00 % against the champion's 5.00 %"):
        promote(gate, who="ada", why="late", version="1")


def test_a_champion_evaluated_on_the_new_data_can_be_compared(
    workspace: Path, gate: RegisterConfig, cases: Any
) -> None:
    register_version(gate, **cases.write("a"))
    promote(gate, who="ada", why="first")
    newer = cases.write("b", data="e" * 16)
    assert "not comparable" in register_version(gate, **newer).reasons[0]
    again = cases.evaluate_again("a", data="e" * 16)
    assert register_version(gate, **again).version == "1"
    assert register_version(gate, **newer).gate == "pass"
    assert promote(gate, who="ada", why="new data").after == "2"


def test_a_deleted_champion_bars_no_other_one(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    """Its own measures are asked for alone, and nobody goes back to it."""
    first = register_version(gate, **cases.write("a", nme=5.0))
    promote(gate, who="ada", why="first")
    with open_store() as store:
        store.client.delete_model_version(gate.name, "1")
    assert not is_registered(gate.name, "1", weights_digest=first.weights_digest, judged_against=None)
    assert register_version(gate, **cases.write("b", nme=6.0)).version == "2"
    assert promote(gate, who="ada", why="the first one holds a face to forget").before == "1"
    assert champion(gate.name) == "2"
    with pytest.raises(MissingVersionError, match=r"models:/.*/1: .* has no such version"):
        rollback(gate.name, who="ada", why="back")


def test_what_is_challenger_no_longer_is_registered_again(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    made = [register_version(gate, **cases.write(name)) for name in ("a", "b")]
    stand = [
        is_registered(gate.name, item.version, weights_digest=item.weights_digest, judged_against=None) for item in made
    ]
    assert stand == [False, True]


def test_a_named_approval_is_asked_for_and_kept(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    asking = gate.model_copy(update={"gate": gate.gate.model_copy(update={"approval": ("grace", "ida")})})
    case = cases.write("a")
    assert register_version(asking, **case).gate == "pass"
    assert read_json(case["out"])["approval"] == ["grace", "ida"]
    for name, given in (("", "none was given"), ("eve", "not of eve")):
        with pytest.raises(GateError, match=f"approval of grace or ida is needed .*, {given}"):
            promote(asking, who="ada", why="first", approved_by=name)
    assert champion(gate.name) is None
    assert promote(asking, who="ada", why="first", approved_by="grace").approved_by == "grace"
    assert [(entry.action, entry.approved_by) for entry in history(gate.name)] == [
        ("refused", ""),
        ("refused", "eve"),
        ("promote", "grace"),
    ]


def test_entries_written_before_there_were_signatures_still_count(
    workspace: Path, gate: RegisterConfig, cases: Any
) -> None:
    for name in "ab":
        register_version(gate, **cases.write(name))
    with open_store() as store:
        log = PromotionLog.open(store, gate.name)
        digest = store.client.get_model_version(gate.name, "1").tags["weights_digest"]
        old = Entry(1, "promote", None, "1", "ada", "2026-01-01T00:00:00+00:00", "first", digest, "d" * 16, "")
        assert set(json.loads(old.text())) == set(BEFORE)
        assert log.append(old)
    promote(gate, who="ada", why="second", version="2")
    assert rollback(gate.name, who="ada", why="back").after == "1"
    assert len(history(gate.name)) == 3


def test_rollback_returns_to_the_former_champion(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    """T35, the registry's part."""
    for name in "abc":
        register_version(gate, **cases.write(name))
        promote(gate, who="ada", why=f"promote {name}")
    assert rollback(gate.name, who="bob", why="complaints").after == "2"
    assert champion(gate.name) == "2"
    assert rollback(gate.name, who="bob", why="more complaints").after == "1"
    with pytest.raises(RegistryError, match=r"no former champion to go back to \(champion: 1\)"):
        rollback(gate.name, who="bob", why="still")
    assert [entry.action for entry in history(gate.name)] == ["promote"] * 3 + ["rollback"] * 2


def test_an_alias_moved_past_the_log_is_put_back(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    for name in "ab":
        register_version(gate, **cases.write(name))
        promote(gate, who="ada", why=name)
    with open_store() as store:
        store.client.set_registered_model_alias(gate.name, CHAMPION, "1")
    promote(gate, who="ada", why="nothing new")
    assert champion(gate.name) == "2"


def test_of_two_promoters_one_wins_and_both_are_logged(
    workspace: Path, gate: RegisterConfig, cases: Any, root: Path
) -> None:
    """T34: two processes decide against champion 1 at once; no update is lost."""
    register_version(gate, **cases.write("a"))
    promote(gate, who="ada", why="first")
    for name in "bc":
        register_version(gate, **cases.write(name))
    command = [sys.executable, "-c", PROMOTER, str(root / "params.yaml")]
    promoters = [
        subprocess.Popen([*command, version], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for version in ("2", "3")
    ]
    for promoter in promoters:
        assert promoter.stdout is not None
        assert promoter.stdout.readline() == "ready\n"
    for promoter in promoters:
        assert promoter.stdin is not None
        promoter.stdin.write("go\n")
        promoter.stdin.flush()
    answers = [promoter.communicate(timeout=300)[0].split()[0] for promoter in promoters]
    assert sorted(answers) == ["lost", "won"]
    log = history(gate.name)
    assert [entry.action for entry in log] == ["promote", "promote", "refused"]
    assert {entry.who for entry in log[1:]} == {"promoter 2", "promoter 3"}
    assert champion(gate.name) == log[1].after == champions(log)[-1]


def test_an_entry_once_written_is_never_overwritten(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    register_version(gate, **cases.write("a"))
    entry = promote(gate, who="ada", why="first")
    with open_store() as store:
        log = PromotionLog.open(store, gate.name)
        assert not log.append(type(entry)(**{**entry.__dict__, "who": "eve"}))
        assert log.entries() == [entry]


def test_a_deleted_log_is_told_with_how_to_restore_it(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    register_version(gate, **cases.write("a"))
    promote(gate, who="ada", why="first")
    register_version(gate, **cases.write("b"))
    with open_store() as store:
        experiment = store.client.get_experiment_by_name(f"{gate.name}-promotions")
        run = experiment.tags[LOG_RUN_TAG]
        store.client.delete_run(run)
    with pytest.raises(RegistryError, match=f"mlflow runs restore --run-id {run}"):
        promote(gate, who="ada", why="second")
    assert champion(gate.name) == "1"


def test_an_altered_log_is_told(workspace: Path, gate: RegisterConfig, cases: Any) -> None:
    for name in "ab":
        register_version(gate, **cases.write(name))
        promote(gate, who="ada", why=name)
    with sqlite3.connect(workspace / "mlflow.db") as database:
        database.execute("update params set value = replace(value, 'ada', 'eve') where key = 'entry.000001'")
    with pytest.raises(RegistryError, match=r"entry.000002 does not follow from the one before"):
        history(gate.name)


def test_before_any_registration_there_is_nothing_to_promote(workspace: Path, gate: RegisterConfig) -> None:
    with pytest.raises(RegistryError, match="has no such model yet; run `rmtl register`"):
        promote(gate, who="ada", why="early")


def test_the_log_keeps_its_order_when_the_clock_goes_back(
    workspace: Path, gate: RegisterConfig, cases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T23: numbers order the acts, for the history, the champion and the way back; MLflow's clock goes back too."""
    begun = time.time()
    for hours, name in enumerate("abc"):
        monkeypatch.setattr("time.time", lambda hours=hours: begun - 3600 * hours)
        when = datetime.fromtimestamp(begun - 3600 * hours, UTC)
        monkeypatch.setattr("model.registry.promotion.datetime", SimpleNamespace(now=lambda _, when=when: when))
        register_version(gate, **cases.write(name))
        promote(gate, who="ada", why=f"promote {name}")
    entries = history(gate.name)
    assert [entry.after for entry in entries] == ["1", "2", "3"]
    assert entries[0].when > entries[1].when > entries[2].when
    assert champion(gate.name) == "3"
    assert rollback(gate.name, who="bob", why="complaints").after == "2"
