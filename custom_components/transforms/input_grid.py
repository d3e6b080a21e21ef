"""How the grid of an input image lies in that of the network: read from the trace of the preprocessing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from monai.data import MetaTensor
from monai.data.utils import AFFINE_TOL
from monai.utils import TraceKeys


class InputGrid(NamedTuple):
    """The input's grid, and where it lies in that of the resampled image, of which the network saw a part."""

    shape: tuple[int, ...]  # of the input
    affine: torch.Tensor  # of the input
    matrix: torch.Tensor  # from the input's voxel indices to those of the resampled image
    start: list[int]  # first and last + 1 voxel of the resampled image that the network saw
    stop: list[int]
    size: list[int]  # of the resampled image
    offset: list[int]  # voxel of the resampled image at the network's first voxel
    kept: tuple[slice, ...]  # part of the input that was resampled; what is outside of it was cropped before


def input_grid(image: MetaTensor) -> InputGrid:
    """Follow the trace of a preprocessed image `(1, X, Y, Z)` back to the image as it was loaded.

    Raises:
        ValueError: the trace holds other steps than orientation, then crops and pads, then linear resampling
            with border padding, then crops and pads.
    """
    size = [int(n) for n in image.shape[1:]]
    start, stop, offset = [0, 0, 0], list(size), [0, 0, 0]
    first, last = [0, 0, 0], list(size)  # of what was resampled, in the image before
    resampled = image.affine.to("cpu", torch.float64)  # affine of the grid that `size` describes
    original: torch.Tensor | None = None
    seen = "crop"
    for operation in reversed(image.applied_operations):
        info = operation.get(TraceKeys.EXTRA_INFO) or {}
        before = [int(n) for n in operation[TraceKeys.ORIG_SIZE]]
        if seen == "crop" and (shift := _crop_shift(info)) is not None:
            start = [max(a + s, 0) for a, s in zip(start, shift, strict=True)]
            stop = [min(b + s, n) for b, s, n in zip(stop, shift, before, strict=True)]
            offset = [o + s for o, s in zip(offset, shift, strict=True)]
            resampled = resampled @ _translation([-s for s in shift])
            size = before
        elif seen == "crop" and _is_linear_resampling(info):
            original = torch.as_tensor(info["src_affine"], dtype=torch.float64)
            change = torch.linalg.solve(resampled, original)
            if size == before and torch.allclose(change, torch.eye(4, dtype=torch.float64), atol=AFFINE_TOL):
                resampled = original  # MONAI does not resample then
            seen = "resampling"
            last = before
        elif seen == "resampling" and original is not None and (shift := _crop_shift(info)) is not None:
            first = [max(a + s, 0) for a, s in zip(first, shift, strict=True)]
            last = [min(b + s, n) for b, s, n in zip(last, shift, before, strict=True)]
            original = original @ _translation([-s for s in shift])
        elif "original_affine" in info:
            if original is None:
                original, last = resampled, list(size)
            oriented = original
            original = torch.as_tensor(info["original_affine"], dtype=torch.float64)
            first, last = _other_axes(first, last, torch.linalg.solve(original, oriented))
            seen = "orientation"
        else:
            raise ValueError(
                f"cannot undo {operation.get(TraceKeys.CLASS_NAME)} on labels, expected orientation, "
                "then crops and pads, then linear resampling with border padding, then crops and pads"
            )
    whole = image.applied_operations[0][TraceKeys.ORIG_SIZE] if image.applied_operations else size
    if original is None:  # nothing was resampled
        original, first, last = resampled, [0, 0, 0], [int(n) for n in whole]
    return InputGrid(
        tuple(int(n) for n in whole),
        original,
        torch.linalg.solve(resampled, original),
        start,
        stop,
        size,
        offset,
        tuple(slice(a, b) for a, b in zip(first, last, strict=True)),
    )


def _other_axes(first: list[int], last: list[int], matrix: torch.Tensor) -> tuple[list[int], list[int]]:
    """A box of voxels on the same grid with its axes in another order or direction, to which `matrix` leads."""
    corners = torch.tensor([[*first, 1], [*(n - 1 for n in last), 1]], dtype=torch.float64)
    moved = (corners @ matrix.T)[:, :3].round().long()
    return moved.amin(dim=0).tolist(), (moved.amax(dim=0) + 1).tolist()


def _crop_shift(info: Mapping) -> list[int] | None:
    """What to add to a voxel index to undo a crop or pad, or None if it is neither."""
    if "crop_info" in info and "pad_info" in info:
        parts = [_crop_shift(info[part].get(TraceKeys.EXTRA_INFO) or {}) for part in ("crop_info", "pad_info")]
        return None if None in parts else [a + b for a, b in zip(*parts, strict=True)]
    if "cropped" in info:
        return [int(n) for n in info["cropped"][::2]]
    if "padded" in info:
        return [-int(low) for low, _ in info["padded"][1:]]
    return None


def _is_linear_resampling(info: Mapping) -> bool:
    linear = info.get("mode") == "bilinear" and info.get("padding_mode") == "border"
    return "src_affine" in info and linear and info.get("align_corners") is not True


def _translation(shift: list[int]) -> torch.Tensor:
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, 3] = torch.as_tensor(shift, dtype=torch.float64)
    return matrix
