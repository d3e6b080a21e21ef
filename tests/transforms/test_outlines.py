"""Outlines that move to where the grey ends."""

import numpy as np
import pytest

from custom_components.anatomy import INDEX
from custom_components.transforms.outlines import refine_outlines

LIVER, SPLEEN = INDEX["liver"], INDEX["spleen"]


def block(*ranges: tuple[int, int], shape: tuple[int, int, int] = (20, 20, 16)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*one) for one in ranges)] = True
    return mask


def case(inside: float, outside: float, noise: float = 0.02):
    """A liver that ends a voxel before its label does on one side, and begins a voxel before it on another."""
    truth, label = block((4, 14), (4, 14), (4, 12)), block((4, 15), (5, 14), (4, 12))
    rng = np.random.default_rng(0)
    image = np.where(truth, inside, outside) + rng.normal(scale=noise, size=truth.shape)
    return image.clip(0, 1), (label * LIVER).astype(np.uint8), (truth * LIVER).astype(np.uint8)


@pytest.mark.parametrize(("inside", "outside"), [(0.7, 0.2), (0.3, 0.8), (0.5, 0.65)])
def test_an_outline_moves_to_the_edge_whichever_side_is_brighter(inside: float, outside: float):
    image, label, truth = case(inside, outside)
    assert np.array_equal(refine_outlines(image, label, spacing=(5, 5, 12)), truth)


def test_without_an_edge_it_stays():
    image, label, _ = case(0.5, 0.45, noise=0.0)
    assert np.array_equal(refine_outlines(image, label, spacing=(5, 5, 12)), label)


def test_it_reaches_no_further_than_asked():
    image, label, truth = case(0.7, 0.2)
    label[:, 13] = 0  # two voxels are missing on this side now, with the one that was
    label[:, 12] = 0
    near = refine_outlines(image, label, spacing=(2, 2, 2), reach_mm=2, fragment_ml=0)
    far = refine_outlines(image, label, spacing=(2, 2, 2), reach_mm=4, fragment_ml=0)
    missing = [int(((one == 0) & (truth > 0)).sum()) for one in (near, far)]
    assert missing[0] > missing[1] == 0


def test_other_organs_keep_their_voxels_and_small_ones_their_outline():
    image, label, _ = case(0.7, 0.2)
    label[3, 4:14, 4:12] = SPLEEN
    label[18, 18, 2:6] = INDEX["left_kidney"]
    refined = refine_outlines(image, label, spacing=(5, 5, 12), organs=["liver", "left_kidney"])
    for name in ("spleen", "left_kidney"):
        assert np.array_equal(refined == INDEX[name], label == INDEX[name])


def test_a_fragment_only_shrinks():
    image, label, truth = case(0.7, 0.2)
    volume_ml = np.count_nonzero(label) * 5 * 5 * 12 / 1000
    refined = refine_outlines(image, label, spacing=(5, 5, 12), fragment_ml=volume_ml + 1)
    assert np.array_equal(refined, np.minimum(label, truth))
    assert not np.array_equal(refined, truth)
    whole = refine_outlines(image, label, spacing=(5, 5, 12), fragment_ml=volume_ml - 1)
    assert np.array_equal(whole, truth)


def test_an_organ_that_fills_the_image_or_touches_its_border_is_no_error():
    full = np.full((8, 8, 8), LIVER, np.uint8)
    assert np.array_equal(refine_outlines(np.full((8, 8, 8), 0.5), full, spacing=(5, 5, 12)), full)
    image, label, truth = (one[4:, :, 4:] for one in case(0.7, 0.2))
    assert np.array_equal(refine_outlines(image, label, spacing=(5, 5, 12)), truth)


def test_the_input_stays():
    image, label, _ = case(0.7, 0.2)
    before = label.copy()
    refine_outlines(image, label, spacing=(5, 5, 12))
    assert np.array_equal(label, before)
