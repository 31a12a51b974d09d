import subprocess
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from model.errors import GateError
from supply.leaks import Leak, judge, scan
from supply.policy import Secret, load_policy

TODAY = date(2026, 11, 24)
# In two pieces, so that this file is none of the finds.
KEY = "AKIA" + "QJZ7LQ4XW3TNB2HD"


def git(repository: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run(["git", "-C", str(repository), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init")
    (tmp_path / "settings.py").write_text(f"key = '{KEY}'\n")
    git(tmp_path, "add", ".")
    return tmp_path


@pytest.mark.long
@pytest.mark.long
def test_no_tracked_file_holds_an_unexplained_secret(root: Path):
    """T46. `make supply-chain` looks through the history as well."""
    judge(scan(root, history=False), load_policy().secret, datetime.now(UTC).date())


def test_a_key_about_to_be_committed_is_found(repository: Path):
    """T46."""
    found = scan(repository, history=False)
    assert [(leak.path, leak.line, leak.kind) for leak in found] == [("settings.py", 1, "AWS Access Key")]
    with pytest.raises(GateError, match=r"settings\.py:1: AWS Access Key"):
        judge(found, [], TODAY)


def test_a_key_that_was_removed_is_found_in_the_history(repository: Path):
    """T46."""
    git(repository, "commit", "-m", "add")
    git(repository, "rm", "settings.py")
    git(repository, "commit", "-m", "remove")
    assert scan(repository, history=False) == []
    assert [leak.path for leak in scan(repository)] == ["settings.py"]


@pytest.mark.parametrize(
    ("line", "finds"),
    [
        ("secretName: rmtl-s3", 0),
        ("secretKey: AWS_SECRET_ACCESS_KEY", 0),
        ("secretKey: " + "Zk3vQ9" * 5, 1),
        ("secretKey: " + KEY, 1),
        ("password: " + "hunter-" * 3, 1),
    ],
)
def test_the_name_of_a_secret_is_none(repository: Path, line: str, finds: int):
    (repository / "settings.py").unlink()
    (repository / "pod.yaml").write_text(f"pod:\n  {line}\n")
    git(repository, "add", "--all")
    assert len({leak.digest for leak in scan(repository)}) == finds


def test_the_message_does_not_repeat_the_secret(repository: Path):
    with pytest.raises(GateError) as refusal:
        judge(scan(repository), [], TODAY)
    assert KEY not in str(refusal.value)


def test_an_exception_covers_one_text_in_one_file_until_its_date():
    """T46."""
    leak = Leak("a.py", 3, "Secret Keyword", "0" * 40)
    exception = Secret(path="a.py", digest="0" * 40, until=TODAY, reason="made up for this very test")
    judge([leak], [exception], TODAY)
    for other in (leak._replace(path="b.py"), leak._replace(digest="1" * 40)):
        with pytest.raises(GateError, match="1 possible secret"):
            judge([other], [exception], TODAY)
    with pytest.raises(GateError, match="ended on"):
        judge([leak], [exception], date(2026, 11, 25))
