"""The body-part regressor, trained as users train it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from body_part_volumes import write_regressor, write_trunk
from bundle_runs import bundle_run, parsed, settings_of

from custom_components.body_part.body_part_crop import BodyPartCrop
from custom_components.body_part.evaluate import slices_of
from custom_components.body_part.regressor import BodyPartRegressor
from custom_components.data.phantom import RawForm, write_cohort
from custom_components.data.readers import read_volume
from custom_components.preprocessing import body_part_preprocessing

CONFIG = Path(__file__).resolve().parents[2] / "bundles" / "baseline_seg" / "configs" / "body_part.yaml"
CONFIGS = CONFIG.parents[2]
SMALL = {"max_epochs": 2, "epoch_batches": 3, "batch_size": 2, "val_interval": 1, "num_workers": 0}


@pytest.fixture(scope="module")
def trunks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trunks")
    write_cohort(
        folder, training=4, validation=1, test=0, unlabeled=1, grid=RawForm(64, slice_mm=(8.0, 8.1)), workers=2
    )
    (folder / "imagesTs" / "phantom_unlabeled_000.nii.gz").write_bytes(b"broken")
    return folder


def test_training_leaves_calibrated_weights_and_goes_on(trunks: Path, tmp_path: Path):
    options = {"dataset_dir": trunks, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "eval", **SMALL}
    run = bundle_run("training", CONFIG, **options)
    assert run.returncode == 0, run.stderr
    assert "phantom_unlabeled_000: left out: " in run.stderr + run.stdout
    assert "top of the liver: -4.00" in run.stderr + run.stdout
    regressor = BodyPartRegressor.load(tmp_path / "models" / "body_part.pt")
    found = regressor(read_volume(trunks / "imagesTr" / "phantom_val_000.nii.gz"))
    assert len(found.scores) == len(found.slices.images)
    more = bundle_run("training", CONFIG, **options | {"resume": True, "max_epochs": 3})
    assert more.returncode == 0, more.stderr
    start = torch.load(tmp_path / "models" / "body_part.pt", weights_only=True)
    options |= {"ckpt_dir": tmp_path / "other", "start_path": tmp_path / "models" / "body_part.pt", "max_epochs": 1}
    other = bundle_run("training", CONFIG, **options | {"learning_rate": 1e-9})
    assert other.returncode == 0, other.stderr
    end = torch.load(tmp_path / "other" / "body_part.pt", weights_only=True)
    torch.testing.assert_close(end["height.weight"], start["height.weight"], atol=1e-6, rtol=0)


def test_evaluation_leaves_a_table_and_pictures(trunks: Path, tmp_path: Path):
    weights = write_regressor(tmp_path / "models" / "body_part.pt")
    options = {"dataset_dir": trunks, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "eval", **SMALL}
    lists = json.loads((trunks / "dataset.json").read_text())
    lists["training"].append({**lists["training"][0], "image": "imagesTs/phantom_unlabeled_000.nii.gz"})
    (trunks / "evaluated.json").write_text(json.dumps(lists))
    chosen = {"datalist": trunks / "evaluated.json", "evaluation_section": "training", "pictures": 2}
    run = bundle_run("evaluating", CONFIG, **options | chosen)
    assert run.returncode == 1, run.stderr
    assert run.stderr.strip().splitlines()[-1].startswith("error: 1 of 5 cases set aside; see ")
    assert "4 cases, of which the crop refuses" in run.stdout + run.stderr
    table = pd.read_csv(tmp_path / "eval" / "body_part.csv", index_col="case_id")
    assert len(table) == 5
    assert "phantom_unlabeled_000.nii.gz: " in table.loc["phantom_unlabeled_000", "finding"]
    regressor = BodyPartRegressor.load(weights)
    case = table.index[0]
    found = regressor.of_slices(slices_of(body_part_preprocessing()({"image": trunks / "imagesTr" / f"{case}.nii.gz"})))
    assert table.loc[case, "slope"] == pytest.approx(found.line.slope / regressor.slope, rel=1e-3)
    assert sorted(path.name for path in (tmp_path / "eval").glob("*.png")) == [f"{one}.png" for one in table.index[:2]]
    missing = bundle_run("evaluating", CONFIG, **options | {"ckpt_dir": tmp_path / "absent"})
    assert missing.returncode == 1
    assert (
        missing.stderr.strip().splitlines()[-1].endswith("no such file, expected the weights of a body-part regressor")
    )


def test_too_few_landmarks_are_one_line_and_weights_are_calibrated_later(trunks: Path, tmp_path: Path):
    earlier = write_regressor(tmp_path / "models" / "body_part.pt")
    before = Path(earlier).read_bytes()
    options = {"dataset_dir": trunks, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "eval", **SMALL}
    run = bundle_run("training", CONFIG, **options | {"calibration_section": "validation", "max_epochs": 1})
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1].startswith("error: 1 labelled cases show the ")
    assert Path(earlier).read_bytes() == before
    with pytest.raises(ValueError, match=r"body_part_best\.pt: the body-part regressor is not calibrated"):
        BodyPartRegressor.load(tmp_path / "models" / "body_part_best.pt")
    later = bundle_run("calibrating", CONFIG, **options)
    assert later.returncode == 0, later.stderr
    trained = torch.load(tmp_path / "models" / "body_part_best.pt", weights_only=True)
    assert torch.equal(torch.load(earlier, weights_only=True)["height.weight"], trained["height.weight"])
    assert (tmp_path / "models" / "body_part.previous.pt").read_bytes() == before


def test_a_list_without_labels_ends_before_the_training(trunks: Path, tmp_path: Path):
    options = {"dataset_dir": trunks, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "eval", **SMALL}
    run = bundle_run("training", CONFIG, **options | {"calibration_section": "unlabeled"})
    assert run.returncode == 1
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert "label" in last
    assert not (tmp_path / "models").exists()


def test_all_configurations_of_all_bundles_crop_alike(tmp_path: Path):
    weights = write_regressor(tmp_path / "baseline_seg" / "models" / "body_part.pt")
    crops = {}
    for bundle in ("baseline_seg", "qa_semi_seg", "qa_discriminator"):
        configs, root = CONFIGS / bundle / "configs", str(tmp_path / bundle)
        for names in (("train",), ("train", "evaluate"), ("inference",)):
            files = [configs / f"{name}.yaml" for name in names]
            config = parsed(*files, bundle_root=root)
            items = ["preprocessing", *(["unlabeled#preprocessing"] if "unlabeled" in config else [])]
            items += ["finished#transform"] if "finished" in config else []
            for item in items:
                crops[bundle, names, item] = settings_of(config, item)["body_part"]
            small = parsed(*files, configs / "phantom.yaml", bundle_root=root)
            assert settings_of(small, "preprocessing")["body_part"] is None
            off = parsed(*files, bundle_root=root, body_part_path="none")
            assert settings_of(off, "preprocessing")["body_part"] is None
    assert set(crops.values()) == {BodyPartCrop(weights, (-6.0, 6.0))}
    assert len(crops) == 9 + 2 + 2


@pytest.mark.parametrize("bundle", ["baseline_seg", "qa_semi_seg", "qa_discriminator"])
def test_a_training_goes_on_with_the_same_crop_only(bundle: str, tmp_path: Path):
    write_regressor(tmp_path / bundle / "models" / "body_part.pt")
    train = CONFIGS / bundle / "configs" / "train.yaml"
    texts = []
    for override in ({}, {"body_part_scores": [-5, 6]}, {"body_part_path": None}):
        config = parsed(train, bundle_root=str(tmp_path / bundle), **override)
        (place,) = [place for place, one in enumerate(config["train#handlers"]) if "settings" in one]
        texts.append(config.get_parsed_content(f"train#handlers#{place}#settings#body_part"))
    assert len(set(texts)) == 3
    assert texts[2] == "None"


def test_inference_on_whole_trunks(tmp_path: Path):
    weights = write_regressor(tmp_path / "body_part.pt")
    scans = tmp_path / "scans"
    scans.mkdir()
    write_trunk(scans / "whole.nii.gz", -290, 400)
    write_trunk(scans / "part.nii.gz", -90, 60)
    write_trunk(scans / "reverse.nii.gz", -290, 400, reverse=True)
    config = CONFIGS / "baseline_seg" / "configs" / "inference.yaml"
    network = parsed(config).get_parsed_content("network_def")
    with torch.no_grad():  # finds the same organ everywhere
        for parameter in network.parameters():
            parameter.zero_()
        list(network.parameters())[-1][:] = torch.arange(13) == 6
    torch.save(network.state_dict(), tmp_path / "model.pt")
    options = {
        "dataset_dir": scans, "ckpt_path": tmp_path / "model.pt", "body_part_path": weights,
        "pixdim": "[4,4,6]", "roi_size": "[40,40,72]", "num_workers": 0,
    }  # fmt: skip
    run = bundle_run("inferring", config, output_dir=tmp_path / "out", **options)
    assert run.returncode == 1, run.stderr
    assert (tmp_path / "out" / "summary.csv").is_file(), run.stderr
    table = pd.read_csv(tmp_path / "out" / "summary.csv", index_col="case_id")
    assert table["status"].to_dict() == {"part": "ok", "whole": "ok", "reverse": "set_aside"}
    assert table.loc["reverse", "reason"] == "case reverse: has its slices in reverse order: slice scores grow upwards"
    assert "case part: covers slice scores -1.9 to 2.8 of -6 to 6: padded" in run.stdout + run.stderr
    other = bundle_run("inferring", config, output_dir=tmp_path / "out", **options, body_part_scores="[-6,0]")
    assert (
        "whole: its image, or its crop, is not the one that was segmented before: done again"
        in other.stdout + other.stderr
    )
    upper = np.asarray(nib.load(tmp_path / "out" / "whole" / "whole_seg.nii.gz").dataobj).any((0, 1))
    assert (np.flatnonzero(upper) * 5 - 290)[[0, -1]] == pytest.approx([0, 192], abs=10)
    bundle_run("inferring", config, output_dir=tmp_path / "out", **options)
    found = {name: nib.load(tmp_path / "out" / name / f"{name}_seg.nii.gz") for name in ("whole", "part")}
    for name, image in found.items():
        scan = nib.load(scans / f"{name}.nii.gz")
        assert image.shape == scan.shape
        assert np.array_equal(image.affine, scan.affine)
    heights = np.flatnonzero(np.asarray(found["whole"].dataobj).any((0, 1))) * 5 - 290
    assert heights[[0, -1]] == pytest.approx([-192, 192], abs=10)
    assert np.asarray(found["part"].dataobj).all()
    again = bundle_run("inferring", config, output_dir=tmp_path / "out", **options, body_part_repair=True)
    assert again.returncode == 0, again.stderr
    turned = np.asarray(nib.load(tmp_path / "out" / "reverse" / "reverse_seg.nii.gz").dataobj)
    heights = 400 - np.flatnonzero(turned.any((0, 1))) * 5
    assert heights[[-1, 0]] == pytest.approx([-192, 192], abs=10)


def write_labelled_trunks(folder: Path) -> Path:
    """Two trunks to train with and one to validate with; of both kinds one more in reverse order, which is refused."""
    lists: dict[str, list[dict[str, object]]] = {"training": [], "validation": [], "test": []}
    for section, name in [("training", "back"), ("training", "one"), ("training", "two"), ("validation", "other"),
                          ("validation", "wrong")]:  # fmt: skip
        write_trunk(folder / f"{name}.nii.gz", -290, 400, reverse=name in ("back", "wrong"))
        image = nib.load(folder / f"{name}.nii.gz")
        labels = np.where(np.asarray(image.dataobj) > 0, 6, 0).astype(np.uint8)
        nib.save(nib.Nifti1Image(labels, image.affine), folder / f"{name}_label.nii.gz")
        paths = {"image": f"{name}.nii.gz", "label": f"{name}_label.nii.gz"}
        lists[section].append({**paths, "segmentation": paths["label"], "case_id": name, "code": 0})
    (folder / "dataset.json").write_text(json.dumps(lists))
    return write_regressor(folder / "body_part.pt")


REFUSED = "has its slices in reverse order: slice scores grow upwards"


def test_a_training_sets_aside_what_the_crop_refuses(tmp_path: Path):
    weights = write_labelled_trunks(tmp_path)
    options = {
        "dataset_dir": tmp_path, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "eval", "max_epochs": 1,
        "body_part_path": weights, "pixdim": "[4,4,12]", "roi_size": "[40,40,32]", "num_workers": 0,
    }  # fmt: skip
    run = bundle_run("training", CONFIGS / "baseline_seg" / "configs" / "train.yaml", **options)
    assert run.returncode == 0, run.stderr
    log = run.stdout + run.stderr
    assert f"1 of 3 cases cannot be used and are set aside: case back: {REFUSED}" in log
    assert f"1 of 2 cases cannot be used and are set aside: case wrong: {REFUSED}" in log
    assert torch.load(tmp_path / "models" / "training_state.pt", weights_only=True)["trainer"]["epoch_length"] == 2
    assert (tmp_path / "models" / "model.pt").is_file()


@pytest.mark.parametrize("bundle", ["qa_semi_seg", "qa_discriminator"])
def test_what_was_set_aside_is_not_drawn(bundle: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    weights = write_labelled_trunks(tmp_path)
    config = parsed(
        CONFIGS / bundle / "configs" / "train.yaml", datalist=str(tmp_path / "dataset.json"), body_part_path=weights,
        pixdim=[4, 4, 12], roi_size=[40, 40, 32], montage_size=[64, 64], batch_size=1, pseudo_section=None,
        num_workers=0,
    )  # fmt: skip
    loader = config.get_parsed_content("train#dataloader")
    assert f"1 of 3 cases cannot be used and are set aside: case back: {REFUSED}" in caplog.messages
    assert [case["case_id"] for case in loader.dataset.data] == ["one", "two"]
    assert len(list(loader)) == 2
