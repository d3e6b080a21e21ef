"""The only place where the order of transforms stands: factories that return MONAI `Compose` objects.

Configurations name a factory and give its numbers. Every spatial step of `ct_preprocessing` can be undone, and
`segmentation_postprocessing` undoes them: a segmentation comes back on the grid of the image it belongs to. The
discriminator's montages come from the same steps, see `qa_preprocessing` and `qa_montage`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

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
    RandScaleIntensityd,
    RandSmoothDeformd,
    ResizeWithPadOrCropd,
    SaveImaged,
    ScaleIntensityRanged,
    SelectItemsd,
    Transform,
)

from custom_components.body_part.body_part_crop import BodyPartCrop
from custom_components.case_ids import CASE_ID
from custom_components.data.readers import VolumeReader
from custom_components.data.writers import AtomicNibabelWriter, case_output_name
from custom_components.grid_settings import checked_hu_window, checked_pixdim, checked_roi_size
from custom_components.transforms.axial_slices import AxialSlicesd
from custom_components.transforms.cached_on_disk import CachedOnDisk
from custom_components.transforms.check_volume import CheckVolumed
from custom_components.transforms.corrupt_segmentation import RandCorruptSegmentationd
from custom_components.transforms.crop_body_part import CropBodyPartd
from custom_components.transforms.cut_field_of_view import RandCutFieldOfViewd
from custom_components.transforms.invert_labels import InvertLabelsd
from custom_components.transforms.label_landmarks import LabelLandmarksd
from custom_components.transforms.map_labels import MapLabelSetd
from custom_components.transforms.montage import AXIAL, DISCRIMINATOR_SIZE, View
from custom_components.transforms.montaged import LoadMontaged, Montaged, RandMontaged, SaveMontaged
from custom_components.transforms.rand_mirror import RandMirrord
from custom_components.transforms.rand_shift import RandShiftd
from custom_components.transforms.rand_slices import RandSlicesd
from custom_components.transforms.same_grid import CheckSameGridd
from custom_components.transforms.spacing_of_keys import SpacingOfKeysd
from custom_components.user_errors import exit_on_user_error

IMAGE, LABEL, PRED = "image", "label", "pred"
SEGMENTATION, TRUTH, MONTAGE, CODE = "segmentation", "truth", "montage", "code"

logger = logging.getLogger(__name__)


@exit_on_user_error
def ct_preprocessing(
    *,
    pixdim: Sequence[float] = (2.0, 2.0, 6.0),
    roi_size: Sequence[int] = (168, 168, 64),
    hu_window: tuple[float, float] = (-175.0, 275.0),
    body_part: BodyPartCrop | None = None,
    with_label: bool = False,
    cache_dir: str | Path | None = None,
) -> Compose:
    """Bring a CT, and its label if asked, from disk to the network's grid.

    The file may be NIfTI, NRRD, MHA or a DICOM series. The result is RAS, cropped or padded to the slices of the
    abdomen if asked, resampled to `pixdim`, windowed to [0, 1] with clipping, and cropped or padded about the centre to
    `roi_size`; padding is air. The window comes before that padding, because 0 HU would be water.

    Args:
        pixdim: voxel size in mm along right-left, posterior-anterior, inferior-superior.
        roi_size: voxels along the same axes.
        hu_window: the HU that become 0 and 1.
        body_part: the slices that are kept; None: all, so that `roi_size` decides.
        with_label: also prepare the item `label`: numbers of the item's `label_set` become ours, resampling is
            nearest neighbour; adds `annotated` (13,) bool.
        cache_dir: where results are kept, see `CachedOnDisk`; what comes from there cannot be undone. None: nowhere.

    Returns:
        Compose from `{"image": path}` to `{"image": (1, X, Y, Z) float32}`; with a label also
        `{"label": (1, X, Y, Z) uint8, "annotated": (13,) bool}`.

    Raises:
        SystemExit: a number is out of range; one line, and exit code 1.
        ValueError: (when called) the file holds no usable 3D volume, or the label lies on another grid than its image,
            in whatever order of storage.
    """
    labels = [LABEL] if with_label else []
    steps = _grid_steps(labels, pixdim, roi_size, hu_window, body_part)
    numbers = {"pixdim": pixdim, "roi_size": roi_size, "hu_window": hu_window, "body_part": body_part}
    return _kept_on_disk(steps, cache_dir, [IMAGE, *labels], numbers)


def _kept_on_disk(
    steps: Sequence[Transform], cache_dir: str | Path | None, keys: Sequence[str], settings: Mapping[str, Any]
) -> Compose:
    if cache_dir is None:
        return Compose(steps)
    also = ["label_set", *(f"{key}_label_set" for key in keys)]
    settings = {**settings, "keys": keys}
    return Compose([CachedOnDisk(Compose(steps), cache_dir, keys=keys, also=also, settings=settings)])


def _grid_steps(
    labels: Sequence[str],
    pixdim: Sequence[float],
    roi_size: Sequence[int],
    hu_window: tuple[float, float],
    body_part: BodyPartCrop | None,
    optional: bool = False,
) -> list[Transform]:
    """The steps from disk to the grid, for `image` and label maps; the first of these is numbered as `label_set` says.

    Args:
        labels: keys of the label maps.
        pixdim: as of `ct_preprocessing`.
        roi_size: as of `ct_preprocessing`.
        hu_window: as of `ct_preprocessing`.
        body_part: as of `ct_preprocessing`.
        optional: whether an item may lack any of the keys.
    """
    pixdim, roi_size, hu_window = checked_pixdim(pixdim), checked_roi_size(roi_size), checked_hu_window(hu_window)
    keys = [IMAGE, *labels]
    skip: dict[str, Any] = {"allow_missing_keys": optional}
    return [
        LoadImaged(keys, reader=VolumeReader, image_only=True, **skip),
        CheckVolumed([IMAGE], **skip),
        EnsureChannelFirstd(keys, **skip),
        *(MapLabelSetd([key], label_set_key=f"{key}_label_set", **skip) for key in labels[1:]),
        *(MapLabelSetd([key], **skip) for key in labels[:1]),
        Orientationd(keys, axcodes="RAS", labels=None, **skip),
        # the crop about the centre would bring any two grids together, one organ onto another
        *([CheckSameGridd(keys, **skip)] if labels else []),
        *_body_part_steps(keys, body_part, **skip),
        SpacingOfKeysd(keys, pixdim, mode=["bilinear", *("nearest" for _ in labels)], dtype=np.float32, **skip),
        ScaleIntensityRanged([IMAGE], *hu_window, 0.0, 1.0, clip=True, **skip),
        ResizeWithPadOrCropd(keys, roi_size, **skip),
        EnsureTyped(keys, dtype=[np.float32, *(np.uint8 for _ in labels)], **skip),
    ]


def _body_part_steps(keys: Sequence[str], crop: BodyPartCrop | None, **skip: Any) -> list[Transform]:
    if crop is None:
        return []
    return [CropBodyPartd(keys, regressor=crop.regressor, scores=crop.scores, repair=crop.repair, **skip)]


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


def body_part_preprocessing(*, with_label: bool = False) -> Compose:
    """Bring a CT from disk to the axial slices that the body-part regressor sees.

    Args:
        with_label: also find landmarks in the item `label`.

    Returns:
        Compose from `{"image": path}` to `{"image": (N, 128, 128) uint8, "height": (N,) mm}`; with a label also
        `{"landmarks": mm by name, "organs": lowest and highest mm by name}`.

    Raises:
        ValueError: (when called) as `ct_preprocessing`.
    """
    labels = [LABEL] if with_label else []
    keys = [IMAGE, *labels]
    return Compose(
        [
            LoadImaged(keys, reader=VolumeReader, image_only=True),
            CheckVolumed([IMAGE]),
            EnsureChannelFirstd(keys),
            *(MapLabelSetd([key]) for key in labels),
            Orientationd(keys, axcodes="RAS", labels=None),
            *([CheckSameGridd(keys)] if labels else []),
            AxialSlicesd(IMAGE),
            *(LabelLandmarksd(key) for key in labels),
            SelectItemsd([IMAGE, "height", "landmarks", "organs", CASE_ID], allow_missing_keys=True),
        ]
    )


def body_part_augmentation(change: Transform, *, slices: int = 8, mirror_prob: float = 0.5) -> Compose:
    """Draw a few slices of what `body_part_preprocessing` returns, and change each in its own way.

    Args:
        change: a `RandEachSliced`.
        slices: how many.
        mirror_prob: probability that left and right are exchanged, in all of them.

    Returns:
        Compose to `{"image": (slices, 128, 128) float32 in [0, 1], "height": (slices,) mm, "mirrored": 0.0 or 1.0}`.
    """
    return Compose(
        [
            RandSlicesd(IMAGE, count=slices),
            RandMirrord(IMAGE, prob=mirror_prob),
            change,
            SelectItemsd([IMAGE, "height", "mirrored"]),
        ]
    )


def training_transforms(*transforms: Callable | None) -> Compose:
    """Join transforms, flat, so that `CacheDataset` finds the first random one and caches all before it.

    Args:
        *transforms: the preprocessing, then what is random; None: nothing.
    """
    return Compose([one for one in transforms if one is not None]).flatten()


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


@exit_on_user_error
def qa_preprocessing(
    *,
    pixdim: Sequence[float] = (2.0, 2.0, 6.0),
    roi_size: Sequence[int] = (168, 168, 64),
    hu_window: tuple[float, float] = (-175.0, 275.0),
    body_part: BodyPartCrop | None = None,
    size: Sequence[int] = DISCRIMINATOR_SIZE,
    cache_dir: str | Path | None = None,
) -> Compose:
    """Bring what a montage is made of from disk to the grid: a CT and its segmentation, or a montage that is a picture.

    The steps are those of `ct_preprocessing`; the segmentation, numbered as the item's `label_set` says, lies on the
    grid of its CT. An item with a picture gets it at the discriminator's size.

    Args:
        pixdim: voxel size in mm along right-left, posterior-anterior, inferior-superior.
        roi_size: voxels along the same axes.
        hu_window: the HU that become 0 and 1.
        body_part: the slices that are kept; None: all.
        size: rows and columns of the discriminator's montage.
        cache_dir: where results are kept, see `CachedOnDisk`; None: nowhere.

    Returns:
        Compose from `{"image": path, "segmentation": path, "truth": path or absent}` to
        `{"image": (1, X, Y, Z) float32, "segmentation": (1, X, Y, Z) uint8, "truth": as that}`, or from
        `{"montage": path}` to `{"montage": (3, rows, columns) float32}`.

    Raises:
        SystemExit: as `ct_preprocessing`.
        ValueError: (when called) as `ct_preprocessing`; or the picture cannot be read.
    """
    grid = _grid_steps([SEGMENTATION, TRUTH], pixdim, roi_size, hu_window, body_part, optional=True)
    steps = [*grid, LoadMontaged([MONTAGE], size=size, allow_missing_keys=True)]
    numbers = {"pixdim": pixdim, "roi_size": roi_size, "hu_window": hu_window, "body_part": body_part, "size": size}
    return _kept_on_disk(steps, cache_dir, [IMAGE, SEGMENTATION, TRUTH, MONTAGE], numbers)


@exit_on_user_error
def qa_montage(
    *, size: Sequence[int] = DISCRIMINATOR_SIZE, png_dir: str | Path | None = None, view: View = AXIAL
) -> Compose:
    """Make the discriminator's montage of what `qa_preprocessing` returns, and keep nothing else of an item's volumes.

    Args:
        size: rows and columns.
        png_dir: where to write the montage at full size, `<case_id>.png`, for people, so always of axial slices; None
            writes nothing.
        view: plane of the slices that the discriminator sees.

    Returns:
        Compose to `{"montage": (3, rows, columns) float32, "case_id": ..., "code": ... if there is one}`.
    """
    save = [] if png_dir is None else [SaveMontaged(png_dir)]
    keep = [MONTAGE, CODE, CASE_ID]
    make = Montaged(size=size, view=view, allow_missing_keys=True)
    return Compose([*save, make, SelectItemsd(keep, allow_missing_keys=True)])


@exit_on_user_error
def qa_corruption(
    cases: Sequence[Mapping[str, Any]],
    preprocessing: Compose,
    *,
    prob: float,
    modes: Mapping[str, float],
    donors: int = 16,
) -> RandCorruptSegmentationd | None:
    """Make the transform that spoils segmentations, with some of the cases as donors for `other_case`.

    Args:
        cases: of the training, see `custom_components.data.qa_datalist.qa_cases`.
        preprocessing: `qa_preprocessing`, which brings the donors to the grid.
        prob: share of the segmentations that are spoilt.
        modes: weight of each failure, see `RandCorruptSegmentationd`.
        donors: how many of the cases lend their segmentation to others; one that cannot be loaded does not.

    Returns:
        The transform, or None where nothing is to be spoilt or there are only montages.

    Raises:
        SystemExit: the modes are wrong; one line, and exit code 1.
    """
    volumes = {case[CASE_ID]: case for case in cases if SEGMENTATION in case}
    if not volumes or not prob:
        return None
    count = donors if modes.get("other_case") else 0
    chosen = list(volumes.values())[:: max(1, len(volumes) // max(1, count))][:count]
    lent = []
    for case in chosen:
        with contextlib.suppress(Exception):  # the dataset sets the case aside and says why
            lent.append(preprocessing(dict(case))[SEGMENTATION].as_tensor().numpy())
    if len(lent) < 2:
        if count:
            logger.warning(
                "%d training cases have a segmentation, expected 2 for the failure other_case: left out", len(lent)
            )
        modes = {name: weight for name, weight in modes.items() if name != "other_case"}
    return RandCorruptSegmentationd(prob=prob, modes=modes, donors=lent)


@exit_on_user_error
def qa_augmentation(
    *,
    size: Sequence[int] = DISCRIMINATOR_SIZE,
    view: View = AXIAL,
    prob: float = 0.5,
    corruption: RandCorruptSegmentationd | None = None,
    curve_points: tuple[int, int] = (6, 10),
    gamma: tuple[float, float] = (0.7, 1.4),
    shift_voxels: Sequence[int] = (3, 3, 1),
    alpha: tuple[float, float] = (0.3, 0.5),
    shift_pixels: int = 4,
    brightness: float = 0.1,
    blur: tuple[float, float] = (0.2, 0.8),
    noise_std: float = 0.03,
) -> Compose:
    """Random changes of what `qa_preprocessing` returns that keep the QA code true, and the montage of it.

    Volumes are spoilt first, if asked; then the CT's contrast changes, both are shifted together and laid over each
    other. What comes after that is done to the montage, as it is with montages that came as pictures. Nothing exchanges
    left and right.

    Args:
        size: rows and columns of the discriminator's montage.
        view: plane of its slices.
        prob: probability of each single change.
        corruption: see `qa_corruption`; its share is its own.
        curve_points: range of the number of control points of the monotone intensity curve; fewer bend more.
        gamma: range of the exponent.
        shift_voxels: largest shift of a volume along each axis.
        alpha: range of the overlay's share of colour.
        shift_pixels: largest shift of the montage along each axis, in its pixels.
        brightness: largest relative change.
        blur: range of the standard deviation, in pixels.
        noise_std: upper limit of the noise's standard deviation.

    Returns:
        Compose to `{"montage": (3, rows, columns) float32 in [0, 1], "code": ..., "case_id": ...}`.
    """
    volumes, image, montage = [IMAGE, SEGMENTATION], [IMAGE], [MONTAGE]
    skip: dict[str, Any] = {"allow_missing_keys": True}
    return Compose(
        [
            *([] if corruption is None else [corruption]),
            RandHistogramShiftd(image, num_control_points=curve_points, prob=prob, **skip),
            RandAdjustContrastd(image, prob=prob, gamma=gamma, **skip),
            RandShiftd(volumes, max_shift=shift_voxels, prob=prob, **skip),
            RandMontaged(size=size, view=view, alpha_range=alpha, prob=prob, allow_missing_keys=True),
            RandShiftd(montage, max_shift=(shift_pixels, shift_pixels), prob=prob, **skip),
            RandScaleIntensityd(montage, factors=brightness, prob=prob, **skip),
            RandGaussianSmoothd(montage, blur, blur, prob=prob, **skip),
            RandGaussianNoised(montage, prob=prob, std=noise_std, **skip),
            ScaleIntensityRanged(montage, 0.0, 1.0, 0.0, 1.0, clip=True, **skip),
            SelectItemsd([MONTAGE, CODE, CASE_ID], allow_missing_keys=True),
            EnsureTyped(montage, dtype=np.float32, track_meta=False),
        ]
    )
