"""Fixtures for tests against the stand-in of the Kubeflow Pipelines server."""

from collections.abc import Iterator

import pytest

from tests.kfp_server import TOKEN, KfpServer, run_kfp

VARIABLES = ("HOST", "NAMESPACE", "TOKEN", "EXPERIMENT", "CA", "SERVICE_ACCOUNT")


@pytest.fixture
def kfp(monkeypatch: pytest.MonkeyPatch) -> Iterator[KfpServer]:
    """A server that wants a token, and an environment that names it."""
    for name in VARIABLES:
        monkeypatch.delenv(f"RMTL_KFP_{name}", raising=False)
    with run_kfp(token=TOKEN) as server:
        monkeypatch.setenv("RMTL_KFP_HOST", server.url)
        monkeypatch.setenv("RMTL_KFP_TOKEN", TOKEN)
        yield server
