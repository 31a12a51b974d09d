import zipfile

import pytest
import yaml
from ts.context import Context

from model.errors import CheckpointError
from model.serving.archive import CONFIG_FILE, package
from model.serving.golden import differences
from model.serving.handler import FaceHandler
from model.serving.packaged import unpacked


@pytest.fixture(scope="module")
def small(config, weights, tmp_path_factory):
    """An archive whose workers take pictures of 100 pixels at most."""
    limited = config.package.model_copy(update={"max_pixels": 100, "max_faces": 3})
    return package(limited, weights=weights, out=tmp_path_factory.mktemp("small"), version="7")


def test_an_unpacked_archive_answers_as_the_weights_in_it(mar, predictor, picture):
    with unpacked(mar) as packaged:
        answer = packaged.predict(*picture)
    assert differences(predictor.predict(*picture), answer) == []
    assert answer["model_version"] == "7"


def test_the_limits_are_those_of_the_archive_s_workers(small, picture, tmp_path):
    """What a worker refuses, the golden predictor and the second server refuse too."""
    with zipfile.ZipFile(small) as archive:
        archive.extractall(tmp_path)

    worker = FaceHandler()
    settings = yaml.safe_load((tmp_path / CONFIG_FILE).read_text())
    worker.initialize(Context("small", str(tmp_path), {}, 1, None, "0.12.0", model_yaml_config=settings))
    with unpacked(small) as packaged:
        for pictures in ((picture[0], None), (b"bad", None)):
            assert packaged.predict(*pictures) == worker._predictor.predict(*pictures)
        assert packaged.predict(*picture)["error"]["code"] == "image_too_large"


@pytest.mark.parametrize("content", [b"", b"- a list", b"handler: {max_pixels: many}", b"{"])
def test_an_archive_that_tells_no_limits_is_refused(content, mar, tmp_path):
    bad = tmp_path / "bad.mar"
    with zipfile.ZipFile(mar) as source, zipfile.ZipFile(bad, "w") as target:
        for entry in source.infolist():
            target.writestr(entry, content if entry.filename == CONFIG_FILE else source.read(entry))
    with pytest.raises(CheckpointError, match=r"no limits of a worker: .* `rmtl package`"), unpacked(bad):
        pass
