from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from numpy.random import RandomState
from scipy import ndimage

from custom_components.anatomy import INDEX
from custom_components.data.phantom import GRIDS, make_phantom
from custom_components.data.rater import rate
from custom_components.transforms.corruption_modes import MODES
from custom_components.transforms.corruption_scene import Scene, smooth_noise

SPACING = GRIDS["small"].spacing
SPLEEN, RIGHT, LEFT, LIVER = (INDEX[name] for name in ("spleen", "right_kidney", "left_kidney", "liver"))
SEEDS = range(12)


@pytest.fixture(scope="module")
def scene():
    first, second = make_phantom(1, 0.0), make_phantom(2, 0.5)
    grey = np.clip((first.image + 175) / 450, 0, 1).astype(np.float32)
    return Scene(first.label, SPACING, grey, [second.label[None]])


def spoilt(name, scene, seed):
    return MODES[name](scene, RandomState(seed))


def pieces(mask):
    return ndimage.label(mask)[1]


@pytest.mark.parametrize("name", MODES)
def test_modes_give_new_labels_by_the_seed_alone_and_leave_their_input_alone(scene, name):
    before = scene.labels.copy()
    first, second = (spoilt(name, scene, 3) for _ in "ab")
    assert np.array_equal(first, second)
    assert (first.dtype, first.shape) == (np.uint8, before.shape)
    assert first.max() <= 12
    assert not np.array_equal(first, before)
    assert not np.shares_memory(first, scene.labels)
    assert np.array_equal(scene.labels, before)


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("with_image", [True, False])
def test_modes_find_nothing_to_spoil_in_an_empty_segmentation(scene, name, with_image):
    empty = scene._replace(labels=np.zeros_like(scene.labels), image=scene.image if with_image else None)
    if name not in ("noise", "other_case"):
        assert not any(spoilt(name, empty, seed).any() for seed in SEEDS)
    else:
        assert any(spoilt(name, empty, seed).any() for seed in SEEDS)


@pytest.mark.parametrize("name", [name for name in MODES if name not in ("noise", "other_case")])
def test_an_organ_that_is_not_there_is_not_invented(scene, name):
    absent = scene._replace(labels=np.where(np.isin(scene.labels, (SPLEEN, LEFT)), 0, scene.labels).astype(np.uint8))
    named = (SPLEEN, LEFT) if name != "swapped" else ()
    assert not any(np.isin(spoilt(name, absent, seed), named).any() for seed in SEEDS)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_missing_organ_is_gone_and_the_others_are_untouched(scene, seed):
    labels = spoilt("organ_missing", scene, seed)
    gone = set(np.unique(scene.labels)) - set(np.unique(labels))
    assert 1 <= len(gone) <= 3
    assert np.array_equal(labels, np.where(np.isin(scene.labels, list(gone)), 0, scene.labels))


def test_judged_organs_fail_more_often_than_others(scene):
    judged = (SPLEEN, RIGHT, LEFT, LIVER)
    gone = [set(np.unique(scene.labels)) - set(np.unique(spoilt("organ_missing", scene, seed))) for seed in range(60)]
    counts = Counter(organ in judged for organs in gone for organ in organs)
    assert counts[True] > counts[False] > 0


@pytest.mark.parametrize("organ", [SPLEEN, RIGHT, LEFT, LIVER])
def test_a_leak_hangs_on_its_organ_and_goes_where_the_ct_looks_alike(scene, organ):
    own = scene.labels == organ
    alone = scene._replace(labels=np.where(own, scene.labels, 0).astype(np.uint8))
    strangeness = np.abs(scene.image - np.median(scene.image[own]))
    leaks, rims = [], []
    for seed in SEEDS:
        labels = spoilt("leaked", alone, seed)
        assert (labels[own] == organ).all()
        leak = (labels == organ) & ~own
        assert pieces(own | leak) <= pieces(own)
        leaks.append(strangeness[leak])
        rims.append(strangeness[ndimage.binary_dilation(leak, iterations=2) & ~own & ~leak])
    assert np.concatenate(leaks).mean() < 0.7 * np.concatenate(rims).mean()


def test_a_leak_needs_no_image_and_goes_over_other_organs(scene):
    blind = scene._replace(image=None)
    for seed in SEEDS:
        labels = spoilt("leaked", blind, seed)
        assert (labels > 0).sum() > (scene.labels > 0).sum()
        assert not (labels == 0)[scene.labels > 0].any()
    taken = [(spoilt("leaked", scene, seed) != scene.labels)[scene.labels > 0].any() for seed in SEEDS]
    assert np.mean(taken) > 0.5


def test_an_over_painted_organ_grows_over_the_body_and_stays_in_it(scene):
    grown, others_lost, gains = set(), 0, []
    for seed in range(30):
        labels = spoilt("over_painted", scene, seed)
        painted = labels != scene.labels
        organs = set(np.unique(labels[painted]))
        assert 1 <= len(organs) <= 2
        assert organs <= {SPLEEN, RIGHT, LEFT, LIVER}
        assert (scene.image[painted] > 0.12).mean() > 0.8
        grown |= organs
        others_lost += bool((scene.labels[painted] > 0).any())
        gains.append(painted.sum() / (scene.labels == max(organs)).sum())
    assert grown == {SPLEEN, RIGHT, LEFT, LIVER}
    assert 5 < others_lost < 25
    assert np.quantile(gains, 0.1) < 0.5
    assert np.quantile(gains, 0.9) > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_shrunken_organ_loses_its_surface_first(scene, seed):
    labels = spoilt("shrunken", scene, seed)
    lost = labels != scene.labels
    assert not labels[lost].any()
    for organ in np.unique(scene.labels[lost]):
        mask = scene.labels == organ
        depth = ndimage.distance_transform_edt(mask, sampling=SPACING)
        assert depth[lost & mask].mean() < depth[mask & ~lost].mean()
        assert 0 < lost[mask].mean() < 0.9


def test_fragments_break_an_organ_and_leave_false_pieces_in_the_body(scene):
    before = {organ: pieces(scene.labels == organ) for organ in (SPLEEN, RIGHT, LEFT, LIVER)}
    after = [spoilt("fragments", scene, seed) for seed in range(30)]
    more = [sum(pieces(labels == organ) > n for organ, n in before.items()) for labels in after]
    assert np.mean(more) > 0.5
    gained = [labels[(scene.labels == 0) & (labels > 0)] for labels in after]
    assert 5 < sum(bool(len(g)) for g in gained) < 25
    in_air = [(labels > 0)[(scene.image == 0) & (scene.labels == 0)].sum() for labels in after]
    assert sum(in_air) < 0.05 * sum(map(len, gained))


@pytest.mark.parametrize("seed", range(30))
def test_a_shifted_organ_keeps_its_shape(seed):
    labels = np.zeros((60, 60, 60), np.uint8)
    labels[28:32, 27:33, 29:31] = LIVER
    moved = spoilt("shifted", Scene(labels, (4.0, 4.0, 4.0)), seed)
    index = np.argwhere(moved == LIVER)
    assert index.min(axis=0).tolist() != [28, 27, 29]
    assert (np.ptp(index, axis=0) + 1).tolist() == [4, 6, 2]
    assert len(index) == 48 == np.count_nonzero(moved)


def test_swapping_is_a_mirror_image_or_an_exchange_of_names(scene):
    kinds: Counter[str] = Counter()
    for seed in range(40):
        labels = spoilt("swapped", scene, seed)
        if np.array_equal(labels, scene.labels[::-1]):
            kinds["mirrored"] += 1
            continue
        assert np.array_equal(labels > 0, scene.labels > 0)
        names = {organ: set(np.unique(labels[scene.labels == organ])) for organ in np.unique(scene.labels)}
        changed = {int(organ): int(min(other)) for organ, other in names.items() if other != {organ}}
        assert all(len(other) == 1 for other in names.values())
        kinds[str(sorted(changed.items()))] += 1
    kidneys = {str([(RIGHT, LEFT), (LEFT, RIGHT)]), str([(RIGHT, LEFT)]), str([(LEFT, RIGHT)])}
    assert set(kinds) == {"mirrored", str([(SPLEEN, LIVER), (LIVER, SPLEEN)])} | kidneys


def test_a_cut_removes_one_side_of_a_plane_or_leaves_out_or_repeats_slices(scene):
    repeated, whole_slices, through_slices = 0, 0, 0
    before = [scene.labels[..., z] for z in range(scene.labels.shape[2])]
    for seed in range(40):
        labels = spoilt("cut_off", scene, seed)
        after = [labels[..., z] for z in range(labels.shape[2])]
        if (labels[scene.labels == 0] > 0).any():
            filled = np.flatnonzero(scene.labels.any(axis=(0, 1)))
            source = [
                next(s for s in range(z, -1, -1) if np.array_equal(after[z], before[s]))
                for z in range(filled[0], filled[-1] + 1)
            ]
            assert source == sorted(source)
            assert not labels[..., : filled[0]].any()
            assert not labels[..., filled[-1] + 1 :].any()
            repeated += 1
            continue
        assert not (labels[labels != scene.labels]).any()
        is_whole = all(np.array_equal(a, b) or not a.any() for a, b in zip(after, before, strict=True))
        whole_slices += is_whole
        through_slices += not is_whole
    assert min(repeated, whole_slices, through_slices) >= 3


@pytest.mark.parametrize("name", MODES)
def test_modes_work_on_a_few_voxels_at_the_edge_of_the_grid(name):
    labels = np.zeros((9, 8, 5), np.uint8)
    labels[0, 0, 1:] = LIVER
    labels[8, 7, 4] = RIGHT
    tiny = Scene(labels, (2.0, 2.0, 6.0), np.full(labels.shape, 0.5, np.float32), [labels[::-1]])
    for seed in range(30):
        assert spoilt(name, tiny, seed).shape == labels.shape


def test_upside_down_keeps_right_and_left(scene):
    turned = {spoilt("upside_down", scene, seed).tobytes() for seed in SEEDS}
    flips = [scene.labels[:, :, ::-1], scene.labels[:, ::-1], scene.labels[:, ::-1, ::-1]]
    assert turned == {flip.tobytes() for flip in flips}


def test_noise_stays_in_the_body(scene):
    for seed in SEEDS:
        labels = spoilt("noise", scene, seed)
        false = (labels > 0) & (labels != scene.labels)
        assert (scene.image[false] > 0.12).mean() > 0.95


@pytest.mark.parametrize("name", ["organ_missing", "shrunken", "cut_off"])
def test_what_only_takes_away_never_calls_a_right_organ_left(scene, name):
    for seed in SEEDS:
        labels = spoilt(name, scene, seed)
        for organ, other in ((RIGHT, LEFT), (LEFT, RIGHT)):
            # where slices are repeated, an organ grows within its own columns only
            assert not ((labels == organ) & (scene.labels == other).any(axis=2, keepdims=True)).any()


def test_another_case_comes_from_the_donors(scene):
    assert np.array_equal(spoilt("other_case", scene, 0), scene.donors[0][0])
    with pytest.raises(ValueError, match="needs donors, found none"):
        spoilt("other_case", scene._replace(donors=()), 0)
    with pytest.raises(ValueError, match=r"donor has shape \(4, 4, 4\), expected \(64, 64, 32\)"):
        spoilt("other_case", scene._replace(donors=[np.zeros((4, 4, 4))]), 0)


def test_graded_modes_give_all_codes_and_the_others_gross_failures(scene):
    shares = {}
    for name in MODES:
        codes = Counter(rate(spoilt(name, scene, seed), scene.labels, spacing=SPACING) for seed in range(40))
        shares[name] = [codes[code] / 40 for code in (0, 1, 2)]
    for name in ("leaked", "over_painted", "shrunken", "fragments", "shifted", "cut_off"):
        assert min(shares[name]) >= 0.05, shares
    for name in ("swapped", "upside_down", "empty", "other_case"):
        assert shares[name] == [0, 0, 1], shares
    assert shares["organ_missing"][1] == 0, shares
    assert shares["noise"][2] > 0.5, shares


@pytest.mark.parametrize("shape", [(40, 30, 20), (5, 1, 2)])
def test_smooth_noise_has_the_shape_and_is_smooth(shape):
    noise = smooth_noise(shape, 20.0, RandomState(0), spacing=(2.0, 2.0, 6.0))
    assert noise.shape == shape
    if min(shape) > 5:
        assert 0.4 < noise.std() < 1.5
        assert np.abs(np.diff(noise, axis=0)).mean() < 0.3 * noise.std()
