"""A training in which the last process meets trouble in one step or more; test_processes.py runs it under torchrun.

Run: torchrun --nproc-per-node 2 tests/train/one_bad_process.py nan --params ... --shards ... --out ...
"""

import os
import signal
import sys
import time
from typing import Any

import torch

from model.errors import DataContractError
from model.schema import LossTerms
from model.train import step
from model.train.__main__ import main

FIRST_BAD = 2

multitask_loss = step.multitask_loss
calls = 0


def out_of_memory(_gradient: Any) -> None:
    raise torch.OutOfMemoryError("a made one")


def killed(_gradient: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def troubled(*arguments: Any) -> LossTerms:
    """The loss, until the step in which the trouble begins."""
    global calls  # noqa: PLW0603 - one counter for the one patch
    calls += 1
    terms = multitask_loss(*arguments)
    if calls - 1 < FIRST_BAD or (calls - 1 > FIRST_BAD and kind != "nan for good"):
        return terms
    match kind:
        case "nan" | "nan for good":
            return {name: term._replace(total=term.total * torch.nan) for name, term in terms.items()}
        case "memory":
            raise torch.OutOfMemoryError("a made one")
        case "memory in backward" | "killed in backward":
            trouble = killed if kind.startswith("killed") else out_of_memory
            for term in terms.values():
                if term.total.requires_grad:
                    term.total.register_hook(trouble)
        case "data":
            raise DataContractError("train-000003.tar: altered since it was written")
        case "hang":
            time.sleep(600)
    return terms


kind = sys.argv[1]
if os.environ.get("RANK", "0") == str(int(os.environ.get("WORLD_SIZE", "1")) - 1):
    step.multitask_loss = troubled
sys.exit(main(sys.argv[2:]))
