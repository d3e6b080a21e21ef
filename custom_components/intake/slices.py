"""The voxels of a volume slice by slice: their digest, and slices that are there twice."""

from __future__ import annotations

import hashlib
import itertools

import nibabel as nib
import numpy as np
from numpy.typing import NDArray


def in_ras(voxels: NDArray, affine: NDArray[np.float64]) -> tuple[NDArray, NDArray[np.float64]]:
    """Turn the axes of a volume (X, Y, Z) to right, anterior and superior, without copying it; and its affine."""
    ornt = nib.orientations.io_orientation(affine)
    turned = nib.orientations.apply_orientation(voxels, ornt)
    return turned, affine @ nib.orientations.inv_ornt_aff(ornt, voxels.shape)


def digest_of(volume: NDArray) -> str:
    """Digest of the voxels in RAS (X, Y, Z), the same for whatever file, orientation and type of number they came from.

    Example:
        >>> volume = np.arange(24.0).reshape(2, 3, 4)
        >>> digest_of(volume) == digest_of(volume.astype(np.int16)), digest_of(volume) == digest_of(volume[::-1])
        (True, False)
    """
    digest = hashlib.blake2b(repr(tuple(volume.shape)).encode(), digest_size=16)
    for index in range(volume.shape[2]):
        # -0 is another number for a digest than 0
        digest.update((np.ascontiguousarray(volume[:, :, index], dtype=np.float32) + np.float32(0)).data)
    return digest.hexdigest()


def count_repeated(voxels: NDArray, axis: int) -> int:
    """Count the slices that are bit for bit the one before; those of one value, as of air alone, do not count.

    Example:
        >>> count_repeated(np.array([[[1, 1, 2, 0, 0], [3, 3, 4, 0, 0]]]), axis=2)
        1
    """
    return sum(_same(one, other) for one, other in itertools.pairwise(np.moveaxis(voxels, axis, 0)))


def _same(one: NDArray, other: NDArray) -> bool:
    middle = one.shape[0] // 2
    # most slices differ in a line, which is faster to see
    if not np.array_equal(one[middle], other[middle]) or not np.array_equal(one, other):
        return False
    return bool(one.min() != one.max())
