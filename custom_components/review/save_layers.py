"""Write the layers of a montage."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Transform
from PIL import Image, PngImagePlugin
from torch import Tensor

from custom_components.case_ids import CASE_ID
from custom_components.data.montage_area import COMPRESSION
from custom_components.files import complete_file
from custom_components.review.layers import GEOMETRY, Geometry, layer_path, organ_palette
from custom_components.transforms.montage import montage_grid, tile


class SaveLayers(Transform):
    """Write the layers of an item's montage at full size, `<output_dir>/<case_id>.<layer>.png`.

    The organs laid over the CT with an opacity of `alpha` are what `custom_components.transforms.montage.montage` gives
    for it.

    Args:
        output_dir: where to; made if missing.
        image_key: (1, X, Y, Z) in [0, 1], RAS.
        segmentation_key: labels (1, X, Y, Z) of an integer type.

    Raises:
        OSError: (when called) a file cannot be written.
    """

    def __init__(
        self, output_dir: str | Path, image_key: Hashable = "image", segmentation_key: Hashable = "segmentation"
    ) -> None:
        self.output_dir = Path(output_dir)
        self.image_key, self.segmentation_key = image_key, segmentation_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data as they are."""
        image, labels = data[self.image_key], torch.as_tensor(data[self.segmentation_key])
        affine = image.affine if isinstance(image, MetaTensor) else torch.eye(4)
        grey = torch.as_tensor(image).mul(255).add(0.5).clamp(0, 255).to(torch.uint8)
        grid = montage_grid(int(image.shape[-1]))
        geometry = Geometry(tuple(image.shape[1:]), grid.columns, np.asarray(affine, dtype=float).tolist())
        info = PngImagePlugin.PngInfo()
        info.add_text(GEOMETRY, json.dumps(geometry._asdict()))
        case_id = str(data[CASE_ID])
        organs = Image.fromarray(_tiled(labels.to(torch.uint8)), mode="P")
        organs.putpalette(organ_palette())
        with complete_file(layer_path(self.output_dir, case_id, "organs")) as partial:
            organs.save(partial, format="PNG", transparency=0)
        with complete_file(layer_path(self.output_dir, case_id, "ct")) as partial:
            ct = Image.fromarray(_tiled(grey), mode="L")
            ct.save(partial, format="PNG", compress_level=COMPRESSION, pnginfo=info)
        return dict(data)


def _tiled(volume: Tensor) -> np.ndarray:
    return tile(volume.as_subclass(Tensor)[None], montage_grid(int(volume.shape[-1])))[0, 0].numpy()
