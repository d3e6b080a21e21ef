"""Refuse what is not one finite 3D volume with a known place in space."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, cast

import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey, MetaKeys


class CheckVolumed(MapTransform):
    """Check loaded images; to stand right after `LoadImaged`, before the channel is made the first axis.

    A trailing axis of size 1 is removed. An image that already is channel-first `(1, X, Y, Z)`, because
    another program loaded it, passes as it is. Neither copies the voxels.

    Raises:
        ValueError: an image is not one 3D volume, has an empty axis, NaN or infinite voxels, the same
            value everywhere, or no valid affine. One line that names the file and what was found.
    """

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with checked images; shapes `(X, Y, Z)`, or `(1, X, Y, Z)` if they came so."""
        checked = dict(data)
        for key in self.key_iterator(checked):
            checked[key] = check_volume(checked[key])
        return checked


def check_volume(image: MetaTensor) -> MetaTensor:
    """Check one image as `CheckVolumed` does; see there.

    Raises:
        ValueError: as `CheckVolumed`.
    """
    if not isinstance(image, MetaTensor):
        raise ValueError(f"image is a {type(image).__name__} without affine, expected a MetaTensor")
    name = str(image.meta.get(ImageMetaKey.FILENAME_OR_OBJ, "image"))
    try:
        check_shape(_header_shape(image))
        image = _one_volume(image)
        _check_affine(image)
        _check_values(image)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return image


def check_shape(shape: Sequence[int]) -> None:
    """Check the shape of an image without channel axis, before its voxels are read.

    Raises:
        ValueError: the shape is not that of one 3D volume.

    Example:
        >>> check_shape((64, 64, 32, 20))
        Traceback (most recent call last):
        ValueError: size is 64 x 64 x 32 x 20: 20 volumes, expected one 3D volume
    """
    size = " x ".join(str(int(n)) for n in shape)
    if 0 in shape:
        raise ValueError(f"size is {size}, expected no empty axis")
    if len(shape) > 3 and math.prod(shape[3:]) > 1:
        raise ValueError(f"size is {size}: {math.prod(shape[3:])} volumes, expected one 3D volume")
    if len(shape) < 3 or 1 in shape[:3]:
        raise ValueError(f"size is {size}: a 2D image, expected a 3D volume")


def _channel_first(image: MetaTensor) -> bool:
    last = image.meta.get(MetaKeys.ORIGINAL_CHANNEL_DIM) == -1
    return image.ndim == 4 and image.shape[0] == 1 and not last


def _header_shape(image: MetaTensor) -> tuple[int, ...]:
    """The shape without channel axis; the reader's own if the data came out empty."""
    header = image.meta.get(MetaKeys.SPATIAL_SHAPE)
    if image.numel() == 0 and header is not None:
        return tuple(int(n) for n in header)
    return tuple(image.shape[1:] if _channel_first(image) else image.shape)


def _one_volume(image: MetaTensor) -> MetaTensor:
    if _channel_first(image):
        image.meta[MetaKeys.ORIGINAL_CHANNEL_DIM] = 0
        return image
    if image.ndim > 3:
        image = cast(MetaTensor, image.reshape(image.shape[:3]))
        image.meta[MetaKeys.ORIGINAL_CHANNEL_DIM] = float("nan")
        image.meta[MetaKeys.SPATIAL_SHAPE] = tuple(image.shape)
    return image


def _check_affine(image: MetaTensor) -> None:
    meta = image.meta
    codes = [meta.get("sform_code"), meta.get("qform_code")]
    if None not in codes and all(int(code) == 0 for code in codes):  # type: ignore[arg-type]
        raise ValueError("has no affine: sform_code and qform_code are 0, expected one of them above 0")
    is_nrrd = str(meta.get(ImageMetaKey.FILENAME_OR_OBJ, "")).lower().endswith(".nrrd")
    if is_nrrd and "NRRD_space" not in meta and MetaKeys.SPACE in meta and "spacing" in meta:
        raise ValueError("has no affine: the NRRD header lacks 'space', expected 'space directions' with it")
    affine = torch.as_tensor(image.affine, dtype=torch.float64)
    if affine.shape != (4, 4):
        raise ValueError(f"affine is {tuple(affine.shape)}, expected 4 x 4")
    if not torch.isfinite(affine).all():
        raise ValueError("affine holds NaN or infinite values, expected finite ones")
    if affine[:3, :3].det().abs() < 1e-9:
        raise ValueError("affine is singular: an axis has no length or two axes are parallel")


def _check_values(image: MetaTensor) -> None:
    # One pass without a temporary: a NaN anywhere becomes the minimum and maximum, infinity the extreme.
    voxels = image.as_tensor()
    low, high = (float(value) for value in voxels.aminmax())
    if math.isfinite(low) and math.isfinite(high):
        if low == high:
            raise ValueError(f"every voxel is {low:g}, expected an image")
        return
    count = sum(int((~torch.isfinite(plane)).sum()) for plane in voxels.flatten(0, -3))
    raise ValueError(f"{count} of {voxels.numel()} voxels are NaN or infinite, expected finite values")
