"""The montage at its small size, without building it at its full size.

Overlay and antialiased downsampling are linear in the segmentation, and downsampling is separable. So slabs of a few
sagittal planes are coloured one after the other while they are in the processor's cache, each is reduced along X at
once, and only the sum, a few percent of the volume, is reduced along Y and put into its places. The way back is the
transpose of it.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

SLAB_VOXELS = {"cpu": 1 << 16, "cuda": 1 << 20}
"""Voxels that are coloured at once: on a CPU what its cache holds, on a GPU what keeps it busy."""


@dataclass(frozen=True, eq=False)
class Axis:
    """Antialiased bilinear downsampling along one axis of the picture, on which `tiles` tiles stand in a line.

    A tile touches the `span` pixels from `starts[tile]` on; at both ends some of them lie outside of the picture. Where
    edges of pixels fall on the edges of tiles, as 32 pixels do on 168 voxels, all tiles have the same weights, else
    there are a few sets of them.

    Attributes:
        weights: (sets, span, length) in the order of the volume's index, which runs against the picture's.
        set_of_tile: index into `weights` for each tile.
        starts: first pixel of each tile.
        norms: (target,) sum of the weights of each pixel of the picture.
    """

    weights: Tensor
    set_of_tile: tuple[int, ...]
    starts: tuple[int, ...]
    norms: Tensor

    @property
    def span(self) -> int:
        """Pixels that a tile touches."""
        return self.weights.shape[1]

    @staticmethod
    def of(length: int, tiles: int, target: int) -> Axis:
        """Plan the axis; the weights are those of `torch.nn.functional.interpolate(antialias=True)`."""
        scale = length * tiles / target
        reach = max(scale, 1.0)
        edges = np.arange(tiles) * length
        starts = np.floor((edges + 0.5 - reach) / scale - 0.5).astype(int) + 1
        ends = np.ceil((edges + length - 0.5 + reach) / scale - 0.5).astype(int)
        pixels = starts[:, None] + np.arange((ends - starts).max())
        voxels = edges[:, None] + np.arange(length)[::-1]
        distance = scale * (pixels[:, :, None] + 0.5) - (voxels[:, None, :] + 0.5)
        weights = np.clip(1 - np.abs(distance) / reach, 0, None)
        sums = np.zeros(target)
        inside = (pixels >= 0) & (pixels < target)
        np.add.at(sums, pixels[inside], weights.sum(axis=2)[inside])
        _, chosen, sets = np.unique(weights.round(9), axis=0, return_index=True, return_inverse=True)
        return Axis(
            torch.from_numpy(weights[chosen]),
            tuple(sets.reshape(-1).tolist()),
            tuple(starts.tolist()),
            torch.from_numpy(sums),
        )

    def to(self, like: Tensor) -> Axis:
        """Return the same with numbers of a tensor's type and device."""
        return Axis(self.weights.to(like), self.set_of_tile, self.starts, self.norms.to(like))


class Line(NamedTuple):
    """The tiles that stand in one row of the grid.

    Attributes:
        slices: index of each tile's slice.
        rows: of pixels that the tiles touch, in a picture with a margin of one span.
        row_set: index of their weights along rows.
        column_sets: index of each tile's weights along columns.
        columns: for each tile its columns of pixels, in the picture with a margin, one tile after the other.
    """

    slices: Tensor
    rows: slice
    row_set: int
    column_sets: Tensor
    columns: Tensor

    @staticmethod
    def of(row: int, rows: Axis, columns: Axis, slices: int) -> Line:
        """Plan the line."""
        first, count = row * len(columns.starts), min(len(columns.starts), slices - row * len(columns.starts))
        top = rows.starts[row] + rows.span
        starts = torch.tensor(columns.starts[:count])[:, None] + columns.span
        return Line(
            torch.arange(first, first + count),
            slice(top, top + rows.span),
            rows.set_of_tile[row],
            torch.tensor(columns.set_of_tile[:count]),
            (starts + torch.arange(columns.span)).flatten(),
        )

    def to(self, device: torch.device) -> Line:
        """Return the same with its tensors on a device."""
        return self._replace(
            slices=self.slices.to(device), column_sets=self.column_sets.to(device), columns=self.columns.to(device)
        )


@dataclass(frozen=True, eq=False)
class ResamplingPlan:
    """How the slices of a volume become one picture of a given size."""

    rows: Axis
    columns: Axis
    shape: tuple[int, int, int]
    slabs: tuple[tuple[slice, slice], ...]
    """Slabs along X, and the pixels of a tile that each touches."""
    lines: tuple[Line, ...]

    @staticmethod
    @lru_cache(maxsize=16)
    def of(
        shape: tuple[int, int, int],
        grid: tuple[int, int],
        size: tuple[int, int],
        dtype: torch.dtype,
        device: torch.device,
    ) -> ResamplingPlan:
        """Plan for volumes (X, Y, Z), a grid of (rows, columns) slices, and a size of (rows, columns) pixels."""
        like = torch.empty(0, dtype=dtype, device=device)
        rows, columns = Axis.of(shape[1], grid[0], size[0]), Axis.of(shape[0], grid[1], size[1])
        thickness = max(1, SLAB_VOXELS.get(device.type, 1 << 20) // (shape[1] * shape[2]))
        slabs = [slice(start, min(shape[0], start + thickness)) for start in range(0, shape[0], thickness)]
        pixels = [np.flatnonzero((columns.weights[:, :, slab] != 0).any(dim=2).any(dim=0).numpy()) for slab in slabs]
        touched = [slice(int(found[0]), int(found[-1]) + 1) for found in pixels]
        lines = tuple(Line.of(row, rows, columns, shape[2]).to(device) for row in range(-(-shape[2] // grid[1])))
        return ResamplingPlan(rows.to(like), columns.to(like), shape, tuple(zip(slabs, touched, strict=True)), lines)

    def place(self, small: Tensor) -> Tensor:
        """Sum tiles into a picture.

        Args:
            small: (row sets, column sets, 3, columns, rows, Z): each slice reduced with each set of weights.

        Returns:
            (3, rows, columns), not normalised.
        """
        down, right = self.rows.span, self.columns.span
        whole = small.new_zeros(3, len(self.rows.norms) + 2 * down, len(self.columns.norms) + 2 * right)
        for line in self.lines:
            tiles = small[line.row_set][line.column_sets, :, :, :, line.slices]  # (tiles, 3, columns, rows)
            whole[:, line.rows].index_add_(2, line.columns, tiles.permute(1, 3, 0, 2).flatten(2))
        return whole[:, down:-down, right:-right]

    def cut(self, picture: Tensor) -> Tensor:
        """Cut a picture (3, rows, columns) into tiles: the transpose of `place`."""
        down, right = self.rows.span, self.columns.span
        whole = F.pad(picture, (right, right, down, down))
        sets, spans = (len(self.rows.weights), len(self.columns.weights)), (right, down)
        small = picture.new_zeros(*sets, 3, *spans, self.shape[2])
        for line in self.lines:
            tiles = whole[:, line.rows].index_select(2, line.columns).unflatten(2, (-1, right))
            small[line.row_set][line.column_sets, :, :, :, line.slices] = tiles.permute(2, 0, 3, 1)
        return small

    def norms(self) -> Tensor:
        """Sum of the weights of each pixel, (rows, columns)."""
        return self.rows.norms[:, None] * self.columns.norms


class DownsampledOverlay(torch.autograd.Function):
    """Overlay, tiling and downsampling in one; `montage` is its only caller and checks the arguments."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, shown: Tensor, table: Tensor, plan: ResamplingPlan, harden: bool) -> Tensor:
        """Give (B, 3, rows, columns) from (B, 1, X, Y, Z), probabilities or labels (B, C or 1, X, Y, Z) and (4, C)."""
        ctx.save_for_backward(image, table)
        ctx.plan, ctx.shape, ctx.dtype = plan, shown.shape, shown.dtype
        with torch.autocast(image.device.type, enabled=False):
            return torch.stack([_picture(*case, table, plan, harden) for case in zip(image, shown, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradient of the probabilities; it does not depend on them."""
        image, table = ctx.saved_tensors
        result = _gradient_memory(ctx.shape, ctx.dtype, grad.device)
        with torch.autocast(image.device.type, enabled=False):
            for case in zip(image, grad, result, strict=True):
                _spread_gradient(*case, table, ctx.plan)
        return None, result, None, None, None


def _picture(image: Tensor, shown: Tensor, table: Tensor, plan: ResamplingPlan, harden: bool) -> Tensor:
    weights, plane = plan.columns.weights, math.prod(plan.shape[1:])
    reduced = image.new_zeros(len(weights), 3, plan.columns.span, plane)
    for slab, pixels in plan.slabs:
        rgb = _coloured(image[:, slab], shown[:, slab], table, harden).view(3, -1, plane)
        for part, weight in zip(reduced, weights[:, pixels, slab], strict=True):
            part[:, pixels].baddbmm_(weight.expand(3, -1, -1), rgb)
    # (column sets, 3, columns, Y, Z) to (row sets, column sets, 3, columns, rows, Z)
    small = plan.rows.weights[:, None, None, None] @ reduced.view(*reduced.shape[:3], *plan.shape[1:])
    return plan.place(small) / plan.norms()


def _coloured(image: Tensor, shown: Tensor, table: Tensor, harden: bool) -> Tensor:
    """Colour a slab: (1, ...) and probabilities or labels (C or 1, ...) to (3, voxels)."""
    if harden and shown.is_floating_point():
        shown = _most_probable(shown)
    if shown.is_floating_point():
        mixed = table[:, 1:] @ shown[1:].reshape(len(shown) - 1, -1).to(table.dtype)  # the background adds nothing
    else:
        mixed = table.index_select(1, shown.reshape(-1).long())
    grey = image.reshape(-1)
    return mixed[1:].add_(grey.addcmul(grey, mixed[0], value=-1))


def _most_probable(shown: Tensor) -> Tensor:
    """One-hot of the most probable class, of the first if there are several, as `argmax` has it; NaN stays NaN."""
    best = shown.amax(0, keepdim=True)
    if best.sum().isnan():
        hot = torch.zeros_like(shown).scatter_(0, shown.argmax(0, keepdim=True), 1)
        return hot + (best - best)
    hot = shown.eq(best)
    if hot.count_nonzero() > shown[0].numel():
        return shown.argmax(0, keepdim=True)
    return hot.to(shown.dtype)


def _spread_gradient(image: Tensor, grad: Tensor, result: Tensor, table: Tensor, plan: ResamplingPlan) -> None:
    weights, plane = plan.columns.weights, math.prod(plan.shape[1:])
    small = plan.cut(grad.to(table.dtype) / plan.norms())
    reduced = (plan.rows.weights.mT[:, None, None, None] @ small).sum(0).flatten(3)
    result[0].zero_()  # the background
    for slab, pixels in plan.slabs:
        target = result[1:, slab].view(len(result) - 1, -1)
        mixed = table.new_empty(4, target.shape[1])
        rgb = mixed[1:].view(3, -1, plane)
        first, *others = zip(weights[:, pixels, slab].mT, reduced, strict=True)
        torch.bmm(first[0].expand(3, -1, -1), first[1][:, pixels], out=rgb)
        for weight, part in others:
            rgb.baddbmm_(weight.expand(3, -1, -1), part[:, pixels])
        torch.sum(mixed[1:], 0, out=mixed[0]).mul_(image[:, slab].reshape(-1)).neg_()
        if target.dtype == table.dtype:
            torch.mm(table[:, 1:].T, mixed, out=target)
        else:
            target.copy_(table[:, 1:].T @ mixed)


_spare: list[np.ndarray] = []


def _gradient_memory(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Memory for a gradient. On a CPU that of the last one, if it is free again: new pages cost more than the rest."""
    if device.type != "cpu" or dtype != torch.float32:
        return torch.empty(shape, dtype=dtype, device=device)
    try:
        memory = _spare.pop()
    except IndexError:  # lent to another gradient, perhaps of another thread
        memory = np.empty(0, np.float32)
    if memory.size != shape.numel():
        memory = np.empty(shape.numel(), np.float32)
    lent = memory[:]
    weakref.finalize(lent, _take_back, memory).atexit = False
    return torch.from_numpy(lent).view(shape)


def _take_back(memory: np.ndarray) -> None:
    _spare[:] = [memory]
