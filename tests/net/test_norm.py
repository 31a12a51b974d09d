import multiprocessing
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.net.norm import FrozenNorm, SyncedNorm, fold_norms, make_norm

CHANNELS = 6
SHARES = ((0, 3), (3, 8))


def _faces() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(8, CHANNELS, 5, 5, generator=generator) * 3 + 7,
        torch.randn(8, CHANNELS, 5, 5, generator=generator),
    )


def _pass(norm: nn.BatchNorm2d, x: Tensor, weight: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, CHANNELS))
        norm.bias.copy_(torch.linspace(-1, 1, CHANNELS))
    x = x.clone().requires_grad_()
    y = norm(x)
    (y * weight).sum().backward()
    parts = {"y": y, "x": x.grad, "weight": norm.weight.grad, "bias": norm.bias.grad}
    parts |= {"mean": norm.running_mean, "var": norm.running_var}
    return {name: part.detach().clone() for name, part in parts.items() if part is not None}


def _work(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(SHARES))
    start, end = SHARES[rank]
    x, weight = _faces()
    save_file(_pass(SyncedNorm(CHANNELS), x[start:end], weight[start:end]), folder / f"{rank}.safetensors")
    dist.destroy_process_group()


@pytest.mark.ddp
def test_synced_norm_of_two_processes_is_batch_norm_of_their_union(tmp_path: Path) -> None:
    """Oracle: torch's BatchNorm2d on all eight faces; the processes hold three and five. Part of T28."""
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_work, args=(rank, tmp_path)) for rank in range(len(SHARES))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    whole = _pass(nn.BatchNorm2d(CHANNELS), *_faces())
    parts = [load_file(tmp_path / f"{rank}.safetensors") for rank in range(len(SHARES))]
    for name in ("y", "x"):
        torch.testing.assert_close(torch.cat([part[name] for part in parts]), whole[name], rtol=1e-5, atol=1e-5)
    for name in ("weight", "bias"):
        torch.testing.assert_close(sum(part[name] for part in parts), whole[name], rtol=1e-5, atol=1e-4)
    for name in ("mean", "var"):
        for part in parts:
            torch.testing.assert_close(part[name], whole[name], rtol=1e-6, atol=1e-6)


def test_synced_norm_alone_is_batch_norm() -> None:
    single, batch = (_pass(norm, *_faces()) for norm in (SyncedNorm(CHANNELS), nn.BatchNorm2d(CHANNELS)))
    assert all(torch.equal(single[name], batch[name]) for name in batch)


def test_frozen_norm_reads_no_batch() -> None:
    norm = FrozenNorm(CHANNELS).train()
    x, _ = _faces()
    torch.testing.assert_close(norm(x)[:2], norm(x[:2]))
    assert torch.equal(norm.running_mean, torch.zeros(CHANNELS))


def test_batch_synced_and_frozen_share_their_weights() -> None:
    keys = [set(make_norm(kind, CHANNELS).state_dict()) for kind in ("batch", "synced", "frozen")]
    assert keys[0] == keys[1] == keys[2]


@pytest.mark.parametrize("kind", ["batch", "synced", "frozen"])
def test_a_folded_norm_is_gone_and_answers_stay(kind: str) -> None:
    torch.manual_seed(0)
    norm = make_norm(kind, CHANNELS, eps=0.001)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    layers = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 3, bias=False), norm, nn.ReLU()).eval()
    x, _ = _faces()
    before = layers(x)
    fold_norms(layers)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)
    torch.testing.assert_close(layers(x), before, rtol=1e-5, atol=1e-5)


def test_a_group_norm_is_not_folded() -> None:
    layers = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1), make_norm("group", CHANNELS)).eval()
    fold_norms(layers)
    assert isinstance(layers[1], nn.GroupNorm)


@pytest.mark.parametrize("channels", [8, 12, 20, 72])
def test_group_norm_takes_any_width(channels: int) -> None:
    x = torch.randn(2, channels, 3, 3)
    assert make_norm("group", channels)(x).shape == x.shape
