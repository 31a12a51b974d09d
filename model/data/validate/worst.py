"""The worst rows of the quarantine on a page, drawn where they may be: no face of a restricted source is shown.

A copy of a restricted picture that another source holds, mirrored or not, counts as one of the restricted source.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from model.config.data import ValidateConfig
from model.data.codec import decode_image
from model.data.restricted import Restricted
from model.data.sheet import draw_sheet
from model.data.validate.crops import Crop, crop_row
from model.data.validate.docs import WORST_PAGE, table, write_page
from model.data.validate.duplicates import Fingerprint, fingerprint, near_duplicates
from model.data.validate.pictures import Look
from model.data.validate.report import Quarantined
from model.errors import ImageError, StorageError
from model.schema import FaceRecord
from model.storage import digest_bytes, leaves_folder, read_bytes

PICTURE = "worst.png"

_EACH = 4
_MOST = 48
_TRIED = 50


@dataclass
class Share:
    """What is shown of the rows of one rule.

    Attributes:
        rows: their number.
        hidden: those of restricted sources and of their pictures, and copies of theirs among those that were opened.
        drawn: furthest beyond the limit first.
        unreadable: rows whose picture could not be opened.
    """

    rule: str
    rows: int
    hidden: int
    drawn: list[Crop] = field(default_factory=list)
    unreadable: list[Quarantined] = field(default_factory=list)


def write_worst(
    folder: Path,
    moved: Sequence[Quarantined],
    records: Sequence[FaceRecord],
    looks: Mapping[str, Look],
    *,
    config: ValidateConfig,
    data: Path,
) -> None:
    """Write `worst.html`, and `worst.png` where something can be drawn: the same bytes for the same input.

    A rule shows a few of its rows, those furthest beyond its limit, or the first ones where it has none.

    Args:
        moved: the quarantine.
        records: the whole manifest, which tells what is restricted.

    Raises:
        ServiceError: S3 is away, overloaded, or refuses.
    """
    by_rule: dict[str, list[Quarantined]] = defaultdict(list)
    for row in moved:
        by_rule[row.rule].append(row)
    restricted = Restricted(records)
    prints = _seen(restricted, looks, max_pixels=config.max_pixels, data=data)
    opener = _Opener(restricted, looks, max_pixels=config.max_pixels, data=data)
    each = max(1, min(_EACH, _MOST // max(len(by_rule), 1)))
    shares = [opener.share(rule, rows, each) for rule, rows in by_rule.items()]
    _hide_copies(shares, prints, config)
    drawn = [crop for share in shares for crop in share.drawn]
    draw_sheet(folder / PICTURE, [crop.tile(number) for number, crop in enumerate(drawn, start=1)])
    write_page(folder / WORST_PAGE, "Worst rows", _body(shares, drawn))


class _Opener:
    """Opens the pictures of rows that are not those of a restricted source."""

    def __init__(self, restricted: Restricted, looks: Mapping[str, Look], *, max_pixels: int, data: Path) -> None:
        self._restricted = restricted
        self._looks, self._max_pixels, self._data = looks, max_pixels, data

    def share(self, rule: str, rows: Sequence[Quarantined], each: int) -> Share:
        """At most `each` rows drawn of those of one rule; a bounded number is tried."""
        allowed = [row for row in rows if not self._restricted.hides(row.record)]
        share = Share(rule, len(rows), hidden=len(rows) - len(allowed))
        for row in sorted(allowed, key=lambda row: -row.excess)[:_TRIED]:
            if len(share.drawn) < each:
                self._open(row, share)
        return share

    def _open(self, row: Quarantined, share: Share) -> None:
        image = row.record.image
        if leaves_folder(image):
            share.unreadable.append(row)
            return
        try:
            content = read_bytes(image, self._data)
            if digest_bytes(content) in self._restricted.digests:
                share.hidden += 1
            elif self._looks.get(image, Look()).error:
                share.unreadable.append(row)
            else:
                share.drawn.append(crop_row(row, decode_image(content, max_pixels=self._max_pixels)))
        except (ImageError, StorageError):
            share.unreadable.append(row)


def _seen(restricted: Restricted, looks: Mapping[str, Look], *, max_pixels: int, data: Path) -> list[Fingerprint]:
    """Fingerprints of all pictures of restricted sources; those that validation did not open give their digests too."""
    prints = []
    for image in dict.fromkeys(record.image for record in restricted.records):
        known = looks.get(image, Look()).print_
        if known is None and not leaves_folder(image):
            try:
                content = read_bytes(image, data)
                restricted.digests.add(digest_bytes(content))
                known = fingerprint(decode_image(content, max_pixels=max_pixels))
            except (ImageError, StorageError):
                continue
        if known is not None:
            prints.append(known)
    return prints


def _hide_copies(shares: Sequence[Share], known: Sequence[Fingerprint], config: ValidateConfig) -> None:
    """Take out what looks like a picture of a restricted source."""
    drawn = [(share, crop) for share in shares for crop in share.drawn]
    if not known or not drawn:
        return
    pairs = near_duplicates(
        [*(crop.print_ for _, crop in drawn), *known],
        np.arange(len(drawn)),
        bits=config.near_duplicate_bits,
        correlation=config.near_duplicate_correlation,
    )
    for place in {one for one, other, *_ in pairs if other >= len(drawn)}:
        share, crop = drawn[place]
        share.drawn.remove(crop)
        share.hidden += 1


def _body(shares: Sequence[Share], drawn: Sequence[Crop]) -> str:
    hidden = sum(share.hidden for share in shares)
    unreadable = [_told(row) for share in shares for row in share.unreadable]
    parts = ['<p><a href="index.html">all rules</a></p>']
    if not shares:
        parts.append("<p>No row is in quarantine.</p>")
    if drawn:
        parts.append(
            "<p>A few rows a rule, those furthest beyond its limit first. Points are blue, boxes orange; grey lies "
            f'outside of the picture.</p><img src="{PICTURE}" alt="the rows of the table, by number">'
        )
        rows = [(number, *_told(crop.row)) for number, crop in enumerate(drawn, start=1)]
        parts.append(table(("number", "rule", "row", "picture", "reason"), rows))
    if unreadable:
        parts.append("<h2>Without a readable picture</h2>" + table(("rule", "row", "picture", "reason"), unreadable))
    if hidden:
        parts.append(f"<p>{hidden:,} rows of restricted sources, or copies of their pictures, are not shown.</p>")
    if shares:
        head = ("rule", "rows", "drawn", "listed without a picture", "restricted")
        counts = [(each.rule, each.rows, len(each.drawn), len(each.unreadable), each.hidden) for each in shares]
        parts.append("<h2>Rows by rule</h2><p>All of them are in quarantine.csv.</p>" + table(head, counts))
    return "".join(parts)


def _told(row: Quarantined) -> tuple[str, str, str, str]:
    return row.rule, row.record.record_id, row.record.image, row.reason
