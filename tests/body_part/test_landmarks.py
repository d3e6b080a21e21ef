from __future__ import annotations

import numpy as np

from custom_components.anatomy import INDEX
from custom_components.body_part.landmarks import landmark_indices


def label(**spans: tuple[int, int]) -> np.ndarray:
    volume = np.zeros((5, 5, 40), np.uint8)
    for place, (organ, (low, high)) in enumerate(spans.items()):
        volume[place, place, low : high + 1] = INDEX[organ]
    return volume


def test_landmarks_are_the_ends_and_the_middle_of_organs():
    found = landmark_indices(label(liver=(10, 30), spleen=(18, 28), right_kidney=(5, 15), left_kidney=(7, 19)))
    assert found == {
        "top of the liver": 30, "top of the spleen": 28, "middle of the kidneys": 11.5, "bottom of the liver": 10,
        "bottom of the kidneys": 5,
    }  # fmt: skip


def test_an_organ_that_is_cut_off_or_missing_gives_no_landmark():
    assert set(landmark_indices(label(liver=(10, 39), spleen=(18, 28), left_kidney=(7, 19)))) == {"top of the spleen"}
