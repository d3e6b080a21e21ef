from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custom_components.body_part.line import fit_line


@given(slope=st.floats(-0.1, 0.1), intercept=st.floats(-10, 10), spacing=st.floats(1, 10), seed=st.integers(0, 99))
def test_a_third_of_outliers_does_not_move_the_line(slope: float, intercept: float, spacing: float, seed: int):
    rng = np.random.default_rng(seed)
    height = np.arange(60) * spacing
    score = intercept + slope * height + rng.normal(size=60) * 0.1
    score[rng.choice(60, 20, replace=False)] += rng.uniform(5, 30, size=20) * rng.choice([-1, 1], size=20)
    line = fit_line(height, score)
    assert np.abs(line.at(height) - (intercept + slope * height)).max() < 0.3
    assert line.inliers == pytest.approx(40 / 60, abs=0.03)


def test_height_of_a_score_is_where_the_line_has_it():
    line = fit_line(np.arange(10), 5 - 0.5 * np.arange(10))
    assert line.height_of(2.0) == pytest.approx(6)
    assert line.residual == pytest.approx(0, abs=1e-9)


def test_too_few_slices_are_an_error():
    with pytest.raises(ValueError, match="4 slices, expected at least 5"):
        fit_line(range(4), range(4))


def test_where_scores_stay_the_same_is_not_the_line_of_a_long_scan():
    height = np.arange(0, 900, 5.0)
    score = np.maximum(6 - 0.033 * height, -6.0) + np.random.default_rng(0).normal(0, 0.1, len(height))
    plain, line = fit_line(height, score), fit_line(height, score, usual_slope=-0.033)
    assert plain.slope == pytest.approx(0, abs=0.01)  # most slices lie beyond the abdomen
    assert line.slope == pytest.approx(-0.033, rel=0.1)
    assert line.height_of(0) == pytest.approx(6 / 0.033, abs=5)
    flat = fit_line(height, np.full(len(height), -6.0), usual_slope=-0.033)
    assert (flat.slope, flat.inliers) == (pytest.approx(0, abs=1e-6), 1)
    reverse = fit_line(height, score[::-1], usual_slope=-0.033)
    assert reverse.slope == pytest.approx(0.033, rel=0.1)
