"""Which faces may be shown: none of a restricted source, nor another record of one of its pictures."""

from collections.abc import Iterable

from model.schema import FaceRecord


class Restricted:
    """What is known of the pictures of restricted sources.

    Attributes:
        records: the restricted ones.
        images: their pictures' addresses.
        digests: SHA-256 of the bytes of those pictures that were read; who reads another adds it.
    """

    def __init__(self, records: Iterable[FaceRecord]) -> None:
        self.records = [record for record in records if record.restricted]
        self.images = {record.image for record in self.records}
        self.digests = {record.sha256 for record in self.records if record.sha256}

    def hides(self, record: FaceRecord) -> bool:
        """Whether the face must not be shown, as far as its record tells."""
        return record.restricted or record.image in self.images or record.sha256 in self.digests
