"""Compiled pipelines: equal to the committed YAML, and free of secrets and of this machine."""

from pathlib import Path

import pytest
import yaml

from pipelines.compile import compile_all

pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return compile_all(tmp_path_factory.mktemp("compiled"))


def test_the_compiled_pipeline_equals_the_golden_one(compiled: list[Path], root: Path) -> None:
    """T17."""
    for path in compiled:
        assert path.read_text() == (root / "pipelines/compiled" / path.name).read_text(), "run `rmtl pipeline compile`"


def test_no_secret_and_no_place_of_this_machine_is_compiled_in(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T17."""
    monkeypatch.setenv("RMTL_ENDPOINT_TOKEN", "canary-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-secret")
    for path in compile_all(tmp_path):
        text = path.read_text()
        assert "canary-secret" not in text
        assert str(root) not in text


def test_images_carry_a_version(compiled: list[Path]) -> None:
    """T17."""
    for path in compiled:
        definition = next(yaml.safe_load_all(path.read_text()))
        images = {item["container"]["image"] for item in definition["deploymentSpec"]["executors"].values()}
        assert all(":" in image and not image.endswith(":latest") for image in images)


def test_sections_of_params_are_parameters(compiled: list[Path]) -> None:
    inputs = next(yaml.safe_load_all(compiled[0].read_text()))["root"]["inputDefinitions"]["parameters"]
    assert {"index", "validate", "shard", "train", "evaluate", "register", "package", "seed", "data_version"} <= set(
        inputs
    )
