"""Signs of life between processes, here two watches on one store."""

import time
from datetime import timedelta

import torch.distributed as dist

from model.train.heartbeat import Watch


def test_a_process_lost_right_after_it_joined_is_missed() -> None:
    """T25: it vanished before its first period was over."""
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, timeout=timedelta(seconds=10))
    vanished = Watch(store, 1, 2, limit_s=100.0)
    vanished._leaving.set()
    left = Watch(store, 0, 2, limit_s=1.0)
    try:
        deadline = time.monotonic() + 8
        while not (cause := left.cause()) and time.monotonic() < deadline:
            pass
        assert "process 1 of 2 has given no sign of life" in cause
    finally:
        left.close()
        vanished.close()
