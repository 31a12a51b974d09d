"""kfp artifacts on this disk."""

from pathlib import Path

from kfp import dsl


def made(folder: Path, name: str, text: str | None = None) -> dsl.Artifact:
    """An artifact whose file lies in `folder`; without text there is no file yet."""
    path = folder / name
    if text is not None:
        path.write_text(text)
    return dsl.Artifact(name=name, uri=str(path), metadata={})
