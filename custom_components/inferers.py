"""The one place that decides in which precision a network runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer


def cpu_is_fast_in_bfloat16() -> bool:
    """Whether this processor has instructions for bfloat16 (AMX or AVX512-BF16); others emulate it slowly."""
    if not torch.backends.mkldnn.is_available():
        return False
    probes = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
    return any(probe() for probe in probes if probe is not None)


class AutocastInferer(SimpleInferer):
    """Run a network on the whole volume, on CPU in bfloat16 where the processor is fast at it.

    MONAI's engines autocast on CUDA only, with `amp: true`; that stays as it is. Both MONAI's trainer and its
    evaluator call their inferer for the forward pass, so this class brings bfloat16 to the CPU in all of them.
    Weights stay float32, and so does the output, on every device. The network gets a plain tensor: nothing in it
    needs the meta data, and each operation on a `MetaTensor` costs time.

    Args:
        cpu_bfloat16: True, False, or None for `cpu_is_fast_in_bfloat16()`.

    Example:
        >>> inferer = AutocastInferer(cpu_bfloat16=True)
        >>> inferer(torch.zeros(1, 4), torch.nn.Linear(4, 2)).dtype
        torch.float32
    """

    def __init__(self, cpu_bfloat16: bool | None = None) -> None:
        super().__init__()
        self.cpu_bfloat16 = cpu_is_fast_in_bfloat16() if cpu_bfloat16 is None else cpu_bfloat16

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Return `network(inputs)`, (B, C, X, Y, Z) float32."""
        plain = inputs.as_tensor() if isinstance(inputs, MetaTensor) else inputs
        if plain.device.type != "cpu" or not self.cpu_bfloat16:
            return super().__call__(plain, network, *args, **kwargs).float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().__call__(plain, network, *args, **kwargs).float()
