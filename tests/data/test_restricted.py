"""What may be shown beside restricted sources."""

import pytest

from model.data.restricted import Restricted
from model.schema import FaceRecord

CLOSED = FaceRecord("closed/1", "closed", "train", "", "1.png", sha256="a", restricted=True)


@pytest.mark.parametrize(
    ("image", "sha256", "hidden"),
    [("1.png", None, True), ("2.png", "a", True), ("2.png", "b", False), ("2.png", None, False)],
)
def test_a_picture_is_hidden_by_its_address_and_by_its_bytes(image: str, sha256: str | None, *, hidden: bool) -> None:
    unread = FaceRecord("closed/3", "closed", "train", "", "3.png", restricted=True)
    restricted = Restricted([CLOSED, unread])
    assert restricted.hides(CLOSED)
    assert restricted.hides(FaceRecord("open/1", "open", "train", "", image, sha256=sha256)) is hidden
