"""Typed failures; each class carries the exit code that the command line returns for it."""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from model.schema import ValidationReport


class FaceError(Exception):
    """Base of every failure a user can cause or repair: what, where (file, row, dotted key), what to do."""

    exit_code: ClassVar[int] = 1


class ConfigError(FaceError):
    """A value of params.yaml, of an override or of the environment is wrong."""

    exit_code = 2


class DataContractError(FaceError):
    """Data breaks the contract of a step: unknown layout, over budget, empty split, altered bytes."""

    exit_code = 3


class UnsoundSetError(DataContractError):
    """Validation failed for the set as a whole; its files are written.

    Attributes:
        report: what was found.
    """

    def __init__(self, message: str, report: "ValidationReport") -> None:
        super().__init__(message)
        self.report = report


class GateError(FaceError):
    """A model version does not meet the gate, so the alias stays where it is."""

    exit_code = 4


class ServiceError(FaceError):
    """A service is out of reach, or its port is taken."""

    exit_code = 5


class CheckpointError(FaceError):
    """Weights or a checkpoint are unsafe, damaged, or made for another network."""


class RegistryError(FaceError):
    """The model registry holds something else than it should."""


class MissingVersionError(RegistryError):
    """The registry has no such version, or no longer."""


class StorageError(FaceError):
    """Bytes cannot be read or written: missing object, full disk, wrong member."""


class ImageError(DataContractError):
    """Bytes that cannot become a picture.

    Attributes:
        code: stable, one of `not_an_image`, `truncated_image`, `image_too_large`; the endpoint answers with it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def is_loader_death(error: Exception) -> bool:
    """Whether a loader process died: torch tells by a signal, as a plain RuntimeError of whatever runs just then."""
    return isinstance(error, RuntimeError) and str(error).startswith("DataLoader worker")
