"""What TorchServe loads from the archive; the code itself comes from the installed package."""

from model.serving.handler import FaceHandler


class Handler(FaceHandler):
    """TorchServe wants exactly one class defined in this file."""
