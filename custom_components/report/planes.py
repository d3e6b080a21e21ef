"""A picture of one case: axial, coronal and sagittal plane with the organs in colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from custom_components.anatomy import JUDGED_ORGANS, NUM_CLASSES, ORGANS, LabelSet, label_map
from custom_components.data.readers import read_volume
from custom_components.transforms.plane import PLANES, cut_plane
from custom_components.transforms.same_grid import check_same_grid

ALPHA = 0.4


def blend(grey: np.ndarray, label: np.ndarray, alpha: float = ALPHA) -> np.ndarray:
    """Lay the organs' colours over a grey image.

    Args:
        grey: (...) in [0, 1].
        label: (...) 0 to 12.
        alpha: share of the colour where there is an organ.

    Returns:
        (..., 3) in [0, 1].
    """
    colours = np.zeros((NUM_CLASSES, 3), np.float32)
    for organ in ORGANS:
        colours[organ.index] = np.asarray(organ.colour) / 255
    share = (alpha * (label > 0))[..., None]
    return (1 - share) * grey[..., None] + share * colours[label]


def _telling_voxel(label: np.ndarray) -> tuple[int, ...]:
    """Where to cut: along each axis the plane that shows most of the organs, each measured by its largest section."""
    planes = []
    for axis, size in enumerate(label.shape):
        shown = np.zeros(size)
        for organ in ORGANS:
            sections = np.count_nonzero(np.moveaxis(label, axis, 0) == organ.index, axis=(1, 2))
            weight = 2 if organ.name in JUDGED_ORGANS else 1
            shown += weight * sections / max(1, sections.max())
        planes.append(int(shown.argmax()) if shown.any() else size // 2)
    return tuple(planes)


def draw_planes(
    image: str | Path,
    segmentation: str | Path,
    output: str | Path,
    *,
    label_set: LabelSet = "abdomen12",
    hu_window: tuple[float, float] = (-175.0, 275.0),
) -> Path:
    """Draw the planes of a case that show most of its organs, and write the picture.

    Args:
        image: CT in HU; NIfTI, NRRD, MHA or a folder of one DICOM series, of any orientation.
        segmentation: label map on the same grid, in whatever order of storage.
        output: PNG to write.
        label_set: numbering of the segmentation.
        hu_window: HU shown as black and white.

    Raises:
        ValueError: one of the two cannot be read, or they have different grids.
    """
    ct, seg = read_volume(image), read_volume(segmentation)
    check_same_grid(str(segmentation), seg.shape[1:], seg.affine, str(image), ct.shape[1:], ct.affine)
    grey = np.clip((ct[0].numpy() - hu_window[0]) / (hu_window[1] - hu_window[0]), 0, 1)
    label = np.zeros(seg.shape[1:], np.uint8)
    for source, ours in label_map(label_set).items():
        label[seg[0].numpy() == source] = ours
    spacing = ct.pixdim.numpy()
    aspects = {
        "axial": spacing[1] / spacing[0],
        "coronal": spacing[2] / spacing[0],
        "sagittal": spacing[2] / spacing[1],
    }
    voxel = _telling_voxel(label)

    figure = Figure(figsize=(15, 6.2), layout="constrained", facecolor="black")
    for axes, plane in zip(figure.subplots(1, 3), PLANES, strict=True):
        axes.imshow(blend(cut_plane(grey, plane, voxel), cut_plane(label, plane, voxel)), aspect=aspects[plane])
        axes.text(0.02, 0.98, plane, color="white", va="top", transform=axes.transAxes)
        axes.axis("off")
    patches = [Patch(color=f"#{bytes(o.colour).hex()}", label=o.name.replace("_", " ")) for o in ORGANS]
    figure.legend(
        handles=patches,
        loc="outside lower center",
        ncols=6,
        labelcolor="white",
        facecolor="black",
        frameon=False,
    )
    figure.savefig(output, dpi=100)
    return Path(output)
