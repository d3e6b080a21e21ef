"""Bring the label numbers of a source to ours, and note which organs it annotated."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from custom_components.anatomy import LARGEST_LABEL, NUM_CLASSES, LabelSet, annotated_channels, label_map
from custom_components.case_ids import case_name


class MapLabelSetd(MapTransform):
    """Map a label from the numbers of the item's label set to the 13 channels, as uint8.

    The item names its label set: one of `custom_components.anatomy.LABEL_SETS`, or a list of the organs that
    were annotated, numbered as ours. Numbers of other structures, and of organs that were not annotated,
    become background.

    Args:
        keys: label maps of whole numbers, any shape and type; the meta of a MetaTensor is kept.
        label_set_key: item that names the label set; `abdomen12`, our own numbers, where it is missing.
        annotated_key: item to write: which channels the source annotated, boolean `(13,)`.
        allow_missing_keys: do nothing for a key that is missing.

    Raises:
        ValueError: (when called) the label set is unknown, or the label holds negative numbers, fractions,
            NaN, or a number above the largest of its label set. One line that names the case.

    Example:
        >>> item = MapLabelSetd()({"label": torch.tensor([0, 1, 12, 13]), "label_set": "flare22"})
        >>> item["label"].tolist()
        [0, 6, 0, 3]
        >>> item["annotated"].sum().item()
        12
    """

    def __init__(
        self,
        keys: KeysCollection = "label",
        *,
        label_set_key: str = "label_set",
        annotated_key: str = "annotated",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_set_key = label_set_key
        self.annotated_key = annotated_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with mapped labels and the annotated channels."""
        mapped = dict(data)
        label_set: LabelSet = mapped.get(self.label_set_key, "abdomen12")
        for key in self.key_iterator(mapped):
            try:
                mapped[key] = map_label(mapped[key], label_set)
            except ValueError as error:
                raise ValueError(f"case {case_name(data, key)}: {error}") from None
            mapped[self.annotated_key] = torch.tensor(annotated_channels(label_set))
        mapped.pop(self.label_set_key, None)  # said by the annotated channels now, and lists of names do not collate
        return mapped


def map_label(label: torch.Tensor, label_set: LabelSet = "abdomen12") -> torch.Tensor:
    """Map one label to our channels as `MapLabelSetd` does; see there.

    Raises:
        ValueError: as `MapLabelSetd`.
    """
    channels = label_map(label_set)
    voxels = torch.as_tensor(label)
    if not voxels.is_floating_point():
        voxels = voxels.long()
    low, high = (value.item() for value in voxels.aminmax())
    largest = LARGEST_LABEL[label_set] if isinstance(label_set, str) else NUM_CLASSES - 1
    if not 0 <= low <= high <= largest:
        found = f"{high:g}" if low >= 0 else f"{low:g}"
        raise ValueError(f"label holds {found}, expected 0 to {largest} (label_set {label_set!r})")
    # One entry above the known numbers stands for all others.
    table = torch.zeros(max(channels) + 2, dtype=torch.uint8, device=voxels.device)
    table[list(channels)] = torch.tensor(list(channels.values()), dtype=torch.uint8, device=voxels.device)
    index = voxels.clamp(max=len(table) - 1).long()
    if voxels.is_floating_point() and not torch.equal(voxels, voxels.round()):
        raise ValueError("label holds fractions, expected whole numbers: was it interpolated?")
    return table[index]
