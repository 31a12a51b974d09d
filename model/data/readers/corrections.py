"""Corrected expressions of the generic layout, beside the labels that stay as they were published.

`corrections.jsonl` has a JSON object a line: `image` as in `labels.jsonl`, `was`, the expression given there (null for
none), and `expression`, the one that counts instead. Of a picture with several faces `id` names the one that is meant,
as its record is called (`1.jpg#2`); without it the correction counts for each face that has none of its own. A data
version that corrects labels differs in this file alone.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from model.data.readers.common import read_text
from model.errors import DataContractError

CORRECTIONS_FILE = "corrections.jsonl"

Face = tuple[str, str | None]
"""A picture, and the name of one of its faces or null for all of them."""


class Correction(BaseModel):
    """A line of `corrections.jsonl`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str
    was: str | None
    expression: str
    id: str | None = None

    @property
    def face(self) -> Face:
        """What is corrected."""
        return self.image, self.id


@dataclass(frozen=True)
class Corrections:
    """Corrections by face, and the file they stand in."""

    file: Path
    by_face: dict[Face, tuple[int, Correction]]

    def expression(self, image: str, identity: str, labelled: str | None) -> str | None:
        """The expression of a face of a picture that `labels.jsonl` gives as `labelled`.

        Raises:
            DataContractError: the correction was made for another label.
        """
        face = (image, identity) if (image, identity) in self.by_face else (image, None)
        if face not in self.by_face:
            return labelled
        line, correction = self.by_face[face]
        if correction.was != labelled:
            raise DataContractError(
                f"{self.file}, line {line}: {_told(face)} was {correction.was}, the labels say {labelled}; "
                "the correction belongs to another version of the labels, or to another face of the picture"
            )
        return correction.expression

    def check_all_met(self, faces: set[Face]) -> None:
        """Compare with the faces of the labels, and their pictures.

        Raises:
            DataContractError: a correction names a picture or a face that the labels do not have.
        """
        for face, (line, _) in self.by_face.items():
            if face not in faces:
                raise DataContractError(f"{self.file}, line {line}: no {_told(face)} in the labels beside it")


def read_corrections(folder: Path) -> Corrections:
    """Corrections beside `labels.jsonl`; none where there is no such file.

    Raises:
        DataContractError: a line that is no correction, or a picture or face corrected twice.
    """
    file = folder / CORRECTIONS_FILE
    found: dict[Face, tuple[int, Correction]] = {}
    for number, line in enumerate(read_text(file).split("\n") if file.exists() else [], start=1):
        if not line.strip():
            continue
        try:
            correction = Correction.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{part}: " for part in first["loc"])
            raise DataContractError(
                f'{file}, line {number}: {where}{first["msg"]}; need {{"image": ..., "was": ..., "expression": ...}}'
            ) from error
        if correction.face in found:
            raise DataContractError(f"{file}, line {number}: {_told(correction.face)} is corrected twice")
        found[correction.face] = number, correction
    return Corrections(file, found)


def _told(face: Face) -> str:
    image, identity = face
    return f"picture {image}" if identity is None else f"face {identity} of picture {image}"
