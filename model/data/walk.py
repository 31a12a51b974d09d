"""Files below folders, also below those that they link to."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


def files_below(folders: Iterable[Path], unreadable: Callable[[OSError], None]) -> Iterator[Path]:
    """Files by name; a folder that is linked to comes last, none comes twice, and a missing one has no files.

    Args:
        unreadable: is told of each folder that cannot be listed.
    """
    waiting = deque(folder for folder in folders if folder.is_dir())
    links: deque[Path] = deque()
    seen: set[Path] = set()
    while waiting or links:
        found: list[Path] = []
        for folder, below, names in os.walk((waiting or links).popleft(), onerror=unreadable):
            here = Path(folder)
            if here.resolve() in seen:
                below.clear()
                continue
            seen.add(here.resolve())
            links += sorted(here / name for name in below if (here / name).is_symlink())
            found += [here / name for name in names if (here / name).is_file()]
        yield from sorted(found)
