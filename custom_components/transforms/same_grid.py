"""Whether two images lie on one grid: as many voxels, in the same places."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from monai.transforms import MapTransform
from numpy.typing import ArrayLike

from custom_components.case_ids import case_name

LIMIT = 0.1
"""How far a corner may lie from its place, as part of the smallest voxel side."""


class CheckSameGridd(MapTransform):
    """Check that loaded images lie on the grid of the first of them; to stand after `Orientationd`.

    Images that are stored along other axes, or in another direction along them, have one grid only after they are
    brought to one orientation.

    Args:
        keys: `MetaTensor`s `(C, X, Y, Z)`.
        allow_missing_keys: do nothing for a key that is missing.

    Raises:
        ValueError: (when called) an image lies on another grid; one line that names the case and by how much.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data as they are."""
        checked = dict(data)
        first, *others = list(self.key_iterator(checked)) or [None]
        for key in others:
            try:
                check_same_grid(
                    str(key), checked[key].shape[1:], checked[key].affine,
                    str(first), checked[first].shape[1:], checked[first].affine,
                )  # fmt: skip
            except ValueError as error:
                raise ValueError(f"case {case_name(checked, first, key)}: {error}") from None
        return checked


def check_same_grid(
    name_a: str,
    shape_a: Sequence[int],
    affine_a: ArrayLike,
    name_b: str,
    shape_b: Sequence[int],
    affine_b: ArrayLike,
) -> None:
    """Check that an image `a` lies on the grid of an image `b`.

    Affines are compared by what they do: no corner of the grid may lie further from its place than `LIMIT` of the
    smallest voxel side. Entries of a matrix tell little: a small turn moves a far corner by many voxels, and
    rounding in a header hardly any.

    Args:
        name_a: what the image is called in the message.
        shape_a: its voxels along each axis, (X, Y, Z).
        affine_a: 4 x 4, from voxel indices to mm.
        name_b: as of `a`.
        shape_b: as of `a`.
        affine_b: as of `a`.

    Raises:
        ValueError: the shapes differ, or a corner lies too far off; one line with both sizes, or distance and limit.

    Example:
        >>> check_same_grid("label", (8, 8, 9), np.eye(4), "image", (8, 8, 8), np.eye(4))
        Traceback (most recent call last):
        ValueError: label has 8 x 8 x 9 voxels, expected 8 x 8 x 8 as image
    """
    if tuple(shape_a) != tuple(shape_b):
        sizes = [" x ".join(str(int(n)) for n in shape) for shape in (shape_a, shape_b)]
        raise ValueError(f"{name_a} has {sizes[0]} voxels, expected {sizes[1]} as {name_b}")
    one, other = (np.asarray(affine, dtype=np.float64) for affine in (affine_a, affine_b))
    corners = np.array([[*corner, 1] for corner in product(*((0, n - 1) for n in shape_a))])
    distance = float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())
    limit = LIMIT * float(np.linalg.norm(other[:3, :3], axis=0).min())
    if not distance <= limit:  # NaN too
        raise ValueError(
            f"{name_a} lies up to {distance:.2f} mm off the grid of {name_b}, expected at most {limit:.2f} mm"
        )
