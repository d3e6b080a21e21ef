"""Random loss of the field of view, as in scans that end above or beside an organ."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform


class RandCutFieldOfViewd(RandomizableTransform, MapTransform):
    """Set what lies outside a random box, and sometimes outside a random circle, to 0.

    0 is air in a windowed CT and background in its label: what the scan does not show is no longer an organ.
    One field of view for all keys. On average half of the six sides lose something.

    Args:
        keys: images and labels `(C, X, Y, Z)` on one grid.
        max_fraction: the largest part of its extent that each axis loses on one side.
        prob: probability of a cut.
        circle_prob: probability that a cut also leaves only a circle in the plane of the first two axes, as
            the reconstruction circle of a scanner. Its diameter is at least 0.7 of the shorter extent.
        allow_missing_keys: do nothing for a key that is missing.

    Raises:
        ValueError: a fraction is not between 0 and 0.5, or (when called) the keys differ in shape.

    Example:
        >>> cut = RandCutFieldOfViewd("image", max_fraction=(0, 0, 0.4), prob=1.0).set_random_state(0)
        >>> cut({"image": torch.ones(1, 2, 2, 8)})["image"][0, 0, 0].tolist()
        [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        max_fraction: Sequence[float] = (0.1, 0.1, 0.35),
        prob: float = 0.1,
        circle_prob: float = 0.25,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        if not all(0 <= fraction < 0.5 for fraction in max_fraction):
            raise ValueError(f"max_fraction is {tuple(max_fraction)}, expected numbers of at least 0 and below 0.5")
        self.max_fraction = tuple(max_fraction)
        self.circle_prob = circle_prob
        self._cuts: list[tuple[float, float]] = []
        self._circle: float | None = None

    def randomize(self, data: Any | None = None) -> None:
        """Draw whether to cut, the part that each side loses, and the diameter of the circle."""
        super().randomize(None)
        if not self._do_transform:
            return
        lost = [self.R.uniform(-fraction, fraction, size=2).clip(0) for fraction in self.max_fraction]
        self._cuts = [(float(low), float(high)) for low, high in lost]
        self._circle = self.R.uniform(0.7, 1.0) if self.R.rand() < self.circle_prob else None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the field of view cut."""
        cut = dict(data)
        self.randomize()
        if not self._do_transform:
            return cut
        shapes = {key: tuple(cut[key].shape[1:]) for key in self.key_iterator(cut)}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"images have the shapes {shapes}, expected one shape")
        for key, shape in shapes.items():
            image = torch.as_tensor(cut[key])
            cut[key] = image.masked_fill(self._outside(shape).to(image.device), 0)
        return cut

    def _outside(self, shape: Sequence[int]) -> torch.Tensor:
        if len(shape) != len(self._cuts):
            raise ValueError(f"image has {len(shape)} axes, expected {len(self._cuts)} as max_fraction")
        inside = torch.zeros(tuple(shape), dtype=torch.bool)
        box = (slice(round(a * n), n - round(b * n)) for (a, b), n in zip(self._cuts, shape, strict=True))
        inside[tuple(box)] = True
        if self._circle is not None:
            radius = self._circle * min(shape[:2]) / 2
            x, y = (torch.arange(n, dtype=torch.float32) - (n - 1) / 2 for n in shape[:2])
            circle = x[:, None] ** 2 + y**2 <= radius**2
            inside &= circle.view(*circle.shape, *[1] * (len(shape) - 2))
        return ~inside
