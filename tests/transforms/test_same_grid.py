import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom_components.transforms.same_grid import CheckSameGridd, check_same_grid

SHAPE = (200, 200, 100)
AFFINE = np.diag([-0.8, -0.8, 3.0, 1.0])
AFFINE[:3, 3] = 180.0, 150.0, -900.0


def check(affine: np.ndarray, shape: tuple[int, ...] = SHAPE) -> None:
    check_same_grid("label", shape, affine, "image", SHAPE, AFFINE)


def moved(x: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] += x
    return affine


def turned(degrees: float) -> np.ndarray:
    """Turned about the grid's first voxel, in the axial plane."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = AFFINE.copy()
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ AFFINE[:3, :3]
    return affine


def test_rounding_in_a_header_makes_no_other_grid():
    check(AFFINE)
    check(AFFINE.astype(np.float32))
    check(np.round(AFFINE, 3))
    check(moved(0.079))


@pytest.mark.parametrize(
    ("affine", "distance"),
    [
        (moved(0.081), "0.08"),
        (moved(3.0), "3.00"),
        # every entry of the matrix is right within 0.01, and the far corner lies 2 mm off
        (turned(0.5), "1.96"),
        (AFFINE @ np.diag([1, 1, 1.01, 1]), "2.97"),
    ],
)
def test_a_corner_that_lies_elsewhere_is_another_grid(affine, distance):
    with pytest.raises(ValueError, match=rf"^label lies up to {distance} mm off .* image, expected at most 0\.08 mm$"):
        check(affine)


def test_other_sizes_and_affines_of_nan_are_another_grid():
    with pytest.raises(ValueError, match="label has 200 x 200 x 99 voxels, expected 200 x 200 x 100 as image"):
        check(AFFINE, (200, 200, 99))
    with pytest.raises(ValueError, match="nan mm off"):
        check(moved(np.nan))


def test_transform_names_the_case_and_passes_what_fits():
    image, label = (MetaTensor(torch.zeros(1, 4, 5, 6), affine=torch.as_tensor(AFFINE)) for _ in range(2))
    check_items = CheckSameGridd(["image", "label"])
    item = check_items({"case_id": "a7", "image": image, "label": label})
    assert item["label"] is label
    label.affine = torch.as_tensor(moved(3.0))
    with pytest.raises(ValueError, match="^case a7: label lies up to 3.00 mm off the grid of image"):
        check_items({"case_id": "a7", "image": image, "label": label})


def test_a_missing_key_is_passed_over_where_allowed():
    image = MetaTensor(torch.zeros(1, 4, 5, 6))
    assert CheckSameGridd(["image", "label"], allow_missing_keys=True)({"image": image})["image"] is image
    assert CheckSameGridd(["image", "label"], allow_missing_keys=True)({}) == {}
