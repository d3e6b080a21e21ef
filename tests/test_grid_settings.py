from __future__ import annotations

import math

import pytest

from custom_components.grid_settings import checked_hu_window, checked_pixdim, checked_roi_size
from custom_components.preprocessing import ct_preprocessing, qa_preprocessing

WRONG = [
    ("pixdim", checked_pixdim, value)
    for value in (5, (2, 2), (2, 2, 0), (2, 2, -6), (2, 2, math.nan), (2, 2, math.inf), (2, 2, True), ("2", "2", "6"))
] + [
    ("roi_size", checked_roi_size, value)
    for value in (64, (64, 64), (64, 64, 0), (64, 64, -1), (64, 64, 12.5), (64, 64, math.nan), (64, 64, True))
] + [
    ("hu_window", checked_hu_window, value)
    for value in (5, (0,), (275, -175), (0, 0), (0, math.nan), (-math.inf, 0), ("a", "b"))
]  # fmt: skip


@pytest.mark.parametrize(("name", "check", "value"), WRONG)
def test_a_setting_that_cannot_be_is_refused_by_its_name(name, check, value):
    with pytest.raises(ValueError, match=f"{name} is .*, expected"):
        check(value)
    for factory in (ct_preprocessing, qa_preprocessing):
        with pytest.raises(SystemExit, match=f"error: {name} is .*, expected"):
            factory(**{name: value})
