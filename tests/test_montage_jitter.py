"""Random changes of montages on the way of a gradient."""

import inspect

import pytest
import torch

from custom_components.montage_jitter import (
    ALPHA_RANGE,
    BRIGHTNESS,
    MOST,
    NOISE_STD,
    SHIFT,
    jittered,
    jittered_alpha,
)
from custom_components.preprocessing import qa_augmentation


def test_numbers_are_those_of_the_discriminators_augmentation():
    defaults = {name: one.default for name, one in inspect.signature(qa_augmentation).parameters.items()}
    assert (defaults["shift_pixels"], defaults["brightness"], defaults["noise_std"]) == (SHIFT, BRIGHTNESS, NOISE_STD)
    assert defaults["alpha"] == ALPHA_RANGE


@pytest.mark.parametrize(("strength", "low", "high"), [(0.5, 0.35, 0.45), (1.0, 0.3, 0.5), (MOST, 0.0, 0.8)])
def test_share_of_the_colour_stays_in_its_range(strength: float, low: float, high: float):
    torch.manual_seed(0)
    found = [jittered_alpha(strength) for _ in range(300)]
    assert low <= min(found) < low + 0.05 * strength
    assert high >= max(found) > high - 0.05 * strength


def test_jitter_moves_a_marked_pixel_by_at_most_four_and_lets_black_in():
    places = set()
    for seed in range(40):
        torch.manual_seed(seed)
        picture = torch.zeros(1, 3, 15, 15)
        picture[..., 7, 7] = 1.0
        moved = jittered(picture, 1.0)
        assert moved.shape == picture.shape
        assert float(moved.min()) >= 0
        assert float(moved.max()) <= 1
        row, column = divmod(int(moved[0, 0].argmax()), 15)
        places.add((row - 7, column - 7))
    assert max(abs(shift) for place in places for shift in place) == 4
    assert {row > 0 for row, _ in places} == {column > 0 for _, column in places} == {True, False}


def test_strong_jitter_of_a_small_picture_is_still_a_picture():
    torch.manual_seed(0)
    for _ in range(50):
        found = jittered(torch.rand(1, 3, 5, 6), MOST)
        assert found.shape == (1, 3, 5, 6)
        assert bool(found.isfinite().all())
