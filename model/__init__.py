"""Residual multi-task learning of 68 facial landmarks and 7 apparent expressions."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("residual-mtl")
except PackageNotFoundError:  # a bare checkout on a GPU machine
    __version__ = "0.0.0+checkout"
