from __future__ import annotations

import json
import logging

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custom_components.data.conformal import (
    ScoreInterval,
    conformal_half_width,
    interval_path,
    read_interval,
    write_interval,
)


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_new_codes_are_inside_as_often_as_asked(coverage):
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(2000):
        calibration, new = rng.standard_t(3, 19), rng.standard_t(3)
        inside.append(abs(new) <= conformal_half_width(calibration, coverage))
    assert coverage - 0.03 < np.mean(inside) < coverage + 0.05 + 0.03


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=40), st.floats(0.05, 0.95))
def test_the_share_of_calibration_residuals_inside_is_at_least_the_coverage(residuals, coverage):
    width = conformal_half_width(residuals, coverage)
    assert np.mean(np.abs(residuals) <= width) >= coverage - 1e-9


@pytest.mark.parametrize(("residuals", "coverage"), [([], 0.9), ([0.1], 0.0), ([0.1], 1.0)])
def test_what_makes_no_interval_is_refused(residuals, coverage):
    with pytest.raises(ValueError, match="residuals|coverage"):
        conformal_half_width(residuals, coverage)


@pytest.mark.parametrize(
    ("score", "ends"), [(1.0, (0.6, 1.4)), (-0.2, (0.0, 0.4)), (2.7, (1.6, 2.0)), (-3.0, (0.0, 0.4))]
)
def test_the_interval_holds_nothing_that_no_code_can_be(score, ends):
    assert ScoreInterval(0.9, 0.4, 10).around(score) == pytest.approx(ends)


def test_an_interval_belongs_to_its_weights(tmp_path, caplog):
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"weights")
    with caplog.at_level(logging.WARNING):
        assert read_interval(weights) is None
    assert "does not exist" in caplog.text
    write_interval(ScoreInterval(0.9, 0.4, 10), weights, validation_rmse=0.3)
    assert read_interval(weights).half_width == 0.4
    assert json.loads(interval_path(weights).read_text())["validation_rmse"] == 0.3
    weights.write_bytes(b"others")
    with caplog.at_level(logging.WARNING):
        assert read_interval(weights) is None
    assert "is of other weights" in caplog.text


def test_another_file_in_its_place_is_refused(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"weights")
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(SystemExit, match="model.json has another form"):
        read_interval(tmp_path / "model.pt")
