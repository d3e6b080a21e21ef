from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom_components.body_part.slices import axial_slices


@pytest.mark.parametrize("pixel", [0.7, 1.0, 1.37, 3.0, 4.0, 6.0])
def test_a_body_has_its_size_whatever_the_pixels(pixel: float):
    """A disc of 240 mm, off the middle by 40 mm to the right, in a field of view of 400 mm."""
    size = round(400 / pixel)
    x, y = ((torch.arange(size) + 0.5) * pixel - 200 for _ in range(2))
    disc = torch.where((x[:, None] - 40) ** 2 + y**2 < 120**2, 0.0, -1000.0)
    volume = MetaTensor(disc[None, :, :, None].repeat(1, 1, 1, 3), affine=np.diag([pixel, pixel, 5.0, 1.0]))
    (one, *_), height = axial_slices(volume)
    assert height.tolist() == [0, 5, 10]
    assert float(one.sum() / 0.5 * 4**2) == pytest.approx(np.pi * 120**2, rel=0.03)
    x_mm = (torch.arange(128) + 0.5 - 64) * 4
    assert float((one.sum(1) * x_mm).sum() / one.sum()) == pytest.approx(40, abs=3)


def test_thin_slices_are_left_out_down_to_four_mm():
    volume = MetaTensor(torch.zeros(1, 20, 20, 31), affine=np.diag([4.0, 4.0, 1.25, 1.0]))
    assert axial_slices(volume).height.tolist() == [3.75 * k for k in range(11)]
    assert len(axial_slices(volume, step=0).images) == 31


def test_the_window_clips_and_outside_is_air():
    volume = MetaTensor(torch.full((1, 64, 64, 2), 3000.0), affine=np.diag([4.0, 4.0, 4.0, 1.0]))
    image = axial_slices(volume).images[0]
    assert image[32:96, 32:96].eq(1).all()
    assert image[:32].eq(0).all()
    assert image[:, 96:].eq(0).all()
