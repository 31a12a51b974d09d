"""Several processes that train as one: sums are reduced, then divided once.

The place in the team comes from torchrun's environment; without it there is a team of one, and nothing is sent. How
long a silent peer is waited for comes from the environment too: `RMTL_HEARTBEAT_S` for a machine that has vanished, and
`RMTL_COLLECTIVE_TIMEOUT_S` for a process that lives and hangs, or is only slow (reading shards, writing weights).
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from model.errors import ConfigError
from model.net.norm import is_own_fault
from model.train.failure import LostPeerError, TrainingError
from model.train.heartbeat import Watch
from model.train.interrupt import TerminatedError
from model.train.orphan import end_with_parent

__all__ = ["LostPeerError", "Team", "TrainingError", "compute_threads", "join", "tuned_kernels"]

HEARTBEAT_S = 30.0
COLLECTIVE_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Team:
    """Who takes part: `rank` of `world` processes, and the device this one computes on."""

    rank: int
    world: int
    device: torch.device
    watch: Watch | None = None

    @property
    def leads(self) -> bool:
        """Whether this process writes files and talks to people."""
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """The element-wise sum over the processes, in place and equal on each.

        Raises:
            LostPeerError: another process has left.
        """
        if self.world > 1:
            with _lost_peer(self):
                dist.all_reduce(values)
        return values

    def lost(self, error: Exception) -> LostPeerError:
        """What a failed exchange means, with the cause that the others left word of."""
        cause = (self.watch and self.watch.cause()) or _in_short(error)
        return LostPeerError(
            f"process {self.rank} of {self.world}: another process has left ({cause}); "
            "start again with the same folder to resume"
        )

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on at least one process."""
        return bool(self.sum(torch.tensor([float(flag)], device=self.device)).item())

    def gather_rows(self, rows_ND: Tensor) -> Tensor:
        """The rows of all processes below one another; processes may hold different numbers of rows, or none."""
        if self.world == 1:
            return rows_ND
        numbers = torch.zeros(self.world, dtype=torch.int64, device=self.device)
        numbers[self.rank] = len(rows_ND)
        counts = [int(number) for number in self.sum(numbers)]
        padded = torch.zeros(max(counts), *rows_ND.shape[1:], dtype=rows_ND.dtype, device=self.device)
        padded[: len(rows_ND)] = rows_ND
        parts = [torch.empty_like(padded) for _ in counts]
        with _lost_peer(self):
            dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Put the sum over the processes into each `grad`; a gradient absent on one of them counts as zero.

        One message for all parameters: a parameter that a batch leaves unused on some ranks needs no bookkeeping.
        """
        if self.world == 1:
            return
        parameters = list(parameters)
        flat = torch.cat([_gradient(parameter).reshape(-1) for parameter in parameters])
        self.sum(flat)
        parts = torch.split(flat, [item.numel() for item in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            # The optimiser's fast path wants a gradient that lies in memory as its parameter does.
            parameter.grad = torch.empty_like(parameter).copy_(part.view_as(parameter))

    def average_buffers(self, net: nn.Module) -> None:
        """Make floating-point buffers (running statistics) equal on all processes."""
        if self.world == 1:
            return
        for buffer in net.buffers():
            if buffer.is_floating_point():
                buffer.copy_(self.sum(buffer.clone()) / self.world)


@contextmanager
def join() -> Iterator[Team]:
    """Take part in the team that torchrun's environment describes, and leave it at the end."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    device = _device()
    if world == 1:
        yield Team(0, 1, device)
        return
    if dist.is_torchelastic_launched():
        end_with_parent()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    patience = timedelta(seconds=_seconds("RMTL_COLLECTIVE_TIMEOUT_S", COLLECTIVE_TIMEOUT_S))
    store, rank, world = next(dist.rendezvous("env://", timeout=patience))  # type: ignore[attr-defined]
    watch = Watch(store, rank, world, _seconds("RMTL_HEARTBEAT_S", HEARTBEAT_S))
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        with _farewell(watch):
            dist.init_process_group(backend, store=store, rank=rank, world_size=world, timeout=patience)
            yield Team(rank, world, device, watch)
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        watch.close()


@contextmanager
def compute_threads(number: int) -> Iterator[None]:
    """Let torch use `number` threads within the block; 0 changes nothing."""
    former = torch.get_num_threads()
    torch.set_num_threads(number or former)
    try:
        yield
    finally:
        torch.set_num_threads(former)


@contextmanager
def tuned_kernels(device: torch.device) -> Iterator[None]:
    """Let cuDNN time its kernels for each shape within the block and keep the fastest; a CPU has none."""
    former = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = former or device.type == "cuda"
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = former


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    processes, gpus = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if processes > gpus:
        raise ConfigError(
            f"{processes} processes on a machine with {gpus} GPU(s): each needs one of its own; lower `--processes`, "
            "or set `CUDA_VISIBLE_DEVICES=` to train on the CPU"
        )
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


@contextmanager
def _farewell(watch: Watch) -> Iterator[None]:
    """Leave the watch, with word of the failure that is the first one and not a request to end."""
    failure = ""
    try:
        yield
    except TerminatedError:
        raise
    except Exception as error:
        failure = str(error) or type(error).__name__
        raise
    finally:
        watch.leave(failure)


@contextmanager
def _lost_peer(team: Team) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, dist.DistError) as error:
        if is_own_fault(error):
            raise
        raise team.lost(error) from error


def _in_short(error: Exception) -> str:
    """The backend's first sentence, without the place in its source."""
    return re.sub(r"^\[\S+:\d+\] ", "", str(error).splitlines()[0]).partition(". ")[0]


def _seconds(name: str, default: float) -> float:
    text = os.environ.get(name, "")
    try:
        value = float(text or default)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 86_400:
        raise ConfigError(f"{name}={text}: need seconds from 1 to 86400")
    return value
