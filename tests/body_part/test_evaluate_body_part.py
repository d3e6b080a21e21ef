from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from body_part_volumes import SLOPE, regressor, trunk
from monai.data import MetaTensor
from PIL import Image

from custom_components.body_part.evaluate import evaluate_case
from custom_components.body_part.plot import draw_body_part

RANGE = (-6.0, 6.0)


def test_what_is_measured_of_a_case():
    found = regressor()(trunk(-300, 350))  # with a score of 0 at 300 mm above the first slice
    case = {
        "landmarks": {"middle of the kidneys": 316.0, "top of the liver": 300 + 4 * 32.0, "top of the spleen": 420.0},
        "organs": {"liver": (250, 430), "spleen": (420, 493), "left_kidney": (107, 200), "aorta": (0, 600)},
    }
    row = evaluate_case(found, case, SLOPE, RANGE, 384.0)
    assert row["middle of the kidneys"] == pytest.approx(-0.5, abs=0.02)
    assert row["top of the liver"] == pytest.approx(-4, abs=0.02)
    assert row["top of the spleen"] == pytest.approx(-3.75, abs=0.02)
    assert row["error_mm"] == pytest.approx((16 + 0) / 2, abs=1)
    assert (row["organs"], row["kept"]) == (3, 1)  # one is cut at the top, one at the bottom; the aorta is not judged
    small = evaluate_case(found, {"organs": {"liver": (180, 430), "spleen": (210, 390)}}, SLOPE, RANGE, 192.0)
    assert (small["organs"], small["kept"]) == (2, 1)  # the grid holds no more than 204 to 396 mm
    assert (row["slope"], row["rising"]) == (pytest.approx(1, abs=0.01), 1)
    assert row["finding"] == ""


def test_a_case_without_a_label_and_one_that_is_refused():
    plain = evaluate_case(regressor()(trunk(-300, 350)), {}, SLOPE, RANGE, 384.0)
    assert np.isnan(plain["error_mm"])
    assert plain["organs"] == 0
    reverse = evaluate_case(regressor()(trunk(-300, 350).flip(3)), {}, SLOPE, RANGE, 384.0)
    assert reverse["finding"].startswith("has its slices in reverse order")
    assert reverse["rising"] == 0


def test_the_picture_shows_the_patient_upright_with_the_right_on_the_left(tmp_path: Path):
    volume = trunk(-300, 350)
    voxels = volume.as_tensor().clone()
    voxels[0, 27:, 10:30, -30:] = 1000  # bright: upper right
    found = regressor()(MetaTensor(voxels, affine=volume.affine))
    figure = draw_body_part(found, RANGE, landmarks={"top of the liver": 420.0})
    plane = figure.axes[0].images[0]
    shown, (left, right, bottom, top) = np.asarray(plane.get_array()), plane.get_extent()
    assert plane.origin == "lower"
    rows, columns = np.nonzero(shown > 900)
    assert left < right
    assert bottom < top
    assert columns.max() < shown.shape[1] / 2  # on the viewer's left
    assert rows.min() > shown.shape[0] / 2
    figure.savefig(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 800
