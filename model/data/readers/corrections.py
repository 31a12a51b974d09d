"""Corrected expressions of the generic layout, beside the labels that stay as they were published.

`corrections.jsonl` has a JSON object a line: `image` as in `labels.jsonl`, `was`, the expression given there (null for
none), and `expression`, the one that counts instead. A data version that corrects labels differs in this file alone.
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from model.data.readers.common import read_text
from model.errors import DataContractError

CORRECTIONS_FILE = "corrections.jsonl"


class Correction(BaseModel):
    """A line of `corrections.jsonl`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    image: str
    was: str | None
    expression: str


@dataclass(frozen=True)
class Corrections:
    """Corrections by picture, and the file they stand in."""

    file: Path
    by_image: dict[str, tuple[int, Correction]]

    def expression(self, image: str, labelled: str | None) -> str | None:
        """The expression of a picture that `labels.jsonl` gives as `labelled`.

        Raises:
            DataContractError: the correction was made for another label.
        """
        if image not in self.by_image:
            return labelled
        line, correction = self.by_image[image]
        if correction.was != labelled:
            raise DataContractError(
                f"{self.file}, line {line}: {image} was {correction.was}, the labels say {labelled}; "
                "the correction belongs to another version of the labels"
            )
        return correction.expression

    def check_all_met(self, images: set[str]) -> None:
        """Compare with the pictures of the labels.

        Raises:
            DataContractError: a correction names a picture that the labels do not have.
        """
        for image, (line, _) in self.by_image.items():
            if image not in images:
                raise DataContractError(f"{self.file}, line {line}: no picture {image} in the labels beside it")


def read_corrections(folder: Path) -> Corrections:
    """Corrections beside `labels.jsonl`; none where there is no such file.

    Raises:
        DataContractError: a line that is no correction, or a picture corrected twice.
    """
    file = folder / CORRECTIONS_FILE
    found: dict[str, tuple[int, Correction]] = {}
    for number, line in enumerate(read_text(file).split("\n") if file.exists() else [], start=1):
        if not line.strip():
            continue
        try:
            correction = Correction.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "line"
            raise DataContractError(
                f'{file}, line {number}: {where}: {first["msg"]}; need {{"image": ..., "was": ..., "expression": ...}}'
            ) from error
        if correction.image in found:
            raise DataContractError(f"{file}, line {number}: {correction.image} is corrected twice")
        found[correction.image] = number, correction
    return Corrections(file, found)
