import csv
import json
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.anatomy import INDEX, ORGANS
from custom_components.data.phantom import Grid, RawForm, make_phantom, write_cohort
from custom_components.data.phantom.grid import sample_smooth
from custom_components.data.phantom.scan import _block_majority
from custom_components.data.phantom.subject import draw_subject
from custom_components.data.phantom.tissue import PHASES

SMALL_RAW = RawForm(matrix=64, slice_mm=(10.0, 10.0))

# Least and greatest volume (ml) that shift 0 may have.
VOLUMES = {
    "spleen": (100, 300), "right_kidney": (110, 230), "left_kidney": (110, 230), "gallbladder": (15, 60),
    "oesophagus": (15, 60), "liver": (1100, 2000), "stomach": (120, 450), "aorta": (70, 150),
    "inferior_vena_cava": (60, 140), "portal_and_splenic_veins": (8, 40), "pancreas": (40, 130),
    "adrenal_glands": (5, 20),
}  # fmt: skip


@pytest.fixture(scope="module")
def normal():
    return make_phantom(1, 0.0)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort"), workers=1, grid=TINY, **COUNTS)


TINY = Grid((16, 16, 8), (21.0, 21.0, 48.0))
COUNTS = {"training": 2, "validation": 1, "unlabeled": 1, "test": 1, "seed": 3}


def centroid(phantom, organ):
    index = np.argwhere(phantom.label == INDEX[organ]).mean(axis=0)
    return phantom.affine[:3, :3] @ index + phantom.affine[:3, 3]


def volumes(phantom):
    voxel_ml = abs(np.linalg.det(phantom.affine[:3, :3])) / 1000
    return np.bincount(phantom.label.ravel(), minlength=13) * voxel_ml


def files(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.*"))}


@pytest.mark.parametrize("form", ["small", SMALL_RAW])
@pytest.mark.parametrize("seed", [1, 2])
def test_organs_lie_on_their_side_of_the_body(seed, form):
    phantom = make_phantom(seed, 0.0, grid=form)
    liver, spleen, right, left, pancreas, stomach = (
        centroid(phantom, organ) for organ in ("liver", "spleen", "right_kidney", "left_kidney", "pancreas", "stomach")
    )
    assert liver[0] > spleen[0] + 100  # RAS: x grows towards the patient's right
    assert right[0] > left[0] + 80
    assert right[1] < pancreas[1] < stomach[1]  # y grows towards the front
    assert liver[2] > right[2]  # z grows towards the head


def test_the_small_grid_is_ras(normal):
    assert nib.aff2axcodes(normal.affine) == ("R", "A", "S")
    assert np.linalg.norm(normal.affine[:3, :3], axis=0) == pytest.approx((5.25, 5.25, 12))


@pytest.mark.parametrize(("name", "shape"), [("small", (64, 64, 32)), ("paper", (168, 168, 64))])
def test_named_grids_have_their_shape_type_and_all_organs(name, shape):
    phantom = make_phantom(4, 0.0, grid=name)
    assert phantom.image.shape == phantom.label.shape == shape
    assert (phantom.image.dtype, phantom.label.dtype) == (np.int16, np.uint8)
    assert phantom.image.min() >= -1024
    assert np.bincount(phantom.label.ravel(), minlength=13)[1:].min() > 5


@pytest.mark.parametrize("seed", range(4))
def test_organ_volumes_are_those_of_adults(seed):
    found = volumes(make_phantom(seed, 0.0))
    wrong = {o.name: found[o.index] for o in ORGANS if not VOLUMES[o.name][0] < found[o.index] < VOLUMES[o.name][1]}
    assert not wrong


def test_the_same_subject_is_rendered_on_every_grid(normal):
    finer = make_phantom(1, 0.0, grid=Grid((112, 112, 64), (3.0, 3.0, 6.0)))
    for organ in ("liver", "spleen", "right_kidney", "left_kidney"):
        assert centroid(finer, organ) == pytest.approx(centroid(normal, organ), abs=2.5)
        assert volumes(finer)[INDEX[organ]] == pytest.approx(volumes(normal)[INDEX[organ]], rel=0.1)
    assert finer.info == normal.info


@given(st.integers(0, 10**6), st.floats(0, 1))
@settings(max_examples=5, deadline=None)
def test_any_seed_and_shift_give_a_body_with_organs_inside_it(seed, shift):
    phantom = make_phantom(seed, shift)
    assert phantom.label.max() <= 12
    assert (phantom.image[phantom.label == INDEX["liver"]] > -300).mean() > 0.98
    assert phantom.info["shift"] == pytest.approx(shift, abs=1e-4)


def test_the_same_seed_gives_the_same_voxels_and_another_seed_others(normal):
    again, other = make_phantom(1, 0.0), make_phantom(2, 0.0)
    assert np.array_equal(again.image, normal.image)
    assert np.array_equal(again.label, normal.label)
    assert not np.array_equal(other.label, normal.label)


def seeds_by(key):
    """For each value that a key of `info` takes at shift 1, the first seed; no image is made for it."""
    found = {}
    for seed in range(200):
        found.setdefault(draw_subject(np.random.SeedSequence(seed), 1.0).info()[key], seed)
    return found


def test_contrast_phases_differ_as_they_do_in_patients():
    def mean(seed):
        phantom = make_phantom(seed, 1.0)
        present = [o for o in ORGANS if (phantom.label == o.index).any()]
        return {o.name: np.median(phantom.image[phantom.label == o.index]) for o in present}

    seeds = seeds_by("phase")
    assert set(seeds) == set(PHASES)
    found = {phase: mean(seed) for phase, seed in seeds.items()}
    assert found["arterial"]["aorta"] > found["arterial"]["inferior_vena_cava"] + 60
    assert found["portal"]["aorta"] - found["none"]["aorta"] > 60
    assert found["none"]["right_kidney"] < 60 < found["delayed"]["right_kidney"]


@pytest.mark.parametrize("organ", ["gallbladder", "spleen", "right_kidney", "left_kidney"])
def test_a_missing_organ_has_no_voxels(organ):
    phantom = make_phantom(seeds_by("missing")[organ], 1.0)
    assert not (phantom.label == INDEX[organ]).any()
    assert (phantom.label == INDEX["liver"]).any()


def test_shift_zero_is_portal_venous_and_complete():
    for seed in range(20):
        info = draw_subject(np.random.SeedSequence(seed), 0.0).info()
        assert (info["phase"], info["missing"]) == ("portal", "")


def test_raw_form_varies_in_spacing_and_orientation_and_is_sometimes_oblique():
    grids = [RawForm().draw(np.random.default_rng(seed), 330.0, (-150, 150)) for seed in range(40)]
    affines = [grid.affine((0, 0, 0)) for grid in grids]
    assert {"".join(nib.aff2axcodes(affine)) for affine in affines} == {"LPS", "LAS", "RAS"}
    assert 0 < sum(np.count_nonzero(np.abs(affine[:3, :3]) > 1e-6) > 3 for affine in affines) < 40
    for grid in grids:
        assert grid.shape[:2] == (512, 512)
        assert 0.6 <= grid.spacing[0] == grid.spacing[1] <= 1.0
        assert 1.0 <= grid.spacing[2] <= 5.0
        assert grid.shape[2] * grid.spacing[2] == pytest.approx(300, abs=grid.spacing[2])


def test_a_grid_is_centred_where_it_is_asked_to_be():
    affine = Grid((5, 7, 9), (1.0, 2.0, 3.0), "LPS", (3.0, -2.0, 4.0)).affine((10.0, 20.0, 30.0))
    assert affine @ [2, 3, 4, 1] == pytest.approx([10, 20, 30, 1])


@pytest.mark.parametrize("shift", [-0.1, 1.5, float("nan")])
def test_a_shift_out_of_range_is_an_error(shift):
    with pytest.raises(ValueError, match="expected a number from 0 to 1"):
        make_phantom(0, shift)


def test_an_unknown_grid_is_an_error_that_lists_the_grids():
    with pytest.raises(ValueError, match=r"'huge'.*'paper', 'raw', 'small'"):
        make_phantom(0, 0.0, grid="huge")


def test_smooth_sampling_keeps_linear_fields():
    affine = np.diag([3.0, 3.0, 5.0, 1.0])
    sampled = sample_smooth(lambda points: points, affine, (20, 9, 7))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in (20, 9, 7)), indexing="ij"))
    assert sampled == pytest.approx(index * np.array([3, 3, 5])[:, None, None, None], abs=1e-3)


def test_a_voxel_takes_the_label_of_most_of_its_samples():
    label = np.zeros((4, 2, 1), np.uint8)
    label[0:2] = [[[6], [6]], [[6], [2]]]
    label[2:4] = [[[0], [0]], [[0], [3]]]
    assert _block_majority(label, (2, 2, 1)).ravel().tolist() == [6, 0]


def test_the_datalist_names_existing_files_and_hides_the_truth(cohort):
    dataset = json.loads(cohort.read_text())
    assert {k: len(dataset[k]) for k in COUNTS if k != "seed"} == {k: v for k, v in COUNTS.items() if k != "seed"}
    assert dataset["labels"]["6"] == "liver"
    listed = [
        path for split in ("training", "validation", "unlabeled", "test") for c in dataset[split] for path in c.values()
    ]
    assert all((cohort.parent / path).exists() for path in listed)
    assert not any("truth" in path for path in listed)
    assert set(dataset["test"][0]) == {"image"}
    assert (cohort.parent / "truth" / "phantom_test_000.nii.gz").exists()


def test_written_files_hold_the_phantom(cohort):
    image, label = (nib.load(cohort.parent / f"{d}/phantom_train_001.nii.gz") for d in ("imagesTr", "labelsTr"))
    assert (image.get_data_dtype(), label.get_data_dtype()) == (np.int16, np.uint8)
    assert np.array_equal(image.affine, label.affine)
    phantom = make_phantom((3, 0, 1), 0.0, grid=TINY)
    assert np.array_equal(np.asarray(image.dataobj), phantom.image)
    assert np.array_equal(np.asarray(label.dataobj), phantom.label)


def test_subjects_are_described_for_every_case(cohort):
    with (cohort.parent / "truth" / "subjects.csv").open() as file:
        rows = {row["case_id"]: row for row in csv.DictReader(file)}
    assert len(rows) == 5
    assert rows["phantom_train_000"]["phase"] == "portal"
    assert float(rows["phantom_train_000"]["shift"]) == 0 < float(rows["phantom_test_000"]["shift"])


def test_shifts_lie_between_the_least_and_the_greatest_and_labelled_cases_stay(cohort, tmp_path):
    folder = write_cohort(tmp_path / "hard", grid=TINY, workers=1, least_shift=0.6, shift=0.8, **COUNTS).parent
    with (folder / "truth" / "subjects.csv").open() as file:
        shifts = {row["case_id"]: float(row["shift"]) for row in csv.DictReader(file)}
    assert all(
        0.6 <= shift <= 0.8 if "train" not in name and "val" not in name else shift == 0
        for name, shift in shifts.items()
    )
    label = "labelsTr/phantom_train_000.nii.gz"
    assert (folder / label).read_bytes() == (cohort.parent / label).read_bytes()


def test_the_least_shift_is_no_greater_than_the_greatest(tmp_path):
    with pytest.raises(ValueError, match=r"least_shift is 0.6, expected up to 0.5, the shift"):
        write_cohort(tmp_path / "new", least_shift=0.6, shift=0.5)


def test_bytes_do_not_depend_on_the_number_of_workers(cohort, tmp_path):
    write_cohort(tmp_path / "two", workers=2, grid=TINY, **COUNTS)
    assert files(tmp_path / "two") == files(cohort.parent)


def test_a_second_run_completes_what_is_missing_and_keeps_the_rest(cohort):
    before = files(cohort.parent)
    kept, lost = (
        cohort.parent / "imagesTr/phantom_train_000.nii.gz",
        cohort.parent / "imagesTs/phantom_test_000.nii.gz",
    )
    written = kept.stat().st_mtime_ns
    lost.unlink()
    write_cohort(cohort.parent, workers=1, grid=TINY, **COUNTS)
    assert files(cohort.parent) == before
    assert kept.stat().st_mtime_ns == written


def test_a_cohort_of_other_settings_is_not_mixed_in(cohort):
    with pytest.raises(ValueError, match=r"another seed of 3, expected 4"):
        write_cohort(cohort.parent, workers=1, grid=TINY, **{**COUNTS, "seed": 4})
    with pytest.raises(ValueError, match=r"another least_shift of 0.0, expected 0.5"):
        write_cohort(cohort.parent, workers=1, grid=TINY, **COUNTS, least_shift=0.5)


def test_a_cohort_that_was_begun_before_there_was_a_least_shift_goes_on(cohort):
    before = files(cohort.parent)
    settings = cohort.parent / "phantom.json"
    content = json.loads(settings.read_text())
    del content["least_shift"]
    settings.write_text(json.dumps(content))
    write_cohort(cohort.parent, workers=1, grid=TINY, **COUNTS)
    assert files(cohort.parent) == before


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("training", -1),
        ("test", 1.5),
        ("seed", "a"),
        ("shift", 2),
        ("training_shift", "x"),
        ("least_shift", -0.5),
        ("workers", 0),
        ("grid", "big"),
    ],
)
def test_bad_arguments_name_themselves_and_write_nothing(argument, value, tmp_path):
    with pytest.raises(ValueError, match=f"{argument} is {value!r}, expected"):
        write_cohort(tmp_path / "new", **{argument: value})
    assert not (tmp_path / "new").exists()


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "custom_components", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_reports_a_mistake_in_one_line(tmp_path):
    done = command("phantom", tmp_path / "new", "--training", "many")
    assert done.returncode == 2
    assert done.stderr == "error: training is 'many', expected a whole number of at least 0\n"


def test_the_command_refuses_unknown_options_before_it_writes(tmp_path):
    done = command("phantom", tmp_path / "new", "--validaton", "1")
    assert done.returncode == 2
    assert "--validaton" in done.stderr
    assert not (tmp_path / "new").exists()


def test_the_command_writes_a_cohort_and_prints_its_datalist(tmp_path):
    counts = ("--training", 0, "--validation", 0, "--test", 1, "--workers", 1)
    done = command("phantom", tmp_path / "new", *counts)
    assert done.returncode == 0
    assert done.stdout.strip() == str(tmp_path / "new" / "dataset.json")


def test_a_scan_may_go_on_without_changing_the_patient():
    plain, long = (RawForm(64, slice_mm=(5.0, 5.01), beyond_mm=beyond) for beyond in ((0.0, 0.0), (60.0, 210.0)))
    for number in range(3):
        short, tall = (make_phantom((3, number), 0.5, grid=form) for form in (plain, long))
        assert short.image.shape[2] + 2 < tall.image.shape[2] <= short.image.shape[2] + 55
        livers = [
            (phantom.label == INDEX["liver"]).sum() * abs(np.linalg.det(phantom.affine[:3, :3]))
            for phantom in (short, tall)
        ]
        assert livers[1] > 0.97 * livers[0]
