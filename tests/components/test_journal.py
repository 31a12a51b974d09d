"""The journal on a real S3 server."""

from pathlib import Path

import pytest

from components.journal import PLACE, RUN, Entry, Journal
from model.errors import ServiceError
from model.s3 import s3_client
from tests.s3 import ACCESS, SECRET, run_server

pytestmark = pytest.mark.service


def entry(step: str, started: float) -> Entry:
    return Entry(step, "key", 1, started, 1.0, 1.0, 10.0, 2, 0, 0)


def test_runs_do_not_see_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with run_server(tmp_path) as server:
        for name, value in {
            "AWS_ENDPOINT_URL_S3": server.url,
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            PLACE: "s3://runs/journal",
        }.items():
            monkeypatch.setenv(name, value)
        s3_client.cache_clear()
        s3_client().create_bucket(Bucket="runs")
        monkeypatch.setenv(RUN, "one")
        one = Journal.from_environment()
        one.add(entry("train", 2.0))
        one.add(entry("index", 1.0))
        monkeypatch.setenv(RUN, "two")
        assert Journal.from_environment().entries() == []
        assert [item.step for item in one.entries()] == ["index", "train"]
        assert len(one.tries("train", "key")) == 1
        server.end()
        with pytest.raises(ServiceError, match="RMTL_JOURNAL"):
            one.entries()
    s3_client.cache_clear()
