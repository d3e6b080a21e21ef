"""From soft probabilities on the network's grid to labels on the input's own grid, in little memory."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Hashable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform
from monai.utils import MetaKeys, ensure_tuple_rep

from custom_components.transforms.input_grid import InputGrid, input_grid

MIXED = 255
"""Mark of a cell whose eight corners do not share one label."""


class InvertLabelsd(MapTransform):
    """Undo orientation, spacing, crop and pad of the image on a probability map, and take the argmax.

    The labels equal those of MONAI's `Invertd(nearest_interp=False)` followed by `AsDiscrete(argmax=True)`,
    but the map of all channels is never built at full size. Interpolation is linear, so within a cell of
    eight voxels whose largest channel is the same, that channel is the largest everywhere; only in the
    other cells are all channels interpolated, one plane at a time.

    Args:
        keys: soft probabilities `(C, X, Y, Z)` on the network's grid (softmax, not logits: the argmax of
            interpolated logits is another one).
        orig_keys: the images that went through the preprocessing, with their traces.
        allow_missing_keys: do not raise if a key is missing.

    Returns:
        For each key a uint8 `MetaTensor` `(1, X', Y', Z')` on the input's grid, with its affine.

    Raises:
        ValueError: the map is not 4D or not finite, or the image went through a spatial transform other
            than orientation, then crops and pads, then linear resampling, then crops and pads.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        orig_keys: KeysCollection = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.orig_keys = ensure_tuple_rep(orig_keys, len(self.keys))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with labels in place of the probability maps."""
        inverted = dict(data)
        for key, orig_key in self.key_iterator(inverted, self.orig_keys):
            inverted[key] = invert_labels(inverted[key], inverted[orig_key])
        return inverted


def invert_labels(prob: torch.Tensor, image: MetaTensor) -> MetaTensor:
    """Labels on the input's grid for one probability map; see `InvertLabelsd`.

    Args:
        prob: soft probabilities `(C, X, Y, Z)`.
        image: the preprocessed image `(1, X, Y, Z)` with the trace of what was applied to it.

    Raises:
        ValueError: as `InvertLabelsd`.
    """
    prob = (prob.as_tensor() if isinstance(prob, MetaTensor) else prob).detach().float()
    if prob.ndim != 4 or tuple(prob.shape[1:]) != tuple(image.shape[1:]) or not 1 <= len(prob) < MIXED:
        raise ValueError(
            f"probability map has shape {tuple(prob.shape)}, "
            f"expected channels (fewer than {MIXED}) and the image's {tuple(image.shape[1:])}"
        )
    if not all(map(math.isfinite, torch.aminmax(prob))):  # NaN anywhere is both; no copy, unlike isfinite
        raise ValueError(f"probability map holds {int((~torch.isfinite(prob)).sum())} NaN or infinite values")
    grid = input_grid(image)
    lattice, shift = _lattice(prob, grid)
    matrix = grid.matrix.clone()
    begin = torch.tensor([float(part.start) for part in grid.kept], dtype=matrix.dtype)
    matrix[:3, 3] += torch.as_tensor(shift, dtype=matrix.dtype) + matrix[:3, :3] @ begin
    size = tuple(part.stop - part.start for part in grid.kept)
    with _one_thread():
        labels = _labels(lattice, matrix, size)
    if size != grid.shape:
        whole = torch.zeros(grid.shape, dtype=torch.uint8, device=labels.device)
        whole[grid.kept] = labels
        labels = whole
    meta = deepcopy(image.meta)
    meta[MetaKeys.AFFINE] = grid.affine
    meta[MetaKeys.SPATIAL_SHAPE] = grid.shape
    if MetaKeys.PIXDIM in meta:
        meta[MetaKeys.PIXDIM][1:4] = affine_to_spacing(grid.affine)
    return MetaTensor(labels[None], meta=meta, applied_operations=[])


def _lattice(prob: torch.Tensor, grid: InputGrid) -> tuple[torch.Tensor, list[int]]:
    """The part of the map that lies in the resampled image, and what to add to an index to find it there.

    Where the network did not see the resampled image, one layer of zeros stands for all that was cut off.
    """
    shift, zeros = [], []
    for axis, (a, b, n, o) in enumerate(zip(grid.start, grid.stop, grid.size, grid.offset, strict=True), start=1):
        prob = prob.narrow(axis, a - o, b - a)
        zeros += [(int(a > 0), int(b < n))]
        shift.append(int(a > 0) - a)
    if any(map(any, zeros)):
        prob = F.pad(prob, [width for pair in reversed(zeros) for width in pair])
    for axis in range(1, 4):
        if prob.shape[axis] == 1:
            prob = torch.cat([prob, prob], dim=axis)
    return prob, shift


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread a plane: on a busy machine, threads that wait for each other cost ten times the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _labels(lattice: torch.Tensor, matrix: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Labels `shape` from probabilities `(C, X, Y, Z)`, where `matrix` leads from voxel to voxel."""
    axes = _axis_order(matrix, shape)
    if axes is None:
        return _labels_oblique(lattice, matrix, shape)
    coords = [matrix[axis, i] * torch.arange(shape[i]) + matrix[axis, 3] for i, axis in enumerate(axes)]
    return _labels_separable(lattice.permute(0, *(1 + axis for axis in axes)), coords)


def _axis_order(matrix: torch.Tensor, shape: tuple[int, ...]) -> list[int] | None:
    """For each axis of the input the axis of the lattice along it, or None if the grid are oblique."""
    moved = matrix[:3, :3].abs() * torch.as_tensor(shape)  # in voxels of the lattice, over the whole axis
    axes = moved.argmax(dim=0).tolist()
    moved[axes, [0, 1, 2]] = 0
    # A hundredth of a voxel: rounding in float32 affines makes them slightly oblique.
    return axes if sorted(axes) == [0, 1, 2] and moved.max() < 1e-2 else None


def _cells(prob: torch.Tensor) -> torch.Tensor:
    """The label of every cell `(X - 1, Y - 1, Z - 1)` between eight voxels, or `MIXED`."""
    labels = _largest_channel(prob)
    labels[(prob == 0).all(dim=0)] = MIXED - 1  # cut off: takes no part in the argmax of its neighbours
    low = high = labels
    for axis in range(3):
        a, b = low.narrow(axis, 0, low.shape[axis] - 1), low.narrow(axis, 1, low.shape[axis] - 1)
        c, d = high.narrow(axis, 0, high.shape[axis] - 1), high.narrow(axis, 1, high.shape[axis] - 1)
        low, high = torch.minimum(a, b), torch.maximum(c, d)
    cells = torch.where(low == high, low, MIXED)
    cells[cells == MIXED - 1] = 0
    return cells


def _largest_channel(prob: torch.Tensor) -> torch.Tensor:
    """The argmax of `(C, X, Y, Z)` over its channels, the first of equal ones, as uint8.

    On CPU torch's own takes ten times as long, as it is not vectorised.
    """
    rank = torch.arange(len(prob), 0, -1, dtype=torch.uint8, device=prob.device)[:, None, None]
    labels = torch.empty(prob.shape[1:], dtype=torch.uint8, device=prob.device)
    for plane, values in zip(labels, prob.unbind(1), strict=True):  # small enough for the processor's cache
        plane.copy_(len(prob) - ((values == values.amax(0)).to(torch.uint8) * rank).amax(0))
    return labels


def _split(coords: torch.Tensor, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Index of the lower neighbour and distance to it; beyond the border the border counts."""
    nearest = coords.round()
    # Rounding in affines must not let a millionth of a voxel's neighbour decide, where the voxel is zero.
    coords = torch.where((coords - nearest).abs() < 1e-4, nearest, coords).clamp(0, size - 1)
    lower = coords.floor().clamp(max=size - 2)
    return lower.long().to(device), (coords - lower).float().to(device)


def _labels_separable(prob: torch.Tensor, coords: list[torch.Tensor]) -> torch.Tensor:
    """Labels where each axis of the output runs along one axis of the lattice.

    The argument that spares interpolation holds for edges as for cells: between two neighbours along the
    last axis that share the largest channel, that channel is the largest.
    """
    cells, values = _cells(prob), prob.movedim(0, -1).contiguous()
    (x0, fx), (y0, fy), (z0, fz) = (_split(c, n, prob.device) for c, n in zip(coords, prob.shape[1:], strict=True))
    labels = torch.empty([len(c) for c in coords], dtype=torch.uint8, device=prob.device)
    depth = prob.shape[3]
    for i, (x, f) in enumerate(zip(x0.tolist(), fx.tolist(), strict=True)):
        edges = cells[x][y0]
        y, z = mixed = (edges == MIXED).nonzero(as_tuple=True)
        if len(y):
            sheet = torch.lerp(values[x], values[x + 1], f).flatten(0, 1)
            at, w = y0[y] * depth + z, fy[y, None]
            lower = torch.lerp(sheet.index_select(0, at), sheet.index_select(0, at + depth), w)
            upper = torch.lerp(sheet.index_select(0, at + 1), sheet.index_select(0, at + depth + 1), w)
            first, last = lower.argmax(-1), upper.argmax(-1)
            edges[mixed] = torch.where(first == last, first, MIXED).to(torch.uint8)
        plane = edges.index_select(1, z0)
        rows, columns = inside = (plane == MIXED).nonzero(as_tuple=True)
        if len(rows):
            number = torch.empty(edges.shape, dtype=torch.long, device=prob.device)
            number[mixed] = torch.arange(len(y), device=prob.device)
            edge, w = number[rows, z0[columns]], fz[columns, None]
            between = torch.lerp(lower.index_select(0, edge), upper.index_select(0, edge), w)
            plane[inside] = between.argmax(-1).to(torch.uint8)
        labels[i] = plane
    return labels


def _labels_oblique(prob: torch.Tensor, matrix: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Labels for any affine relation of the two grid."""
    cells, values = _cells(prob), prob.movedim(0, -1).contiguous()
    labels = torch.empty(shape, dtype=torch.uint8, device=prob.device)
    y, z = (torch.arange(n, dtype=torch.float64, device=prob.device) for n in shape[1:])
    for i in range(shape[0]):
        (x0, fx), (y0, fy), (z0, fz) = (
            _split(row[0] * i + row[1] * y[:, None] + row[2] * z + row[3], n, prob.device)
            for row, n in zip(matrix[:3].tolist(), prob.shape[1:], strict=True)
        )
        plane = cells[x0, y0, z0]
        rows, columns = mixed = (plane == MIXED).nonzero(as_tuple=True)
        labels[i] = plane
        if len(rows):
            at = [c[mixed] for c in (x0, y0, z0)]
            u, v, w = (c[mixed][:, None] for c in (fx, fy, fz))
            edges = [
                torch.lerp(values[at[0] + a, at[1] + b, at[2]], values[at[0] + a, at[1] + b, at[2] + 1], w)
                for a in (0, 1)
                for b in (0, 1)
            ]
            faces = torch.lerp(edges[0], edges[1], v), torch.lerp(edges[2], edges[3], v)
            labels[i][rows, columns] = torch.lerp(*faces, u).argmax(-1).to(torch.uint8)
    return labels
