"""Random failures of a segmentation, with the QA code that they make certain or that the truth gives."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_dst_type
from numpy.random import RandomState
from numpy.typing import NDArray

from custom_components.data.rater import rate
from custom_components.transforms.certain_code import certain_code
from custom_components.transforms.corruption_modes import MODES
from custom_components.transforms.corruption_scene import Labels, Scene

MAX_TRIES = 4
"""Modes that are tried for one item, until one changes it in a way whose code is known."""


class RandCorruptSegmentationd(RandomizableTransform, MapTransform):
    """Spoil a segmentation as networks do, to give a discriminator the codes that are rare among real results.

    The code of the spoilt segmentation comes from `custom_components.data.rater.rate` where the item has a truth. Where
    it has none, only failures are used whose code is certain (`certain_code`); if that of the drawn mode is not, the
    next mode is tried. Modes are drawn without replacement, in proportion to their weights.

    Adds the item `corruption`: the name of the mode, or "" where nothing was changed. Returns the code as a float.

    Args:
        key: segmentation, 0 to 12, (1, X, Y, Z) in RAS; an item without one, such as a montage, stays as it is.
        image_key: CT, (1, X, Y, Z) in [0, 1], which leads some failures; may be missing.
        truth_key: true labels, (1, X, Y, Z); may be missing.
        code_key: QA code of the segmentation, a number.
        prob: share of items that are spoilt.
        modes: weight of each mode of `custom_components.transforms.corruption_modes.MODES`; one that is absent or 0 is
            off. Default: all alike, `other_case` only if there are donors.
        donors: segmentations of other cases on the same grid, (X, Y, Z) or (1, X, Y, Z), for `other_case`.
        spacing: voxel size in mm; default that of the segmentation or the image, if one is a MetaTensor.

    Raises:
        ValueError: a mode is unknown, no weight or a negative one is given, `other_case` has no donors, or (when
            called) shapes differ or there is no spacing.

    Example:
        >>> liver = torch.zeros(1, 20, 20, 20, dtype=torch.uint8)
        >>> liver[:, 2:10, 2:18, 2:18] = 6
        >>> corrupt = RandCorruptSegmentationd(prob=1.0, modes={"empty": 1.0}, spacing=(4, 4, 6))
        >>> item = corrupt({"segmentation": liver, "code": 0})
        >>> item["code"], item["corruption"], int(item["segmentation"].sum())
        (2.0, 'empty', 0)
    """

    def __init__(
        self,
        key: str = "segmentation",
        *,
        image_key: str = "image",
        truth_key: str = "truth",
        code_key: str = "code",
        prob: float = 0.3,
        modes: Mapping[str, float] | None = None,
        donors: Sequence | None = None,
        spacing: Sequence[float] | None = None,
    ) -> None:
        MapTransform.__init__(self, key)
        RandomizableTransform.__init__(self, prob)
        self.key, self.image_key, self.truth_key, self.code_key = key, image_key, truth_key, code_key
        self.donors = () if donors is None else donors
        if modes is None:
            modes = {name: 1.0 for name in MODES if name != "other_case" or len(self.donors)}
        self.weights = _weights(modes, donors=len(self.donors))
        self.spacing = spacing
        self._order: list[str] = []
        self._seed = 0

    def randomize(self, data: Any | None = None) -> None:
        """Draw whether to spoil, the order in which modes are tried, and the seed of their own numbers."""
        super().randomize(None)
        if not self._do_transform:
            return
        names, weights = list(self.weights), np.array(list(self.weights.values()))
        tries = min(MAX_TRIES, len(names))
        self._order = [str(n) for n in self.R.choice(names, size=tries, replace=False, p=weights / weights.sum())]
        self._seed = int(self.R.randint(2**31))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the segmentation spoilt or not, its code, and the name of the failure."""
        item = dict(data)
        item[self.code_key] = float(item[self.code_key])
        item["corruption"] = ""
        self.randomize()
        if not self._do_transform or self.key not in item:
            return item
        scene, truth = self._scene(item)
        for name in self._order:
            labels = MODES[name](scene, RandomState(self._seed))
            code = self._code(scene, labels, truth, item[self.code_key])
            if code is not None:
                item[self.key] = convert_to_dst_type(labels[None], item[self.key])[0]
                item[self.code_key], item["corruption"] = code, name
                break
        return item

    def _code(self, scene: Scene, labels: Labels, truth: NDArray | None, code: float) -> float | None:
        """Code of the spoilt labels; None if it is not certain or nothing was changed."""
        if np.array_equal(labels, scene.labels):
            return None
        if truth is not None:
            return float(rate(labels, truth, spacing=scene.spacing))
        return certain_code(scene.labels, labels, code, spacing=scene.spacing)

    def _scene(self, item: Mapping[Hashable, Any]) -> tuple[Scene, NDArray | None]:
        arrays = {key: _array(item[key]) for key in (self.key, self.image_key, self.truth_key) if key in item}
        shapes = {key: array.shape for key, array in arrays.items()}
        if len(set(shapes.values())) > 1 or len(shapes[self.key]) != 4 or shapes[self.key][0] != 1:
            raise ValueError(f"items have the shapes {shapes}, expected one shape (1, X, Y, Z)")
        x, y, z = self._spacing(item)
        labels = arrays[self.key][0].astype(np.uint8)
        image, truth = arrays.get(self.image_key), arrays.get(self.truth_key)
        return (
            Scene(labels, (x, y, z), None if image is None else image[0], self.donors),
            None if truth is None else truth[0].astype(np.uint8),
        )

    def _spacing(self, item: Mapping[Hashable, Any]) -> list[float]:
        if self.spacing is not None:
            return [float(mm) for mm in self.spacing]
        for key in (self.key, self.image_key):
            if isinstance(item.get(key), MetaTensor):
                return [float(mm) for mm in item[key].pixdim]
        raise ValueError(f"{self.key} and {self.image_key} have no meta data, expected the argument spacing")


def _array(volume: Any) -> NDArray:
    return volume.detach().cpu().numpy() if isinstance(volume, torch.Tensor) else np.asarray(volume)


def _weights(modes: Mapping[str, float], *, donors: int) -> dict[str, float]:
    """The modes that are on, with their weights."""
    unknown = sorted(set(modes) - set(MODES))
    if unknown:
        raise ValueError(f"modes holds {unknown}, expected some of {list(MODES)}")
    weights = {name: float(weight) for name, weight in modes.items() if weight != 0}
    if not weights or not all(0 < weight < float("inf") for weight in weights.values()):
        raise ValueError(f"modes is {dict(modes)}, expected weights of at least 0, one of them above 0")
    if "other_case" in weights and not donors:
        raise ValueError("modes holds other_case but there are no donors, expected segmentations of other cases")
    return weights
