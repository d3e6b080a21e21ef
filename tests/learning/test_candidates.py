"""Views of a CT, and the way back."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from custom_components.learning.candidates import OtherNetwork
from custom_components.learning.geometric_views import Scale, Shift
from custom_components.learning.intensity_views import (
    Contrast,
    Gamma,
    HistogramMatch,
    IntensityCurve,
    Smooth,
    labelled_histogram,
)
from custom_components.preprocessing import ct_preprocessing

torch.manual_seed(0)
IMAGE = torch.rand(1, 1, 12, 10, 8)


def two_classes(image: Tensor) -> Tensor:
    """Logits that call bright voxels an organ."""
    return torch.cat([torch.full_like(image, 0.5), image], 1)


def seen(source) -> Tensor:
    """The view that the network gets."""
    views = []
    source(IMAGE, lambda view: views.append(view) or two_classes(view))
    return views[0]


def test_intensity_views_are_what_their_names_say():
    assert torch.allclose(seen(Gamma(0.5)), IMAGE.sqrt())
    assert torch.allclose(seen(Contrast(2.0, 0.4)), ((IMAGE - 0.4) * 2 + 0.4).clamp(0, 1))
    greys, becomes = [0, 0.3, 1], [0.1, 0.2, 0.9]
    expected = np.interp(IMAGE.numpy(), greys, becomes)
    np.testing.assert_allclose(seen(IntensityCurve(greys, becomes)).numpy(), expected, atol=1e-6)
    assert seen(Smooth(0.1)).std() < 0.7 * IMAGE.std()
    assert Gamma(0.7).name == "gamma_0.7"
    assert Shift([0, 0, 0.1]).name == "shift_0_0_0.1"


def test_histogram_match_gives_the_greys_of_the_labelled_set():
    rng = torch.Generator().manual_seed(1)
    labelled = [{"image": 0.3 + 0.4 * torch.rand(1, 12, 12, 12, generator=rng)} for _ in range(3)]
    view = seen(HistogramMatch(labelled, count=2))
    body = IMAGE > 0.02
    assert view[body].mean() == pytest.approx(0.5, abs=0.02)
    assert view[body].min() == pytest.approx(0.3, abs=0.01)
    assert view[body].max() == pytest.approx(0.7, abs=0.01)
    assert torch.equal(view[~body], IMAGE[~body])
    # the order of greys stays
    order = IMAGE[body].argsort()
    assert (view[body][order].diff() >= -1e-6).all()


def test_histogram_of_a_datalist_is_that_of_its_images(tmp_path: Path):
    cases = []
    for number in range(3):
        voxels = np.random.default_rng(number).uniform(-100, 200, (12, 12, 8)).astype(np.float32)
        nib.save(nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 6.0, 1.0])), tmp_path / f"{number}.nii.gz")
        cases.append({"image": f"{number}.nii.gz", "label": f"{number}.nii.gz"})
    (tmp_path / "dataset.json").write_text(json.dumps({"training": cases}))
    preprocessing = ct_preprocessing(roi_size=(12, 12, 8))
    found = labelled_histogram(tmp_path / "dataset.json", preprocessing)
    images = [preprocessing({"image": str(tmp_path / case["image"])})["image"] for case in cases]
    assert torch.equal(found.reference, HistogramMatch(images).reference)
    with pytest.raises(SystemExit, match="error: .*section 'validation' not found, found training"):
        labelled_histogram(tmp_path / "dataset.json", preprocessing, section="validation")


def test_histogram_match_bears_a_flat_image():
    match = HistogramMatch([torch.rand(1, 4, 4, 4)])
    assert match(torch.full((1, 1, 4, 4, 4), 0.5), two_classes).isfinite().all()
    assert match(torch.zeros(1, 1, 4, 4, 4), two_classes).isfinite().all()


@pytest.mark.parametrize("fraction", [(0.25, 0, 0), (0, -0.2, 0), (0, 0, 0.5), (0.1, 0.3, -0.25)])
def test_shift_comes_back_where_it_was(fraction):
    logits = Shift(fraction)(IMAGE, two_classes)
    steps = [round(one * size) for one, size in zip(fraction, IMAGE.shape[2:], strict=True)]
    stayed = torch.ones(IMAGE.shape[2:], dtype=torch.bool)
    for axis, step in enumerate(steps):
        place = torch.arange(IMAGE.shape[2 + axis])
        shape = [-1 if a == axis else 1 for a in range(3)]
        stayed &= ((place + step >= 0) & (place + step < len(place))).reshape(shape)
    assert torch.equal(logits[0, 1][stayed], IMAGE[0, 0][stayed])
    assert (logits.argmax(1)[0][~stayed] == 0).all()


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_scale_comes_back_where_it_was(factor):
    image = torch.zeros(1, 1, 24, 24, 16)
    image[:, :, 6:13, 9:16, 4:10] = 1
    labels = Scale(factor)(image, two_classes).argmax(1)
    truth = image[:, 0] > 0.5
    overlap = 2 * (labels.bool() & truth).sum() / (labels.sum() + truth.sum())
    assert overlap > 0.8
    centre = labels[0].nonzero().float().mean(0)
    assert torch.allclose(centre, truth[0].nonzero().float().mean(0), atol=0.3)


def test_scale_finds_nothing_beyond_the_field_of_view():
    everything = Scale(1.5)(torch.ones(1, 1, 12, 12, 12), two_classes).argmax(1)[0]
    assert everything[6, 6, 6] == 1
    assert (everything[0] == 0).all()


def test_other_network_sees_the_view_it_is_given(tmp_path: Path):
    other, same = nn.Conv3d(1, 2, 1), nn.Conv3d(1, 2, 1)
    torch.save(other.state_dict(), tmp_path / "model.pt")
    before = same.weight.clone()
    source = OtherNetwork(same, tmp_path / "model.pt", lambda view, network: network(view), Gamma(2.0))
    found = source(IMAGE, lambda view: pytest.fail("the first network is not asked"))
    assert torch.equal(found, other(IMAGE**2))
    assert source.name.endswith("model+gamma_2")
    assert torch.equal(same.weight, before)  # a configuration gives the network that segments
    assert not found.requires_grad


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Gamma(0), "gamma is 0, expected a number of at least 0.01"),
        (lambda: Contrast(1, 2), "centre is 2, expected a number from 0 to 1"),
        (lambda: IntensityCurve([0, 0.5], [0, 1]), r"greys is \[0, 0.5\], expected numbers that rise from 0 to 1"),
        (lambda: IntensityCurve([0, 1], [1, 0]), r"becomes is \[1, 0\], expected 2 numbers from 0 to 1, none falling"),
        (lambda: Shift([0.1]), r"fraction is \[0.1\], expected 3 numbers"),
        (lambda: Scale(3), "factor is 3, expected a number from 0.5 to 2"),
        (lambda: HistogramMatch([]), "images is empty, expected at least one volume"),
    ],
)
def test_impossible_views_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
