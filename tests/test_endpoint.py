"""The token of this folder's deployment, and who is shown it."""

from pathlib import Path

import pytest

from model.cli import endpoint, workspace
from model.schema import Deployment, to_json
from model.serving.client import EndpointClient
from model.storage import write_json


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a deployment on port 8080 whose token is `own`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RMTL_ENDPOINT_TOKEN", raising=False)
    (tmp_path / "token").write_text("own\n")
    write_json(workspace.DEPLOYMENT, to_json(Deployment("http://127.0.0.1:8080", "residual-mtl", "1", 1, "token")))


def _shown(monkeypatch: pytest.MonkeyPatch, url: str) -> str | None:
    tokens: list[str | None] = []
    monkeypatch.setattr(EndpointClient, "__init__", lambda _, __, *, token, **_others: tokens.append(token))
    endpoint.connect(url)
    return tokens[0]


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "http://127.0.0.1:8080/", "http://localhost:8080"])
def test_the_deployment_is_shown_its_token(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert _shown(monkeypatch, url) == "own"


@pytest.mark.usefixtures("deployed")
@pytest.mark.parametrize(
    "url",
    ["http://elsewhere:8080", "http://127.0.0.1:8081", "https://127.0.0.1:8080", "http://127.0.0.1:8080@elsewhere"],
)
def test_nobody_else_is_shown_it(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    assert _shown(monkeypatch, url) is None


@pytest.mark.usefixtures("deployed")
def test_the_token_of_the_environment_goes_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTL_ENDPOINT_TOKEN", "given")
    assert _shown(monkeypatch, "http://elsewhere:8080") == "given"


@pytest.mark.usefixtures("deployed")
def test_a_key_file_that_is_gone_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """`rmtl lineage` and `rmtl verify` still walk the other hops."""
    Path("token").unlink()
    assert _shown(monkeypatch, "http://127.0.0.1:8080") is None
