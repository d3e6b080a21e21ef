import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.anatomy import INDEX
from custom_components.data.phantom import make_phantom
from custom_components.data.rater import LIMITS, judge, rate

SMALL = (5.25, 5.25, 12.0)
LIVER, RIGHT, LEFT, SPLEEN = (INDEX[name] for name in ("liver", "right_kidney", "left_kidney", "spleen"))


@pytest.fixture(scope="module")
def truth():
    return make_phantom(1, 0.0).label


def without(label, organ):
    return np.where(label == organ, 0, label)


def eroded(label, organ):
    mask = label == organ
    core = mask.copy()
    for axis in (0, 1):
        core &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    return np.where(mask & ~core, 0, label)


def blob(label, organ, millilitres):
    """A false piece of an organ in the background."""
    voxels = round(millilitres * 1000 / np.prod(SMALL))
    flat = label.ravel().copy()
    flat[np.flatnonzero(flat == 0)[:voxels]] = organ
    return flat.reshape(label.shape)


def test_the_truth_itself_is_a_success(truth):
    assert rate(truth, truth, spacing=SMALL) == 0


@pytest.mark.parametrize("organ", [LIVER, RIGHT, LEFT, SPLEEN])
def test_a_missed_organ_is_gross(truth, organ):
    assert rate(without(truth, organ), truth, spacing=SMALL) == 2


@pytest.mark.parametrize("organ", [LIVER, RIGHT, LEFT, SPLEEN])
def test_one_voxel_too_thin_is_never_gross_and_a_thin_kidney_is_no_success(truth, organ):
    code = rate(eroded(truth, organ), truth, spacing=SMALL)
    assert code in ((1,) if organ != LIVER else (0, 1))


def test_a_few_wrong_surface_voxels_are_still_a_success(truth):
    surface = (eroded(truth, RIGHT) != truth) & (np.random.default_rng(0).random(truth.shape) < 0.25)
    assert rate(np.where(surface, 0, truth), truth, spacing=SMALL) == 0


def test_swapped_kidneys_are_gross(truth):
    swapped = truth.copy()
    swapped[truth == RIGHT], swapped[truth == LEFT] = LEFT, RIGHT
    assert rate(swapped, truth, spacing=SMALL) == 2


def test_organs_other_than_the_four_are_not_judged(truth):
    judged = np.isin(truth, (LIVER, RIGHT, LEFT, SPLEEN))
    assert rate(np.where(judged, truth, 0), truth, spacing=SMALL) == 0


@pytest.mark.parametrize(("false_ml", "code"), [(0, 0), (5, 0), (30, 1), (100, 2)])
def test_a_false_organ_is_judged_by_its_volume_where_it_is_absent(truth, false_ml, code):
    absent = without(truth, SPLEEN)
    assert rate(blob(absent, SPLEEN, false_ml), absent, spacing=SMALL) == code


@pytest.mark.parametrize(("sliver_ml", "code"), [(4, 0), (20, 1)])
def test_a_missed_sliver_is_not_gross(truth, sliver_ml, code):
    absent = without(truth, SPLEEN)
    assert rate(absent, blob(absent, SPLEEN, sliver_ml), spacing=SMALL) == code


@given(st.floats(0, 1), st.sampled_from([LIVER, RIGHT, LEFT, SPLEEN]))
@settings(max_examples=20, deadline=None)
def test_losing_more_of_an_organ_never_improves_the_code(share, organ):
    truth = np.zeros((16, 16, 16), np.uint8)
    for index, corner in zip((LIVER, RIGHT, LEFT, SPLEEN), ((0, 0), (0, 8), (8, 0), (8, 8)), strict=True):
        truth[corner[0] : corner[0] + 7, corner[1] : corner[1] + 7, 2:14] = index
    lost = np.random.default_rng(0).random(truth.shape)
    less, more = (np.where((truth == organ) & (lost < s), 0, truth) for s in (share / 2, share))
    assert rate(less, truth) <= rate(more, truth)


def test_noise_moves_codes_only_near_the_limits(truth):
    rng = np.random.default_rng(0)
    assert {rate(truth, truth, spacing=SMALL, noise=0.02, rng=rng) for _ in range(20)} == {0}
    organ = min(judge(eroded(truth, SPLEEN), truth, spacing=SMALL), key=lambda o: o.quality)
    near = type(LIMITS)(good=organ.quality)
    codes = [rate(eroded(truth, SPLEEN), truth, spacing=SMALL, noise=0.02, rng=rng, limits=near) for _ in range(30)]
    assert set(codes) == {0, 1}


def test_noise_without_a_generator_is_an_error(truth):
    with pytest.raises(ValueError, match=r"noise is 0\.1"):
        rate(truth, truth, noise=0.1)


def test_different_shapes_and_soft_labels_are_errors(truth):
    with pytest.raises(ValueError, match="pred has shape"):
        rate(truth[1:], truth)
    with pytest.raises(ValueError, match="pred is of type float64"):
        rate(truth.astype(float), truth)
