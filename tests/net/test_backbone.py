import pytest
import torch

from model.config import Config
from model.net.backbone import SIZES, Block, Neck, Trunk, make_trunk, normalise, scale_channels
from model.net.mobile import MobileTrunk


@pytest.mark.parametrize(("size", "side"), [("nano", 48), ("small", 32), ("base", 64)])
def test_levels_halve_from_stride_four(config: Config, size: str, side: int) -> None:
    net = config.train.net.model_copy(update={"size": size, "input_size": side})
    trunk = Trunk(net)
    levels = trunk(torch.zeros(1, 3, side, side))
    assert [level.shape[-1] for level in levels] == [side // (4 * 2**i) for i in range(len(SIZES[size].stages))]
    assert [level.shape[1] for level in levels] == trunk.channels


def test_the_configuration_chooses_the_trunk(config: Config) -> None:
    trunks = [make_trunk(config.train.net.model_copy(update={"trunk": name})) for name in ("residual", "lite0")]
    assert [type(trunk) for trunk in trunks] == [Trunk, MobileTrunk]


def test_a_block_without_live_statistics_starts_as_its_shortcut() -> None:
    x = torch.rand(2, 16, 8, 8)
    assert torch.equal(Block(16, 16, "frozen")(x), x)


def test_a_neck_gives_the_map_of_its_level_and_reads_all_coarser_ones() -> None:
    levels = [torch.rand(1, 8 * 2**i, 16 // 2**i, 16 // 2**i, requires_grad=True) for i in range(3)]
    merged = Neck([8, 16, 32], 24, "group", level=1)(levels)
    merged.sum().backward()
    assert merged.shape == (1, 24, 8, 8)
    assert [level.grad is not None for level in levels] == [False, True, True]


def test_width_multiplies_channels_in_steps_of_four() -> None:
    assert [scale_channels(64, width) for width in (0.05, 0.5, 1.0, 1.1)] == [4, 32, 64, 72]


def test_bytes_become_minus_one_to_one() -> None:
    assert normalise(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1.0, 1.0]
