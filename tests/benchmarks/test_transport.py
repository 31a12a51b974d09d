"""Files against shards through a real S3 server, on few pictures."""

from pathlib import Path

import pytest

from benchmarks.transport import measure, picture
from model.s3 import s3_client


def test_pictures_are_small_alike_and_differ() -> None:
    assert picture(1) == picture(1) != picture(2)
    assert 2000 < len(picture(1)) < 4000


@pytest.mark.service
@pytest.mark.long
def test_shards_need_fewer_objects_and_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "")
    found = measure(tmp_path, pictures=60, shard_pictures=30)
    s3_client.cache_clear()
    assert [found[way]["objects"] for way in ("files", "shards")] == [61, 3]
    for step in ("push", "pull"):
        assert found["files"][step]["requests"] >= 60
        assert 3 <= found["shards"][step]["requests"] < 40
        assert found["shards"][step]["s"] > 0
    assert found["files"]["add"]["requests"] == 0
