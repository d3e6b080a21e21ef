"""The montage: all axial slices of a CT in one picture, the segmentation laid over them in colour.

One function makes the picture that a person codes, the image that the discriminator learns from, and the tensor that
carries the gradient of its score back into the segmentation.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from custom_components.anatomy import ORGANS
from custom_components.transforms.montage_downsampling import DownsampledOverlay, ResamplingPlan

ALPHA = 0.4
"""Share of the colour where there is an organ."""

DISCRIMINATOR_SIZE = (256, 256)
"""Rows and columns of the montage that the discriminator sees."""

Colours = Sequence[Sequence[float]]
"""RGB of every organ in the order of the channels from 1, each 0 to 255."""

ORGAN_COLOURS: Colours = tuple(organ.colour for organ in ORGANS)


View = Literal["axial", "coronal"]
AXIAL: View = "axial"
VIEWS: tuple[View, ...] = get_args(View)
"""Planes of a montage's slices; people look at axial ones."""


class Grid(NamedTuple):
    """Rows and columns of slices in a montage."""

    rows: int
    columns: int


def montage_grid(slices: int, columns: int | None = None) -> Grid:
    """Give the grid that holds a number of slices, as near to a square as can be if `columns` is not given.

    Example:
        >>> montage_grid(64), montage_grid(32), montage_grid(7, columns=4)
        (Grid(rows=8, columns=8), Grid(rows=6, columns=6), Grid(rows=2, columns=4))
    """
    if slices < 1:
        raise ValueError(f"slices is {slices}, expected 1 or more")
    if columns is not None and columns < 1:
        raise ValueError(f"columns is {columns}, expected 1 or more")
    columns = columns or math.isqrt(slices - 1) + 1
    return Grid(-(-slices // columns), columns)


def montage(
    image: Tensor,
    segmentation: Tensor,
    *,
    size: tuple[int, int] | None = None,
    columns: int | None = None,
    alpha: float = ALPHA,
    colours: Colours = ORGAN_COLOURS,
    straight_through: bool = False,
) -> Tensor:
    """Lay a segmentation over its CT and put all axial slices into one picture.

    The overlay is `(1 - alpha * f) * image + alpha * sum_c p_c * colour_c`, with `f` the sum of the organs'
    probabilities `p_c`. Slices go row by row from inferior to superior; the patient's right is on the viewer's left and
    anterior is up. Places of the grid without a slice are black.

    Differentiable in `segmentation` (and in `image`, by a slower way). With a `size` neither the full-size picture nor
    a copy of the segmentation is built, forward or backward. A trace (`torch.jit.trace`) holds for the shape of its
    example.

    Args:
        image: (B, 1, X, Y, Z) in [0, 1], RAS.
        segmentation: probabilities or one-hot (B, C, X, Y, Z) with channel 0 the background, or labels (B, 1, X, Y, Z)
            of an integer type.
        size: rows and columns of the result, antialiased bilinear as `torch.nn.functional.interpolate` does it; None
            gives `rows * Y` and `columns * X`, pixel for voxel.
        columns: slices in a row; by default as many as make the grid square.
        alpha: share of the colour where there is an organ.
        colours: RGB (0 to 255) of the C - 1 organs.
        straight_through: show the most probable class of each voxel, and let the gradient flow as if the probabilities
            were shown.

    Returns:
        (B, 3, rows, columns) in [0, 1], of the image's data type; float16 and bfloat16 are computed in float32.

    Raises:
        ValueError: shapes do not fit each other or the colours, labels are beyond the colours, the image is of whole
            numbers, or a setting is out of range.

    Example:
        >>> ct, labels = torch.rand(1, 1, 6, 5, 4), torch.randint(0, 13, (1, 1, 6, 5, 4))
        >>> montage(ct, labels).shape
        torch.Size([1, 3, 10, 12])
    """
    image, segmentation = _without_meta(image), _without_meta(segmentation)
    size = None if size is None else (int(size[0]), int(size[1]))
    traced = torch.jit.is_tracing()
    segmentation = _countable(segmentation)
    if not traced:
        _check(image, segmentation, len(colours))
        _check_settings(size, alpha)
    with _quiet_trace() if traced else nullcontext():
        if int(segmentation.shape[1]) > 1 and not segmentation.is_floating_point():
            segmentation = segmentation.argmax(1, keepdim=True)
        work = torch.promote_types(torch.promote_types(image.dtype, _float_type(segmentation)), torch.float32)
        ct, table = image.to(work), _colour_table(colours, alpha, work, image.device)
        shape = tuple(int(length) for length in image.shape[2:])
        grid = montage_grid(shape[-1], columns)
        if size is None or image.requires_grad or traced or torch.compiler.is_compiling():
            picture = _full_size(ct, _hardened(segmentation) if straight_through else segmentation, table, grid)
            picture = picture if size is None else downsample(picture, size)
        else:
            plan = ResamplingPlan.of(shape, grid, size, work, image.device)
            picture = DownsampledOverlay.apply(ct, segmentation, table, plan, straight_through)
        return picture.to(image.dtype)


def in_view(volume: Tensor, view: View) -> Tensor:
    """Turn a volume (..., X, Y, Z) in RAS so that `montage` shows it in another view.

    Coronal slices go from posterior to anterior; the patient's right is on the viewer's left and superior is up.

    Args:
        volume: image, labels or probabilities.
        view: `axial` leaves it as it is, `coronal` gives (..., X, Z, Y).

    Raises:
        ValueError: it is another view.

    Example:
        >>> in_view(torch.zeros(1, 1, 6, 5, 4), "coronal").shape
        torch.Size([1, 1, 6, 4, 5])
    """
    if view not in VIEWS:
        raise ValueError(f"view is {view!r}, expected {' or '.join(VIEWS)}")
    return volume if view == AXIAL else volume.transpose(-1, -2)


def tile(volume: Tensor, grid: Grid) -> Tensor:
    """Put the axial slices of RAS volumes (B, C, X, Y, Z) into pictures (B, C, rows * Y, columns * X)."""
    batch, channels, x, y, z = (int(length) for length in volume.shape)
    slices = F.pad(volume, (0, grid.rows * grid.columns - z)).flip(2, 3)
    slices = slices.reshape(batch, channels, x, y, grid.rows, grid.columns)
    return slices.permute(0, 1, 4, 3, 5, 2).reshape(batch, channels, grid.rows * y, grid.columns * x)


def downsample(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring pictures (B, C, rows, columns) to the size of the discriminator, antialiased."""
    return F.interpolate(picture, size=size, mode="bilinear", antialias=True, align_corners=False)


def _full_size(ct: Tensor, shown: Tensor, table: Tensor, grid: Grid) -> Tensor:
    """Lay probabilities or labels over the CT and tile; what has fewer channels is tiled, before or after."""
    if shown.is_floating_point():
        mixed = torch.einsum("kc,bcxyz->bkxyz", table, shown.to(table.dtype))
        return tile(torch.addcmul(mixed[:, 1:], ct, 1 - mixed[:, :1]), grid)
    ct, labels = tile(ct, grid), tile(shown, grid)
    mixed = table.index_select(1, labels.long().flatten()).unflatten(1, labels.shape).movedim(0, 2)[:, 0]
    return torch.addcmul(mixed[:, 1:], ct, 1 - mixed[:, :1])


def _hardened(probabilities: Tensor) -> Tensor:
    """One-hot of the most probable class, with the gradient of the probabilities."""
    if not probabilities.is_floating_point():
        return probabilities
    hard = torch.zeros_like(probabilities).scatter_(1, probabilities.argmax(1, keepdim=True), 1)
    return hard + probabilities - probabilities.detach()


def _colour_table(colours: Colours, alpha: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """How much a class takes from the CT, and what it adds to red, green and blue: (4, C)."""
    columns = [[0.0] * 4, *([alpha, *(alpha * part / 255 for part in colour)] for colour in colours)]
    return torch.tensor(columns, dtype=dtype, device=device).T.contiguous()


def _without_meta(tensor: Tensor) -> Tensor:
    """A `MetaTensor` follows every operation with work of its own."""
    return tensor if type(tensor) is Tensor else tensor.as_subclass(Tensor)


def _countable(segmentation: Tensor) -> Tensor:
    """The same in a type that torch can compare and index with."""
    if segmentation.dtype == torch.bool:
        return segmentation.view(torch.uint8)
    return segmentation.long() if segmentation.dtype in (torch.uint16, torch.uint32, torch.uint64) else segmentation


@contextmanager
def _quiet_trace() -> Iterator[None]:
    """Record a trace that holds for the shape of its example, which torch warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        yield


def _float_type(tensor: Tensor) -> torch.dtype:
    return tensor.dtype if tensor.is_floating_point() else torch.float32


def _check(image: Tensor, segmentation: Tensor, organs: int) -> None:
    if not image.is_floating_point():
        raise ValueError(f"image is of {image.dtype}, expected floating point in [0, 1]")
    if image.ndim != 5 or image.shape[1] != 1 or 0 in image.shape:
        raise ValueError(f"image has shape {tuple(image.shape)}, expected (B, 1, X, Y, Z)")
    expected = f"({image.shape[0]}, {organs + 1} or 1, {', '.join(str(n) for n in image.shape[2:])})"
    same = segmentation.shape[:1] == image.shape[:1] and segmentation.shape[2:] == image.shape[2:]
    if not same or segmentation.shape[1] not in (1, organs + 1):
        raise ValueError(f"segmentation has shape {tuple(segmentation.shape)}, expected {expected}")
    if segmentation.shape[1] > 1:
        return
    if segmentation.is_floating_point():
        raise ValueError(f"segmentation has 1 channel of {segmentation.dtype}, expected labels of an integer type")
    low, high = (int(label) for label in segmentation.aminmax())
    if low < 0 or high > organs:
        raise ValueError(f"segmentation holds label {low if low < 0 else high}, expected 0 to {organs}")


def _check_settings(size: tuple[int, int] | None, alpha: float) -> None:
    if size is not None and min(size) < 1:
        raise ValueError(f"size is {size}, expected rows and columns of 1 or more")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha is {alpha}, expected a number from 0 to 1")
