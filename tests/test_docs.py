"""The documents: what they name exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")])

VARIABLE = re.compile(r"(RMTL|MLFLOW|AWS)_[A-Z0-9_]*[A-Z0-9]")
NOT_THE_USERS = {
    "RMTL_FAILURE_FILE": "the launcher tells it to the processes of a training",
    "RMTL_PARENT_PID": "so does it who started them",
    "RMTL_RUN": "the cluster tells it to the steps of a run",
    "RMTL_TRAIN_LAUNCHER": "the option --launcher sets it before a pipeline is compiled",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "never on, whatever the environment says",
    "MLFLOW_DISABLE_TELEMETRY": "MLflow's own, preset by model.registry as those below",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "",
    "MLFLOW_LOGGING_LEVEL": "",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "",
}
"""Variables of the code that nobody sets by hand, and why."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    """T47."""
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_folders_named_by_the_architecture_exist() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs/ARCHITECTURE.md").read_text(), flags=re.MULTILINE)
    first = [re.findall(r"`([^`]+)`", row)[0] for row in rows]
    assert len(first) > 8
    assert [name for name in first if not (ROOT / name).exists()] == []


def test_every_variable_of_the_environment_is_listed() -> None:
    """Named where it is read, or by a constant."""
    listed = set(re.findall(r"[A-Z][A-Z0-9_]{4,}", (ROOT / ".env.example").read_text()))
    used = {name for package in ("model", "pipelines", "components") for name in variables(ROOT / package)}
    assert used - NOT_THE_USERS.keys() - listed == set()
    assert NOT_THE_USERS.keys() - used == set()


def test_a_variable_is_seen_whether_it_is_named_in_place_or_by_a_constant(tmp_path: Path) -> None:
    (tmp_path / "reader.py").write_text('STORAGE = "RMTL_STORAGE"\nkeys = environ["AWS_KEY"], f"{STORAGE} RMTL_TEXT"\n')
    assert set(variables(tmp_path)) == {"RMTL_STORAGE", "AWS_KEY"}


def variables(package: Path) -> Iterator[str]:
    """Texts of the code that are the name of a variable, as a whole."""
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value):
                yield node.value
