"""What a container is told of this machine's folders; no engine is asked."""

from pathlib import Path

import pytest

from model.data.ingest import CACHE
from pipelines import containers


def test_a_relative_cache_is_the_same_folder_outside_and_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "_image_id", lambda: "sha256:0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE, "fetched")
    told = containers.runner("run", remote="s3://bucket/data").container_run_args
    place = str(tmp_path / "fetched")
    assert told["environment"][CACHE] == place
    assert (place, place) in [(mount["Source"], mount["Target"]) for mount in told["mounts"]]
