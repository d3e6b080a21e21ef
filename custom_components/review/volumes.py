"""Planes of a case at full resolution, for a closer look."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from custom_components.anatomy import LabelSet, label_map
from custom_components.data.montage_area import COMPRESSION
from custom_components.data.readers import read_volume
from custom_components.review.layers import WINDOWS, organ_palette
from custom_components.review.store import Item
from custom_components.transforms.plane import cut_plane
from custom_components.transforms.same_grid import check_same_grid

KEPT = 2
"""Volumes in memory: of the case that is looked at, and one more."""


class Volume(NamedTuple):
    """A CT and its segmentation.

    Attributes:
        image: HU, (X, Y, Z) int16 in RAS.
        labels: 0 to 12, (X, Y, Z) uint8.
        affine: 4 x 4, from voxels to mm.
    """

    image: NDArray[np.int16]
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]

    def voxel(self, place: Sequence[float] | None) -> list[int]:
        """The voxel at a place in mm, inside the volume; its middle if there is no place."""
        shape = np.array(self.image.shape)
        if place is None:
            return (shape // 2).tolist()
        found = (np.linalg.inv(self.affine) @ (*place, 1))[:3]
        return np.clip(np.rint(found), 0, shape - 1).astype(int).tolist()

    def info(self) -> dict[str, Any]:
        """Shape and voxel size in mm."""
        spacing = np.linalg.norm(self.affine[:3, :3], axis=0)
        return {"shape": list(self.image.shape), "spacing": spacing.round(4).tolist()}

    def png(self, plane: str, index: int, layer: str, window: str) -> bytes:
        """A plane as a PNG: the CT in a window, or the organs in their colours over nothing.

        Raises:
            KeyError: there is no such plane, slice, layer or window.
        """
        axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
        if not 0 <= index < self.image.shape[axis]:
            raise KeyError(index)
        voxel = [index] * 3
        if layer == "organs":
            picture = Image.fromarray(np.ascontiguousarray(cut_plane(self.labels, plane, voxel)), mode="P")
            picture.putpalette(organ_palette())
            return _png(picture, transparency=0)
        if layer != "ct":
            raise KeyError(layer)
        low, high = WINDOWS[window]
        cut = cut_plane(self.image, plane, voxel).astype(np.float32)
        grey = np.clip((cut - low) * (255 / (high - low)) + 0.5, 0, 255).astype(np.uint8)
        return _png(Image.fromarray(grey, mode="L"))

    def nifti(self, layer: str) -> bytes:
        """The whole of a layer as NIfTI, with nothing in its header but the grid.

        Raises:
            KeyError: there is no such layer.
        """
        voxels = {"ct": self.image, "organs": self.labels}[layer]
        return nib.Nifti1Image(voxels, self.affine).to_bytes()


class Volumes:
    """The volumes that are looked at, the last ones kept in memory."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str], Volume] = OrderedDict()
        self._lock = Lock()

    def get(self, item: Item, label_set: LabelSet) -> Volume:
        """Read the CT and the segmentation of an item, unless they are in memory.

        Raises:
            ValueError: one of the two cannot be read, or they have different grids.
        """
        key = (item.item, item.made_from)
        with self._lock:
            if key not in self._kept:
                while len(self._kept) >= KEPT:
                    self._kept.popitem(last=False)
                self._kept[key] = _read(item, label_set)
            self._kept.move_to_end(key)
            return self._kept[key]


def _read(item: Item, label_set: LabelSet) -> Volume:
    image = read_volume(item.image[0] if len(item.image) == 1 else item.image)  # type: ignore[arg-type]
    segmentation = read_volume(item.segmentation)
    check_same_grid("segmentation", segmentation.shape[1:], segmentation.affine, "image", image.shape[1:], image.affine)
    found = segmentation[0].numpy()
    labels = np.zeros(found.shape, np.uint8)
    for source, ours in label_map(label_set).items():
        labels[found == source] = ours
    hu = np.clip(image[0].numpy(), -32768, 32767).astype(np.int16)
    return Volume(hu, labels, np.asarray(image.affine, dtype=np.float64))


def _png(picture: Image.Image, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="PNG", compress_level=COMPRESSION, **options)
    return file.getvalue()


_VOLUMES = Volumes()
"""Of the helping process."""


def planes(item: Item, label_set: LabelSet, place: Sequence[float] | None) -> dict[str, Any]:
    """Shape, voxel size, and the voxel at a place (mm), which is given too, or the middle; see `Volumes.get`."""
    volume = _VOLUMES.get(item, label_set)
    voxel = volume.voxel(place)
    return volume.info() | {"voxel": voxel, "place": (volume.affine @ (*voxel, 1))[:3].tolist()}


def plane(item: Item, label_set: LabelSet, name: str, index: int, layer: str, window: str) -> bytes:
    """The PNG of a plane, see `Volume.png`."""
    return _VOLUMES.get(item, label_set).png(name, index, layer, window)


def nifti(item: Item, label_set: LabelSet, layer: str) -> bytes:
    """A layer as NIfTI, see `Volume.nifti`."""
    return _VOLUMES.get(item, label_set).nifti(layer)


def warm_up() -> None:
    """Have all imported that the first look at a volume needs."""
