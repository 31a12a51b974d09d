"""An address that nobody should ask."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Listener:
    """A port of this machine whose callers are counted by the kernel, answered by nobody."""

    listening: socket.socket

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    @property
    def was_called(self) -> bool:
        """Whether anybody has connected."""
        try:
            self.listening.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@contextmanager
def listener() -> Iterator[Listener]:
    """Listen in the block."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield Listener(listening)
