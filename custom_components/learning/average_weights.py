"""Average the weights of two networks that were trained on from the same one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

from custom_components.checkpoints import save_state
from custom_components.options import check_number


def average_weights(first: str | Path, second: str | Path, output: str | Path, *, share: float = 0.5) -> None:
    """Write weights that lie between those of two files.

    Two networks that were trained on from the same weights, such as one with pseudo-labels and one with labels alone,
    often lie in one valley of the loss: what lies between them is a network too, and may be better than both.

    Args:
        first: a state dict of tensors; what counts whole numbers, such as batches, is kept from it.
        second: another one with the same names and shapes.
        output: file to write.
        share: of the second, from 0 to 1.

    Raises:
        OSError: a file cannot be read.
        ValueError: a file holds no weights, the two are not of one network, or the share is out of range.

    Source:
        Wortsman et al. 2022, Model soups (arXiv:2203.05482).
    """
    check_number(share, "share", 0, 1)
    one, other = _read(first), _read(second)
    if different := sorted(set(one) ^ set(other)):
        where, lacking = (first, second) if different[0] in one else (second, first)
        raise ValueError(f"{lacking}: has no {different[0]}, expected the weights that {where} has")
    for name, tensor in other.items():
        if tensor.shape != one[name].shape:
            raise ValueError(
                f"{second}: {name} has shape {tuple(tensor.shape)}, expected {tuple(one[name].shape)}, as in {first}"
            )
    save_state({name: _between(tensor, other[name], share) for name, tensor in one.items()}, Path(output))


def _read(path: str | Path) -> Mapping[str, Tensor]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, UnpicklingError, EOFError, KeyError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())[:200]}, expected a state dict") from error
    if not isinstance(found, Mapping) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise ValueError(f"{path}: holds a {type(found).__name__}, expected a state dict, tensors by name")
    return found


def _between(one: Tensor, other: Tensor, share: float) -> Tensor:
    return torch.lerp(one, other.to(one.dtype), share) if one.is_floating_point() else one
