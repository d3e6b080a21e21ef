"""A montage for each code, from a phantom: what the code means, to be seen beside its words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.random import RandomState
from numpy.typing import NDArray
from PIL import Image

from custom_components.anatomy import INDEX, JUDGED_ORGANS
from custom_components.data.code_values import CODES
from custom_components.data.phantom import make_phantom
from custom_components.data.rater import rate
from custom_components.files import complete_file
from custom_components.review.layers import EXAMPLE_PARTS, example_path
from custom_components.transforms.corruption_scene import Labels, Scene
from custom_components.transforms.montage import montage
from custom_components.transforms.organ_corruptions import leaked, organ_missing, shrunken

SEED = 7
HU_WINDOW = (-175.0, 275.0)
MOST_TRIES = 200

_WRONG: dict[int, tuple[Callable[[Scene, RandomState], Labels], ...]] = {1: (shrunken, leaked), 2: (organ_missing,)}


def draw_examples(folder: str | Path) -> None:
    """Draw the examples, unless they are there: the phantom's truth, and changes of it that a rater codes 1 and 2.

    Raises:
        OSError: they cannot be written.
    """
    if all(example_path(folder, code, part).is_file() for code in CODES for part in EXAMPLE_PARTS):
        return
    phantom = make_phantom(SEED, 0.0)
    spacing = tuple(float(mm) for mm in np.linalg.norm(phantom.affine[:3, :3], axis=0))
    low, high = HU_WINDOW
    image = np.clip((phantom.image.astype(np.float32) - low) / (high - low), 0, 1)
    scene = Scene(phantom.label, spacing, image)  # type: ignore[arg-type]
    for code in CODES:
        labels = phantom.label if code == 0 else _wrong(scene, code)
        first = _telling_slice(labels, phantom.label)
        parts = {"montage": slice(None), "slice": slice(first, first + 1)}
        for part, slices in parts.items():
            with complete_file(example_path(folder, code, part)) as partial:
                _picture(image[..., slices], labels[..., slices]).save(partial, format="PNG")


def _picture(image: NDArray[np.float32], labels: Labels) -> Image.Image:
    picture = montage(torch.from_numpy(image.copy())[None, None], torch.from_numpy(labels.copy())[None, None])[0]
    return Image.fromarray(picture.movedim(0, -1).mul(255).add(0.5).clamp(0, 255).to(torch.uint8).numpy())


def _telling_slice(labels: Labels, truth: Labels) -> int:
    """The slice with most that is wrong; of what is right, the one with most of the organ that is smallest there."""
    wrong = (labels != truth).sum(axis=(0, 1))
    if wrong.any():
        return int(wrong.argmax())
    areas = [(truth == INDEX[organ]).sum(axis=(0, 1)) for organ in JUDGED_ORGANS]
    return int(np.min(areas, axis=0).argmax())


def _wrong(scene: Scene, code: int) -> Labels:
    rng = RandomState(SEED)
    for _ in range(MOST_TRIES):
        for change in _WRONG[code]:
            labels = change(scene, rng)
            if rate(labels, scene.labels, spacing=scene.spacing) == code:
                return labels
    raise RuntimeError(f"no example of code {code} was found")
