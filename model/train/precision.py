"""Whether bf16 is worth its name on this machine."""

from functools import cache

import torch

# What `torch.cpu.get_capabilities` calls the instructions that multiply bf16, on x86 and on Arm.
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")


@cache
def computes_bf16(device: str) -> bool:
    """Whether a device of this type (`cpu`, `cuda`) multiplies bf16 itself.

    One that does not imitates it number by number: a step then takes eight times as long as in fp32.
    """
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    return any(found.get(name, False) for name in _INSTRUCTIONS)
