"""A made state under the package's names stands in for its 17 MB; the published layers, written out, are the oracle."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.imagenet_trunk import convert
from model.net.backbone import normalise
from model.net.mobile import STAGES, MobileTrunk

ROWS = [(row, index) for row in STAGES for index in range(row.blocks)]


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    made: dict[str, Tensor] = {}
    _add(made, "_conv_stem", "_bn0", torch.randn(32, 3, 3, 3) / 5)
    inputs = 32
    for number, (row, _) in enumerate([*ROWS, (STAGES[-1]._replace(kernel=3, outputs=320), 0)]):
        place, inner = f"_blocks.{number}.", inputs * row.expand
        if row.expand > 1:
            _add(made, f"{place}_expand_conv", f"{place}_bn0", torch.randn(inner, inputs, 1, 1) / inputs**0.5)
        depthwise = torch.randn(inner, 1, row.kernel, row.kernel) / row.kernel
        _add(made, f"{place}_depthwise_conv", f"{place}_bn1", depthwise)
        _add(made, f"{place}_project_conv", f"{place}_bn2", torch.randn(row.outputs, inner, 1, 1) / inner**0.5)
        inputs = row.outputs
    _add(made, "_conv_head", "_bn1", torch.randn(1280, 320, 1, 1))
    return made | {"_fc.weight": torch.randn(1000, 1280), "_fc.bias": torch.randn(1000)}


def _add(made: dict[str, Tensor], conv: str, norm: str, weight: Tensor) -> None:
    made[f"{conv}.weight"] = weight
    values = {"weight": torch.rand(len(weight)) + 0.5, "bias": torch.randn(len(weight))}
    values |= {"running_mean": torch.randn(len(weight)), "running_var": torch.rand(len(weight)) + 0.5}
    made |= {f"{norm}.{name}": value for name, value in values.items()}
    made[f"{norm}.num_batches_tracked"] = torch.tensor(7)


def _layer(x: Tensor, state: dict[str, Tensor], conv: str, norm: str, *, stride: int = 1) -> Tensor:
    weight = state[f"{conv}.weight"]
    total = max(weight.shape[-1] - stride, 0)
    before = total // 2
    padded = F.pad(x, (before, total - before, before, total - before))
    groups = x.shape[1] // weight.shape[1]
    x = F.conv2d(padded, weight, stride=stride, groups=groups)
    parts = [state[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *parts, eps=0.001)


def _published(x: Tensor, state: dict[str, Tensor]) -> list[Tensor]:
    """The published network up to its last stage but one, padded as TensorFlow's SAME does."""
    x, levels = F.relu6(_layer(x, state, "_conv_stem", "_bn0", stride=2)), []
    for number, (row, index) in enumerate(ROWS):
        place, stride, given = f"_blocks.{number}.", row.stride if index == 0 else 1, x
        if row.expand > 1:
            x = F.relu6(_layer(x, state, f"{place}_expand_conv", f"{place}_bn0"))
        x = F.relu6(_layer(x, state, f"{place}_depthwise_conv", f"{place}_bn1", stride=stride))
        x = _layer(x, state, f"{place}_project_conv", f"{place}_bn2")
        x = x + given if index else x
        levels.append(x)
    return [levels[index] for index in (2, 4, 10, 14)]


def _trunk(state: dict[str, Tensor]) -> MobileTrunk:
    trunk = MobileTrunk("synced").eval()
    trunk.load_state_dict({name.removeprefix("trunk."): tensor for name, tensor in state.items()})
    return trunk


def test_converted_weights_have_the_features_of_the_published_network(state: dict[str, Tensor]) -> None:
    image = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    converted = convert(state)
    # Undo what the stem took over: this compares the networks, the next test the reading of bytes.
    converted["trunk.stem.0.weight"] = F.pad(state["_conv_stem.weight"], (1, 0, 1, 0))
    converted["trunk.stem.1.running_mean"] = state["_bn0.running_mean"]
    read = (image.float() - 127) / 128
    with torch.no_grad():
        for ours, theirs in zip(_trunk(converted)(read), _published(read, state), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_stem_takes_over_how_bytes_are_read(state: dict[str, Tensor]) -> None:
    image = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        ours = _trunk(convert(state)).stem(normalise(image))
        theirs = _layer((image.float() - 127) / 128, state, "_conv_stem", "_bn0", stride=2)
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(ours[inner], theirs[inner], rtol=1e-4, atol=1e-4)


def test_every_tensor_of_the_trunk_is_given_and_none_of_the_rest(state: dict[str, Tensor]) -> None:
    assert set(convert(state)) == {f"trunk.{name}" for name in MobileTrunk("synced").state_dict()}
