from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from custom_components.anatomy import (
    INDEX,
    JUDGED_ORGANS,
    LABEL_SETS,
    NUM_CLASSES,
    ORGAN_NAMES,
    ORGANS,
    Organ,
    annotated_channels,
    label_map,
)

ALPHA = 0.4
GREYS = np.arange(0, 256, 15)

# The names that each source publishes for its numbers from 1 (TotalSegmentator v2 goes on to 117).
PUBLISHED = {
    "btcv": (
        "spleen, right kidney, left kidney, gallbladder, esophagus, liver, stomach, aorta, inferior vena cava, "
        "portal vein and splenic vein, pancreas, right adrenal gland, left adrenal gland"
    ),
    "amos": (
        "spleen, right kidney, left kidney, gallbladder, esophagus, liver, stomach, aorta, postcava, pancreas, "
        "right adrenal gland, left adrenal gland, duodenum, bladder, prostate/uterus"
    ),
    "flare22": (
        "liver, right kidney, spleen, pancreas, aorta, inferior vena cava, right adrenal gland, "
        "left adrenal gland, gallbladder, esophagus, stomach, duodenum, left kidney"
    ),
    "totalsegmentator": (
        "spleen, kidney_right, kidney_left, gallbladder, liver, stomach, pancreas, adrenal_gland_right, "
        "adrenal_gland_left, lung_upper_lobe_left, lung_lower_lobe_left, lung_upper_lobe_right, "
        "lung_middle_lobe_right, lung_lower_lobe_right, esophagus, trachea, thyroid_gland, small_bowel, duodenum, "
        "colon, urinary_bladder, prostate, kidney_cyst_left, kidney_cyst_right, sacrum, vertebrae_S1, vertebrae_L5, "
        "vertebrae_L4, vertebrae_L3, vertebrae_L2, vertebrae_L1, vertebrae_T12, vertebrae_T11, vertebrae_T10, "
        "vertebrae_T9, vertebrae_T8, vertebrae_T7, vertebrae_T6, vertebrae_T5, vertebrae_T4, vertebrae_T3, "
        "vertebrae_T2, vertebrae_T1, vertebrae_C7, vertebrae_C6, vertebrae_C5, vertebrae_C4, vertebrae_C3, "
        "vertebrae_C2, vertebrae_C1, heart, aorta, pulmonary_vein, brachiocephalic_trunk, subclavian_artery_right, "
        "subclavian_artery_left, common_carotid_artery_right, common_carotid_artery_left, brachiocephalic_vein_left, "
        "brachiocephalic_vein_right, atrial_appendage_left, superior_vena_cava, inferior_vena_cava, "
        "portal_vein_and_splenic_vein, iliac_artery_left"
    ),
}
SYNONYMS = {
    "esophagus": "oesophagus",
    "postcava": "inferior_vena_cava",
    "portal_vein_and_splenic_vein": "portal_and_splenic_veins",
    "kidney_right": "right_kidney",
    "kidney_left": "left_kidney",
    "right_adrenal_gland": "adrenal_glands",
    "left_adrenal_gland": "adrenal_glands",
    "adrenal_gland_right": "adrenal_glands",
    "adrenal_gland_left": "adrenal_glands",
}


@pytest.mark.parametrize("label_set", PUBLISHED)
def test_label_maps_follow_the_published_numberings(label_set):
    expected = {}
    for number, name in enumerate(PUBLISHED[label_set].split(", "), start=1):
        name = name.replace(" ", "_")
        if SYNONYMS.get(name, name) in INDEX:
            expected[number] = INDEX[SYNONYMS.get(name, name)]
    assert label_map(label_set) == expected


def test_channels_are_numbered_as_in_btcv_with_one_channel_for_the_adrenal_glands():
    assert [organ.index for organ in ORGANS] == list(range(1, NUM_CLASSES))
    assert all(label_map("btcv")[index] == index for index in range(1, NUM_CLASSES))
    assert set(JUDGED_ORGANS) < set(ORGAN_NAMES)


@pytest.mark.parametrize("label_set", LABEL_SETS)
def test_only_the_portal_vein_is_missing_from_a_source(label_set):
    missing = {ORGAN_NAMES[channel - 1] for channel, told in enumerate(annotated_channels(label_set)) if not told}
    assert missing == ({"portal_and_splenic_veins"} if label_set in ("amos", "flare22") else set())


def test_a_label_map_is_a_copy():
    label_map("btcv").clear()
    assert label_map("btcv")


@pytest.mark.parametrize("label_set", ["BTCV", [], ["heart"], ["spleen", "Liver"]])
def test_unknown_names_are_refused(label_set):
    with pytest.raises(ValueError, match="label_set"):
        label_map(label_set)


# Linear RGB as a person with full colour blindness of one kind sees it (Machado et al. 2009, table 1).
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def seen(rgb: np.ndarray, vision: str) -> np.ndarray:
    """Colours (N, 3) of 0 to 255 as they are seen, in CIELAB."""
    rgb = rgb / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = (linear @ np.transpose(VISION[vision])).clip(0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def blended(organ: Organ) -> np.ndarray:
    """The organ's colour laid over each grey, (greys, 3)."""
    return (1 - ALPHA) * GREYS[:, None] + ALPHA * np.array(organ.colour)


# Twelve colours in the two dimensions that are left to a colour-blind person cannot all be 15 apart.
@pytest.mark.parametrize(("vision", "least"), [("normal", 15), ("protanopia", 8), ("deuteranopia", 8)])
@pytest.mark.parametrize(("one", "other"), list(combinations(ORGANS, 2)), ids=lambda organ: organ.name)
def test_colours_stay_distinct_over_any_grey(one, other, vision, least):
    assert deltaE_ciede2000(*(seen(blended(organ), vision) for organ in (one, other))).min() >= least


@pytest.mark.parametrize("organ", ORGANS, ids=lambda organ: organ.name)
def test_colours_differ_from_the_bare_ct(organ):
    bare = np.repeat(GREYS[:, None], 3, axis=1)
    assert deltaE_ciede2000(seen(blended(organ), "normal"), seen(bare, "normal")).min() >= 10
