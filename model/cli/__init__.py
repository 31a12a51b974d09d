"""The command `rmtl`: each command is a thin door to one function of the package.

Run:
    rmtl --help
"""

from model.cli.app import main

__all__ = ["main"]
