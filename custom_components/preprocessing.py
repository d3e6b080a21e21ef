"""The only place where the order of transforms stands: factories that return MONAI `Compose` objects.

Configurations name a factory and give its numbers. Every spatial step of `ct_preprocessing` can be undone, and
`segmentation_postprocessing` undoes them: a segmentation comes back on the grid of the image it belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    Orientationd,
    RandAdjustContrastd,
    RandAffined,
    RandBiasFieldd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandHistogramShiftd,
    RandSmoothDeformd,
    ResizeWithPadOrCropd,
    SaveImaged,
    ScaleIntensityRanged,
    Spacingd,
    Transform,
)

from custom_components.data.readers import VolumeReader
from custom_components.data.writers import AtomicNibabelWriter, case_output_name
from custom_components.transforms.check_volume import CheckVolumed
from custom_components.transforms.cut_field_of_view import RandCutFieldOfViewd
from custom_components.transforms.invert_labels import InvertLabelsd
from custom_components.transforms.map_labels import MapLabelSetd
from custom_components.transforms.same_grid import CheckSameGridd

IMAGE, LABEL, PRED = "image", "label", "pred"


def ct_preprocessing(
    *,
    pixdim: Sequence[float] = (2.0, 2.0, 6.0),
    roi_size: Sequence[int] = (168, 168, 64),
    hu_window: tuple[float, float] = (-175.0, 275.0),
    with_label: bool = False,
) -> Compose:
    """Bring a CT, and its label if asked, from disk to the network's grid.

    The file may be NIfTI, NRRD, MHA or a DICOM series. The result is RAS, resampled to `pixdim`, windowed to
    [0, 1] with clipping, and cropped or padded about the centre to `roi_size`; padding is air. The window comes
    before the padding, because 0 HU would be water.

    Args:
        pixdim: voxel size in mm along right-left, posterior-anterior, inferior-superior.
        roi_size: voxels along the same axes.
        hu_window: the HU that become 0 and 1.
        with_label: also prepare the item `label`: numbers of the item's `label_set` become ours, resampling is
            nearest neighbour; adds `annotated` (13,) bool.

    Returns:
        Compose from `{"image": path}` to `{"image": (1, X, Y, Z) float32}`; with a label also
        `{"label": (1, X, Y, Z) uint8, "annotated": (13,) bool}`.

    Raises:
        ValueError: (when called) the file holds no usable 3D volume, or the label lies on another grid than its image,
            in whatever order of storage.
    """
    keys = [IMAGE, LABEL] if with_label else [IMAGE]
    steps: list[Transform] = [
        LoadImaged(keys, reader=VolumeReader, image_only=True),
        CheckVolumed([IMAGE]),
        EnsureChannelFirstd(keys),
        # before Spacingd, which stumbles over items named `label_...` that are no meta data
        *([MapLabelSetd([LABEL])] if with_label else []),
        Orientationd(keys, axcodes="RAS", labels=None),
        # the crop about the centre would bring any two grids together, one organ onto another
        *([CheckSameGridd(keys)] if with_label else []),
        Spacingd(keys, pixdim, mode=["bilinear", "nearest"][: len(keys)], dtype=np.float32),
        ScaleIntensityRanged([IMAGE], *hu_window, 0.0, 1.0, clip=True),
        ResizeWithPadOrCropd(keys, roi_size),
        EnsureTyped(keys, dtype=[np.float32, np.uint8][: len(keys)]),
    ]
    return Compose(steps)


def label_loading() -> Compose:
    """Read the item `label` on its own grid, with our numbers, to compare a result with it there.

    Returns:
        Compose from `{"label": path}` to `{"label": (1, X, Y, Z) uint8, "annotated": (13,) bool}`.
    """
    return Compose(
        [
            LoadImaged([LABEL], reader=VolumeReader, image_only=True),
            EnsureChannelFirstd([LABEL]),
            MapLabelSetd([LABEL]),
        ],
    )


def ct_augmentation(
    *,
    roi_size: Sequence[int] = (168, 168, 64),
    prob: float = 0.5,
    rotate_range: Sequence[float] = (0.03, 0.03, 0.25),
    scale_range: Sequence[float] = (0.2, 0.2, 0.2),
    translate_fraction: Sequence[float] = (0.1, 0.1, 0.15),
    deform_fraction: float = 0.04,
    curve_points: tuple[int, int] = (4, 8),
    gamma: tuple[float, float] = (0.6, 1.6),
    bias_coeff: tuple[float, float] = (0.0, 0.15),
    blur_fraction: tuple[float, float] = (0.003, 0.01),
    noise_std: float = 0.08,
    cut_fraction: Sequence[float] = (0.1, 0.1, 0.35),
) -> Compose:
    """Random changes of a preprocessed training item. None of them exchanges left and right.

    The order follows the way of a scan: the patient (affine, smooth deformation), tissue contrast (monotone curve,
    gamma), shading (bias field), resolution (blur), noise, and the limits of the field of view. Lengths are fractions
    of the grid's extent, so that the numbers hold for any spacing.

    Args:
        roi_size: voxels of the grid.
        prob: probability of each single change; half of it for blur and field of view.
        rotate_range: largest angle about each axis in radians, in voxel coordinates: where slices are thick, an
            angle about the first two axes is larger in mm.
        scale_range: largest relative change of size along each axis.
        translate_fraction: largest shift along each axis.
        deform_fraction: largest displacement of the smooth deformation.
        curve_points: range of the number of control points of the monotone intensity curve; fewer bend more.
        gamma: range of the exponent.
        bias_coeff: range of the coefficients of the polynomial bias field.
        blur_fraction: range of the standard deviation of the blur.
        noise_std: upper limit of the noise's standard deviation, where the window is 1.
        cut_fraction: largest part of each axis that the field of view loses.

    Returns:
        Compose from and to `{"image": (1, X, Y, Z) in [0, 1], "label": (1, X, Y, Z)}`.
    """
    both, image = [IMAGE, LABEL], [IMAGE]
    modes = ["bilinear", "nearest"]
    blur_x, blur_y, blur_z = ((blur_fraction[0] * size, blur_fraction[1] * size) for size in roi_size)
    return Compose(
        [
            RandAffined(
                both,
                prob=prob,
                rotate_range=rotate_range,
                scale_range=scale_range,
                translate_range=[fraction * size for fraction, size in zip(translate_fraction, roi_size, strict=True)],
                mode=modes,
                padding_mode="zeros",
            ),
            RandSmoothDeformd(
                both,
                spatial_size=roi_size,
                rand_size=(5, 5, 5),
                prob=prob,
                field_mode="trilinear",
                def_range=2 * deform_fraction,  # MONAI counts the extent as 2
                grid_mode=modes,
                grid_padding_mode="zeros",
                grid_align_corners=True,
            ),
            RandHistogramShiftd(image, num_control_points=curve_points, prob=prob),
            RandAdjustContrastd(image, prob=prob, gamma=gamma),
            RandBiasFieldd(image, coeff_range=bias_coeff, prob=prob),
            RandGaussianSmoothd(image, blur_x, blur_y, blur_z, prob=prob / 2),
            RandGaussianNoised(image, prob=prob, std=noise_std),
            ScaleIntensityRanged(image, 0.0, 1.0, 0.0, 1.0, clip=True),
            RandCutFieldOfViewd(both, max_fraction=cut_fraction, prob=prob / 2),
            EnsureTyped(both, track_meta=False),
        ]
    )


def training_transforms(preprocessing: Compose, augmentation: Compose) -> Compose:
    """Join the two, flat, so that `CacheDataset` finds the first random transform and caches all before it."""
    return Compose([preprocessing, augmentation]).flatten()


def segmentation_postprocessing(
    *, invert: bool = True, output_dir: str | Path | None = None, output_postfix: str = "seg"
) -> Compose:
    """Turn the network's output into a label map, on the image's own grid if asked, and write it if asked.

    Args:
        invert: undo the preprocessing; without it the label map stays on the network's grid.
        output_dir: where to write `<case_id>/<case_id>_<output_postfix>.nii.gz` (uint8); None writes nothing.
        output_postfix: the end of the file's name.

    Returns:
        Compose from `{"pred": (13, X, Y, Z) logits, "image": preprocessed MetaTensor}` to
        `{"pred": (1, X', Y', Z') uint8}`.
    """
    if not invert:
        return Compose([AsDiscreted([PRED], argmax=True, dtype=np.uint8)])
    steps: list[Transform] = [Activationsd([PRED], softmax=True), InvertLabelsd([PRED], orig_keys=IMAGE)]
    if output_dir is not None:
        steps.append(
            SaveImaged(
                [PRED],
                writer=AtomicNibabelWriter,
                output_dir=output_dir,
                output_postfix=output_postfix,
                output_ext=".nii.gz",
                output_dtype=np.uint8,
                output_name_formatter=case_output_name,
                resample=False,
                print_log=False,
            )
        )
    return Compose(steps)
