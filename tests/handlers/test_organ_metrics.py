from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
from matplotlib.image import imread
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from monai.networks import one_hot

from custom_components.anatomy import INDEX, ORGAN_NAMES, annotated_channels
from custom_components.data.set_aside import SetAsideDataset
from custom_components.engines import CaseEvaluator
from custom_components.handlers.organ_metrics import OrganMetrics, measure_organs
from custom_components.report.organ_dice import summarise

SPACING = (2.0, 2.0, 6.0)
AFFINE = torch.diag(torch.tensor([*SPACING, 1.0]))
VOXEL_ML = 0.024


def label_map(**cubes: tuple[int, int, int]) -> MetaTensor:
    """Cubes of 6 voxels with the given first corners."""
    voxels = torch.zeros(1, 24, 24, 16, dtype=torch.uint8)
    for name, (x, y, z) in cubes.items():
        voxels[0, x : x + 6, y : y + 6, z : z + 6] = INDEX[name]
    return MetaTensor(voxels, affine=AFFINE)


class GiveBack(torch.nn.Module):
    """A network that has the answer in its input."""

    def forward(self, image):
        return image


def evaluate(items: list[dict], output_dir, **options) -> pd.DataFrame:
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(items, batch_size=options.pop("batch_size", 2)),
        network=GiveBack(),
        decollate=options.pop("decollate", True),
        val_handlers=[OrganMetrics(output_dir, **options)],
    ).run()
    return pd.read_csv(output_dir / "organ_metrics.csv", dtype={"case_id": str}).set_index(["case_id", "organ"])


@pytest.fixture
def two_cases() -> list[dict]:
    """A liver moved by one slice, spleen missed, stomach invented; a perfect liver of another source."""
    truth = label_map(liver=(1, 1, 1), spleen=(12, 12, 1))
    pred = label_map(liver=(1, 1, 2), stomach=(12, 1, 1))
    return [
        {
            "case_id": "007",
            "image": pred,
            "label": truth,
            "annotated": torch.tensor(annotated_channels("abdomen12")),
        },
        {
            "case_id": "b",
            "image": label_map(liver=(1, 1, 1), spleen=(12, 12, 1)),
            "label": label_map(liver=(1, 1, 1)),
            "annotated": torch.tensor(annotated_channels(["liver", "aorta"])),
        },
    ]


def test_measures_of_a_moved_a_missed_an_invented_and_an_absent_organ(two_cases, tmp_path):
    table = evaluate(two_cases, tmp_path, surface_tolerance_mm=5.0)
    liver = table.loc["007", "liver"]
    assert liver["dice"] == pytest.approx(5 / 6)
    assert liver["hd95_mm"] == 6
    # A cube of 6 has 152 surface voxels; the 36 of one end face are 6 mm away from the other cube.
    assert liver["surface_dice"] == pytest.approx(1 - 36 / 152)
    assert liver["volume_ml_truth"] == pytest.approx(216 * VOXEL_ML)
    for organ, volumes in {"spleen": (216, 0), "stomach": (0, 216)}.items():
        row = table.loc["007", organ]
        assert row[["dice", "hd95_mm", "surface_dice"]].tolist() == [0, math.inf, 0]
        assert row[["volume_ml_truth", "volume_ml_pred"]].tolist() == pytest.approx([n * VOXEL_ML for n in volumes])
    absent = table.loc["007", "aorta"]
    assert absent[["dice", "hd95_mm", "surface_dice"]].isna().all()
    assert absent[["volume_ml_truth", "volume_ml_pred"]].tolist() == [0, 0]


@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")  # MONAI's own call
@pytest.mark.filterwarnings("ignore:the (prediction|ground truth) of class:UserWarning")
def test_agrees_with_the_metrics_of_monai_on_whole_volumes():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 8, (2, 1, 6, 5, 4), generator=generator).float()
    pred, label = torch.nn.functional.interpolate(coarse, (24, 20, 12)).to(torch.uint8)
    masks = [one_hot(image[None], 13) for image in (pred, label)]
    rows = pd.DataFrame(measure_organs(pred, MetaTensor(label, affine=AFFINE), [4.0] * 12))[:7]
    expected = {
        "dice": compute_dice(*masks, include_background=False),
        "hd95_mm": compute_hausdorff_distance(*masks, percentile=95, spacing=SPACING),
        "surface_dice": compute_surface_dice(*masks, [4.0] * 12, spacing=SPACING),
    }
    for name, values in expected.items():
        assert rows[name].tolist() == pytest.approx(values[0, :7].tolist())


def test_organs_that_the_source_did_not_annotate_are_not_judged(two_cases, tmp_path):
    table = evaluate(two_cases, tmp_path)
    assert table.loc["b", "liver"][["dice", "hd95_mm", "surface_dice"]].tolist() == [1, 0, 1]
    spleen = table.loc["b", "spleen"]
    assert spleen[["dice", "hd95_mm", "surface_dice", "volume_ml_truth"]].isna().all()
    assert spleen["volume_ml_pred"] == pytest.approx(216 * VOXEL_ML)


def test_tolerance_is_in_mm_and_may_differ_by_organ(two_cases, tmp_path):
    by_organ = {**dict.fromkeys(ORGAN_NAMES, 1.0), "liver": 6.0}
    assert evaluate(two_cases, tmp_path, surface_tolerance_mm=by_organ).loc["007", "liver"]["surface_dice"] == 1
    assert evaluate(two_cases, tmp_path, surface_tolerance_mm=5.9).loc["007", "liver"]["surface_dice"] < 1


@pytest.mark.parametrize("batch_size", [1, 2])
def test_has_one_row_a_case_and_organ_in_order(two_cases, tmp_path, batch_size):
    table = evaluate(two_cases, tmp_path / "new", batch_size=batch_size)
    assert list(table.index) == [(case, organ) for case in ("007", "b") for organ in ORGAN_NAMES]
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"organ_metrics.csv", "organ_metrics.png"}
    assert imread(tmp_path / "new" / "organ_metrics.png").std() > 0


def test_names_a_case_by_its_label_file_without_the_folder(tmp_path):
    label = label_map(liver=(1, 1, 1))
    label.meta["filename_or_obj"] = "/archive/Doe_John/case_3.nii.gz"
    table = evaluate([{"image": label_map(liver=(1, 1, 1)), "label": label}], tmp_path)
    assert set(table.index.get_level_values("case_id")) == {"case_3"}


def test_prints_a_summary_with_the_mean_over_organs(two_cases, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    table = evaluate(two_cases, tmp_path)
    printed = capsys.readouterr().out
    assert "right kidney" in printed
    summary = summarise(table.reset_index()).set_index("organ")
    assert summary.loc["liver", "cases"] == 2
    assert summary.loc["liver", "dice_mean"] == pytest.approx((5 / 6 + 1) / 2)
    assert summary.loc["spleen", "hd95_median_mm"] == math.inf
    assert summary.loc["mean over organs", "dice_mean"] == pytest.approx(summary["dice_mean"][:-1].mean())
    evaluate(two_cases, tmp_path, show=False)
    assert capsys.readouterr().out == ""


def test_a_second_run_starts_anew(two_cases, tmp_path):
    handler = OrganMetrics(tmp_path, show=False)
    for items in (two_cases, two_cases[:1]):
        SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(items),
            network=GiveBack(),
            val_handlers=[handler],
        ).run()
    assert len(pd.read_csv(tmp_path / "organ_metrics.csv")) == len(ORGAN_NAMES)


def test_errors_name_the_case_and_what_was_found(two_cases, tmp_path):
    with pytest.raises(ValueError, match="surface_tolerance_mm"):
        OrganMetrics(tmp_path, surface_tolerance_mm={"liver": 1.0})
    with pytest.raises(ValueError, match="surface_tolerance_mm is -1"):
        OrganMetrics(tmp_path, surface_tolerance_mm=-1.0)
    with pytest.raises(ValueError, match="not decollated"):
        evaluate(two_cases, tmp_path, decollate=False)

    case = two_cases[0]
    wrong = {
        r"case 007: pred has shape \(2, 24, 24, 16\), expected": {"image": case["image"].repeat(2, 1, 1, 1)},
        "case 007: label has 24 x 24 x 16 voxels, expected 24 x 24 x 8 as pred": {"image": case["image"][..., :8]},
        "case 007: label lies up to 81.75 mm off the grid of pred, expected at most 0.10 mm": {
            "image": MetaTensor(case["image"].as_tensor(), affine=torch.eye(4))
        },
        "case 007: label is a Tensor without affine": {"label": case["label"].as_tensor()},
    }
    for message, change in wrong.items():
        with pytest.raises(ValueError, match=message):
            evaluate([{**case, **change}], tmp_path)


def test_a_label_stored_in_another_order_is_measured_alike(two_cases, tmp_path):
    case = two_cases[0]
    affine = AFFINE[:, [0, 2, 1, 3]] @ torch.tensor([[-1.0, 0, 0, 23], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    other = MetaTensor(case["label"].as_tensor().flip(1).transpose(2, 3).contiguous(), affine=affine)
    as_stored, turned = (
        evaluate([{**case, "label": label}], tmp_path, surface_tolerance_mm=5.0) for label in (case["label"], other)
    )
    pd.testing.assert_frame_equal(as_stored, turned)


def evaluate_cases(items: list[dict], output_dir) -> OrganMetrics:
    handler = OrganMetrics(output_dir, show=False)
    CaseEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(SetAsideDataset(items), batch_size=1),
        network=GiveBack(),
        val_handlers=[handler],
    ).run()
    return handler


def test_cases_set_aside_are_listed_and_the_others_measured(two_cases, tmp_path):
    bad = {"case_id": "a", "error": "a.nii.gz: truncated, badly"}
    moved = {
        **two_cases[1],
        "case_id": "c",
        "label": MetaTensor(two_cases[1]["label"].as_tensor(), affine=torch.eye(4)),
    }
    handler = evaluate_cases([bad, two_cases[0], moved], tmp_path)
    table = pd.read_csv(tmp_path / "organ_metrics.csv", dtype=str)
    assert table["case_id"].unique().tolist() == ["007"]
    assert len(table) == len(ORGAN_NAMES)
    listed = pd.read_csv(tmp_path / "set_aside.csv").set_index("case_id")["reason"]
    assert listed["a"] == "a.nii.gz: truncated, badly"
    assert listed["c"].startswith("case c: label lies up to ")
    with pytest.raises(SystemExit, match=r"^error: 2 of 3 cases set aside; see .*set_aside\.csv$"):
        handler.raise_for_set_aside()


def test_a_run_without_bad_cases_leaves_no_list_of_an_earlier_one(two_cases, tmp_path):
    evaluate_cases([{"case_id": "a", "error": "bad"}], tmp_path)
    handler = evaluate_cases(two_cases, tmp_path)
    handler.raise_for_set_aside()
    assert {path.name for path in tmp_path.iterdir()} == {"organ_metrics.csv", "organ_metrics.png"}


def test_where_every_case_is_bad_nothing_of_an_earlier_run_stays_in_the_table(two_cases, tmp_path):
    evaluate_cases(two_cases, tmp_path)
    handler = evaluate_cases([{"case_id": "a", "error": "bad"}, {"case_id": "b", "error": "bad"}], tmp_path)
    assert len(pd.read_csv(tmp_path / "organ_metrics.csv")) == 0
    with pytest.raises(SystemExit, match="^error: 2 of 2 cases set aside"):
        handler.raise_for_set_aside()


def test_in_one_process_no_case_is_taken_for_a_repetition(two_cases, tmp_path):
    table = evaluate([two_cases[1], {**two_cases[0], "case_id": "b"}], tmp_path)
    assert table.sort_index(kind="stable").loc[("b", "liver"), "dice"].tolist() == pytest.approx([1, 5 / 6])


def test_what_a_sampler_gave_to_two_processes_counts_once(two_cases, tmp_path, monkeypatch):
    handler = OrganMetrics(tmp_path, show=False)
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("ignite.distributed.all_gather", lambda rows: [rows, rows])
    CaseEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(SetAsideDataset([*two_cases, {"case_id": "c", "error": "bad"}]), batch_size=1),
        network=GiveBack(),
        val_handlers=[handler],
    ).run()
    assert len(pd.read_csv(tmp_path / "organ_metrics.csv")) == 2 * len(ORGAN_NAMES)
    with pytest.raises(SystemExit, match="^error: 1 of 3 cases set aside"):
        handler.raise_for_set_aside()
