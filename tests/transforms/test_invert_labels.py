from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    Flipd,
    Invertd,
    Orientationd,
    ResizeWithPadOrCropd,
    Spacingd,
    SpatialCropd,
    SpatialPadd,
)
from scipy.spatial.transform import Rotation

from custom_components.transforms.invert_labels import InvertLabelsd

AXCODES = ["".join(p) for triple in ("RAS", "LPS", "LAS", "RPI", "LPI") for p in permutations(triple)]
CHANNELS = 5


def preprocessing(pixdim: tuple[float, ...], roi_size: tuple[int, ...]) -> Compose:
    return Compose(
        [
            Orientationd("image", axcodes="RAS", labels=None),
            Spacingd("image", pixdim, mode="bilinear", dtype=np.float32),
            ResizeWithPadOrCropd("image", roi_size),
        ]
    )


def affine_of(axcodes: str, spacing: tuple[float, ...], degrees: float = 0, shear: float = 0) -> torch.Tensor:
    matrix = np.zeros((3, 3))
    for column, code in enumerate(axcodes):
        row = next(i for i, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        matrix[row, column] = spacing[column] * (1 if code in "RAS" else -1)
    matrix[:, 1] += shear * matrix[:, 2]
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", [degrees, -degrees, 2 * degrees], degrees=True).as_matrix() @ matrix
    affine[:3, 3] = [12.3, -40.1, 7.7]
    # As a NIfTI header stores it.
    return torch.as_tensor(affine.astype(np.float32), dtype=torch.float64)


def probabilities(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Blobs with soft edges, so that there are cells of one label and of several."""
    generator = torch.Generator().manual_seed(seed)
    low = 4 * torch.randn(1, CHANNELS, *(max(2, n // 4) for n in shape), generator=generator)
    return torch.nn.functional.interpolate(low, size=shape, mode="trilinear")[0].softmax(0)


def both_ways(
    affine: torch.Tensor, shape: tuple[int, ...], pixdim: tuple[float, ...], roi_size: tuple[int, ...], seed: int = 0
) -> tuple[MetaTensor, MetaTensor]:
    transform = preprocessing(pixdim, roi_size)
    data = transform({"image": MetaTensor(torch.rand(1, *shape), affine=affine)})
    prob = probabilities(roi_size, seed)
    plain = Invertd("pred", transform, orig_keys="image", nearest_interp=False)
    full = plain({**data, "pred": MetaTensor(prob.clone())})["pred"]
    labels = InvertLabelsd("pred", "image")({**data, "pred": prob})["pred"]
    assert labels.dtype == torch.uint8
    assert labels.shape == (1, *shape)
    torch.testing.assert_close(labels.affine, affine)
    return full, labels


def assert_equal(full: MetaTensor, labels: MetaTensor) -> None:
    # Outside of the network's grid the plain way has zeros in all channels or, where rounding lets in a
    # millionth of a neighbour, that neighbour's label.
    inside = full.as_tensor().sum(0) > 1e-3
    plain, ours = full.as_tensor().argmax(0), labels.as_tensor()[0]
    assert inside.any()
    assert (plain == ours)[inside].float().mean() > 0.999


sizes = st.tuples(*[st.integers(6, 30)] * 3)


@settings(max_examples=60, deadline=None)
@given(
    axcodes=st.sampled_from(AXCODES),
    spacing=st.tuples(*[st.floats(0.5, 4)] * 3),
    pixdim=st.tuples(*[st.floats(1, 5)] * 3),
    degrees=st.sampled_from([0.0, 0.0, 3.0, 15.0]),
    shape=sizes,
    roi_size=sizes,
    seed=st.integers(0, 5),
)
def test_labels_equal_those_of_the_plain_way(
    axcodes: str,
    spacing: tuple[float, ...],
    pixdim: tuple[float, ...],
    degrees: float,
    shape: tuple[int, ...],
    roi_size: tuple[int, ...],
    seed: int,
) -> None:
    assert_equal(*both_ways(affine_of(axcodes, spacing, degrees), shape, pixdim, roi_size, seed))


@settings(max_examples=30, deadline=None)
@given(
    axcodes=st.sampled_from(AXCODES),
    degrees=st.sampled_from([0.0, 0.0, 3.0]),
    begin=st.integers(0, 9),
    end=st.integers(12, 24),
    padded=st.integers(0, 30),
    roi_size=sizes,
)
def test_a_crop_or_pad_before_resampling_is_undone_too(
    axcodes: str, degrees: float, begin: int, end: int, padded: int, roi_size: tuple[int, ...]
) -> None:
    shape = (24, 24, 24)
    steps = [
        Orientationd("image", axcodes="RAS", labels=None),
        SpatialCropd("image", roi_start=(0, 0, begin), roi_end=(24, 24, end)),
        SpatialPadd("image", (24, 24, padded)),
        Spacingd("image", (2.0, 2.0, 3.0), mode="bilinear", dtype=np.float32),
        ResizeWithPadOrCropd("image", roi_size),
    ]
    transform = Compose(steps)
    affine = affine_of(axcodes, (1.3, 1.1, 1.7), degrees)
    data = transform({"image": MetaTensor(torch.rand(1, *shape), affine=affine)})
    prob = probabilities(roi_size, 3)
    full = Invertd("pred", transform, orig_keys="image", nearest_interp=False)({**data, "pred": MetaTensor(prob)})[
        "pred"
    ]
    labels = InvertLabelsd("pred", "image")({**data, "pred": prob})["pred"]
    assert labels.shape == (1, *shape)
    torch.testing.assert_close(labels.affine, affine)
    assert_equal(full, labels)
    cropped = Orientationd("image", axcodes="RAS", labels=None)({"image": labels})["image"].as_tensor()[0]
    assert not cropped[..., :begin].any()
    assert not cropped[..., end:].any()


@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "SAR"])
@pytest.mark.parametrize("roi_size", [(16, 12, 14), (40, 40, 40)])
def test_sheared_axes_are_inverted_too(axcodes: str, roi_size: tuple[int, ...]) -> None:
    affine = affine_of(axcodes, (0.9, 0.8, 1.3), degrees=4, shear=0.2)
    assert_equal(*both_ways(affine, (30, 34, 26), (2.0, 2.0, 3.0), roi_size))


def test_same_grid_gives_the_argmax_itself() -> None:
    prob = probabilities((8, 9, 10), seed=1)
    image = MetaTensor(torch.zeros(1, 8, 9, 10), affine=torch.eye(4))
    labels = InvertLabelsd("pred", "image")({"image": image, "pred": prob})["pred"]
    assert torch.equal(labels.as_tensor()[0].long(), prob.argmax(0))


def test_what_the_network_did_not_see_is_background() -> None:
    transform = preprocessing((1.0, 1.0, 1.0), (6, 6, 6))
    data = transform({"image": MetaTensor(torch.rand(1, 20, 20, 20), affine=torch.eye(4))})
    prob = torch.zeros(CHANNELS, 6, 6, 6)
    prob[3] = 1
    labels = InvertLabelsd("pred", "image")({**data, "pred": prob})["pred"].as_tensor()[0]
    assert labels[7:13, 7:13, 7:13].eq(3).all()
    assert int(labels.ne(0).sum()) == 6**3


def test_meta_data_of_the_image_come_along() -> None:
    image = MetaTensor(torch.rand(1, 20, 20, 20), affine=torch.eye(4), meta={"case_id": "a"})
    data = preprocessing((2.0, 2.0, 2.0), (8, 8, 8))({"image": image})
    labels = InvertLabelsd("pred", "image")({**data, "pred": probabilities((8, 8, 8), 0)})["pred"]
    assert labels.meta["case_id"] == "a"
    assert labels.applied_operations == []
    assert data["image"].applied_operations


def test_wrong_input_is_an_error_that_names_it() -> None:
    image = MetaTensor(torch.rand(1, 8, 8, 8), affine=torch.eye(4))
    prob = probabilities((8, 8, 8), 0)
    invert = InvertLabelsd("pred", "image")
    with pytest.raises(ValueError, match=r"shape \(5, 8, 8, 7\), expected channels .* and the image's \(8, 8, 8\)"):
        invert({"image": image, "pred": prob[..., :7]})
    prob[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="holds 1 NaN or infinite values"):
        invert({"image": image, "pred": prob})
    flipped = Flipd("image", 0)({"image": image})
    with pytest.raises(ValueError, match="cannot undo Flip on labels, expected orientation"):
        invert({**flipped, "pred": probabilities((8, 8, 8), 0)})
