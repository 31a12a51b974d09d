"""What one process of a team sees and does, without the others."""

import pytest
import torch
import torch.distributed as dist

from model.data.loader import make_loader
from model.errors import ConfigError
from model.net.norm import CollectiveError, _summed
from model.train.distributed import LostPeerError, Team, join, tuned_kernels

CPU = torch.device("cpu")
TWO = Team(0, 2, CPU)
OWN_FAULTS = [
    torch.AcceleratorError("CUDA error: an illegal memory access was encountered"),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
]


@pytest.fixture
def exchange_fails(monkeypatch):
    """Let every exchange end with an error."""

    def fail_with(error):
        def raising(*_given):
            raise error

        monkeypatch.setattr(dist, "all_reduce", raising)
        monkeypatch.setattr(dist, "all_gather", raising)

    return fail_with


@pytest.mark.parametrize("exchange", [TWO.sum, _summed])
@pytest.mark.parametrize("error", OWN_FAULTS, ids=["device", "memory", "loader"])
def test_a_fault_of_this_process_in_an_exchange_is_no_lost_peer(exchange, error, exchange_fails):
    """The launcher starts again after a lost peer alone."""
    exchange_fails(error)
    with pytest.raises(RuntimeError, match=r"CUDA|DataLoader") as caught:
        exchange(torch.zeros(1))
    assert caught.value is error


@pytest.mark.parametrize(("exchange", "kind"), [(TWO.sum, LostPeerError), (_summed, CollectiveError)])
def test_any_other_failure_of_an_exchange_is_a_lost_peer(exchange, kind, exchange_fails):
    exchange_fails(RuntimeError("Connection closed by peer"))
    with pytest.raises(kind, match="Connection closed by peer"):
        exchange(torch.zeros(1))


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    with pytest.raises(ConfigError, match=r"2 processes .* 1 GPU.*`--processes`.*`CUDA_VISIBLE_DEVICES=`"), join():
        pass


def test_summed_gradients_lie_in_memory_as_their_parameters_do(monkeypatch):
    monkeypatch.setattr(dist, "all_reduce", lambda values: values.mul_(2))
    layer = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    layer(torch.randn(2, 3, 8, 8)).square().sum().backward()
    expected = {name: 2 * item.grad for name, item in layer.named_parameters()}
    TWO.sum_gradients(layer.parameters())
    assert not layer.weight.grad.is_contiguous()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.stride() == parameter.stride()
        assert torch.equal(parameter.grad, expected[name])


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_kernels_are_tuned_on_a_gpu_alone_and_no_longer_than_asked(kind):
    former = torch.backends.cudnn.benchmark
    with tuned_kernels(torch.device(kind)):
        assert torch.backends.cudnn.benchmark == (former or kind == "cuda")
    assert torch.backends.cudnn.benchmark == former


@pytest.mark.parametrize("gpu", [True, False])
def test_batches_wait_where_a_gpu_fetches_them_fast(gpu, tiny, tiny_shards, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    config = tiny(**{"train.loader_workers": 1}).train
    loader = make_loader(tiny_shards, "train", config, training=True, rank=0, world=1, seed=0)
    assert loader._workers.pin_memory == gpu
