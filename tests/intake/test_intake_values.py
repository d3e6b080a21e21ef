"""Whether values are Hounsfield units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from intake_files import scan

from custom_components.data.phantom import make_phantom
from custom_components.data.readers import read_volume
from custom_components.intake.values import notes_on, sample_of, values_of, why_no_hu

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real_ct"


def judged(voxels: np.ndarray) -> tuple[tuple[str, str], list[str]]:
    sample = sample_of(voxels)
    return why_no_hu(sample, voxels), notes_on(sample, values_of(sample))


def round_view(voxels: np.ndarray, padding: float) -> np.ndarray:
    x, y = (np.linspace(-1, 1, n) for n in voxels.shape[:2])
    return np.where((x[:, None] ** 2 + y**2 > 1)[..., None], padding, voxels)


@pytest.mark.parametrize("padding", [-1024, -2000, -3024, -32768])
def test_padding_outside_a_round_field_of_view_does_not_matter(padding: int):
    voxels = round_view(scan(0), padding)
    assert judged(voxels) == (("", ""), [])
    assert values_of(sample_of(voxels)).low > -1100


@pytest.mark.parametrize("seed", range(4))
def test_phantoms_are_in_hu(seed: int):
    assert judged(make_phantom(seed, 1.0, grid="small").image)[0] == ("", "")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real CT is not there")
def test_a_real_ct_is_in_hu_and_its_labels_are_none():
    image, label = (read_volume(REAL / f"trunk_{name}.nii.gz")[0].numpy() for name in ("ct", "labels"))
    assert judged(image) == (("", ""), [])
    values = values_of(sample_of(image))
    assert (values.air, values.fat, values.soft_tissue) == (-997.5, -102.5, 27.5)
    assert judged(label)[0] == ("label map", "values 0 to 12")
    assert judged(image + 1024)[0][1].endswith("look like HU + 1024")


@pytest.mark.parametrize("padding", [None, 0, -976, -2000])
def test_hu_with_1024_added_is_recognised_with_and_without_padding(padding: int | None):
    voxels = scan(1).astype(float) + 1024
    kind, reason = judged(voxels if padding is None else round_view(voxels, padding))[0]
    assert kind == "no HU"
    assert reason.endswith("look like HU + 1024")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda hu: np.abs(hu + 400), "values 0 to 1000: neither air nor fat below -30 HU, as in MR or PET"),
        (lambda hu: (hu - hu.mean()) / hu.std(), "values -1.2 to 2.4: normalised"),
        (lambda hu: hu / 10, "values -100 to 60: no peak of air near -1000 HU, nor of soft tissue near 50 HU"),
        (lambda hu: hu / 1000, "values -1 to 0.6: normalised, or probabilities"),
        (lambda hu: hu * 3, "values -1100 to 1600: no peak of air near -1000 HU, nor of soft tissue near 50 HU"),
    ],
)
def test_what_is_no_hu_is_told_by_its_values(change, reason: str):
    kind, found = judged(change(scan(2).astype(np.float32)))[0]
    assert kind == "no HU"
    assert found.partition(": ")[2] == reason.partition(": ")[2]


def test_windowed_and_tightly_cropped_hu_can_be_used_with_a_note():
    assert judged(scan(3).clip(-175, 275)) == (("", ""), ["windowed: values -175 to 275 HU"])
    kind, notes = judged(scan(3)[6:34, 8:28, 5:].clip(-200))
    assert kind == ("", "")
    assert notes[0].startswith("no air: values -")


def test_a_grey_image_of_8_bits_is_no_label_map_and_a_large_label_map_is_one():
    labels = np.kron(np.arange(200).reshape(5, 10, 4), np.ones((6, 6, 6))).astype(np.uint8)
    assert judged(labels)[0] == ("label map", "values 0 to 199")
    grey = np.random.default_rng(0).integers(0, 256, (30, 30, 12))
    assert judged(grey)[0] == ("no HU", "values 0 to 255: windowed to 8 bits")
