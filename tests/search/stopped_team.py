"""Trainings that the leading process stops after different epochs, one after another in the same two processes.

Each process writes down after how many steps it left. test_team.py starts both:
    python tests/search/stopped_team.py job.yaml shards out repeats rank
"""

import json
import os
import socket
import sys
from pathlib import Path

import torch
import yaml

from model.config import TrainRun
from model.train import loop
from model.train.loop import train

torch.set_num_threads(1)
steps = 0
train_step = loop.train_step


def counted(*arguments, **named):
    """A step, counted."""
    global steps  # noqa: PLW0603 - one counter for the one patch
    steps += 1
    return train_step(*arguments, **named)


def free_port(out: Path, repeat: int, rank: int) -> str:
    """A port that the leader has chosen: each training meets anew."""
    path = out / f"port-{repeat}"
    if rank == 0:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = str(server.getsockname()[1])
        path.with_suffix(".part").write_text(port)
        path.with_suffix(".part").rename(path)
    while not path.exists():
        pass
    return path.read_text()


def main(job: str, shards: str, folder: str, repeats: str, rank: str) -> None:
    """Train `repeats` times and tell how many steps each took."""
    loop.train_step = counted
    run = TrainRun.model_validate(yaml.safe_load(Path(job).read_text()))
    out, taken = Path(folder), []
    for repeat in range(int(repeats)):
        os.environ |= {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        os.environ["MASTER_PORT"] = free_port(out, repeat, int(rank))
        global steps
        steps, last = 0, repeat % run.train.epochs

        def stop(epoch, _metrics, last=last):
            assert rank == "0", "only the leader is asked"
            return epoch == last

        train(run, shards=Path(shards), out=out / str(repeat), stop=stop)
        taken.append(steps)
    (out / f"steps-{rank}.json").write_text(json.dumps(taken))


if __name__ == "__main__":
    main(*sys.argv[1:])
