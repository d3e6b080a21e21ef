"""The bundle as its users run it: through `monai.bundle`, on a small phantom cohort."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from bundle_runs import TORCHRUN, arguments, bundle_run, monai_bundle, parsed, settings_of
from dicom_files import write_series
from monai.bundle import ConfigWorkflow

from custom_components.anatomy import ORGAN_NAMES, ORGANS
from custom_components.preprocessing import ct_preprocessing
from custom_components.transforms.outlines import refine_outlines

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "baseline_seg"
TRAIN, EVALUATE, INFERENCE, PHANTOM, MULTI = (
    BUNDLE / "configs" / f"{name}.yaml" for name in ("train", "evaluate", "inference", "phantom", "multi_gpu_train")
)
METADATA = BUNDLE / "configs" / "metadata.json"
SMALL = {"network_def#channels": [4, 8, 16, 32], "num_workers": 0, "max_epochs": 3, "val_interval": 1}
"""A network that trains in seconds; everything else is the phantom's configuration."""


def train(cohort: Path, folder: Path, **override: object) -> subprocess.CompletedProcess:
    places = {"dataset_dir": cohort, "ckpt_dir": folder / "models", "output_dir": folder / "training"}
    return bundle_run("training", TRAIN, PHANTOM, **places, **{**SMALL, **override})


@pytest.fixture(scope="module")
def trained(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the weights and the output of a short training."""
    folder = tmp_path_factory.mktemp("trained")
    done = train(cohort, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("overlays", [(), (PHANTOM,)], ids=["full grid", "phantom grid"])
def test_train_evaluate_and_inference_have_the_same_preprocessing_and_network(overlays: tuple[Path, ...], cohort: Path):
    configs = [parsed(*files, *overlays) for files in ((INFERENCE,), (TRAIN,), (TRAIN, EVALUATE))]
    for item, only_in_training in (
        ("preprocessing", {"with_label", "cache_dir"}),
        ("network_def", set()),
        ("inferer", set()),
    ):
        one, *others = (
            {k: v for k, v in settings_of(config, item).items() if k not in only_in_training} for config in configs
        )
        assert one["_target_"]
        assert all(other == one for other in others)
    case = json.loads((cohort / "dataset.json").read_text())["training"][0]
    case = {key: str(cohort / path) for key, path in case.items()}
    configs = [parsed(*files, *overlays) for files in ((INFERENCE,), (TRAIN,), (TRAIN, EVALUATE))]
    one, *others = (config.get_parsed_content("preprocessing")(case)["image"] for config in configs)
    assert one.std() > 0.1
    assert all(torch.equal(other, one) and torch.equal(other.affine, one.affine) for other in others)


@pytest.mark.parametrize(("config", "kind"), [(TRAIN, "train"), (INFERENCE, "infer")])
def test_all_properties_of_the_bundle_specification_are_there(config: Path, kind: str, trained: Path, cohort: Path):
    workflow = ConfigWorkflow(
        config_file=[str(config), str(PHANTOM)],
        workflow_type=kind,
        dataset_dir=str(cohort),
        ckpt_dir=str(trained / "models"),
        output_dir=str(trained / "properties"),
        **SMALL,
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_metadata_matches_network_and_organs():
    config, formats = parsed(TRAIN), json.loads(METADATA.read_text())["network_data_format"]
    image, pred = formats["inputs"]["image"], formats["outputs"]["pred"]
    assert image["spatial_shape"] == pred["spatial_shape"] == config["roi_size"]
    assert pred["num_channels"] == config["network_def#out_channels"]
    organs = [name.replace("_", " ") for name in ORGAN_NAMES]
    assert list(pred["channel_def"].values()) == ["background", *organs]


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated:FutureWarning")  # MONAI exports no other form
def test_torchscript_export_gives_the_same_output(trained: Path):
    channels = {"network_def#channels": SMALL["network_def#channels"]}
    weights, script = trained / "models" / "model.pt", trained / "model.ts"
    done = monai_bundle(
        "ckpt_export", "network_def", "--filepath", script, "--ckpt_file", weights, "--meta_file", METADATA,
        "--config_file", [str(INFERENCE), str(PHANTOM)], "--network_def#channels", channels["network_def#channels"],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    network = parsed(INFERENCE, PHANTOM, **channels).get_parsed_content("network_def")
    network.load_state_dict(torch.load(weights, weights_only=True))
    x = torch.rand(1, 1, 64, 64, 32)
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(script)(x), network.eval()(x), atol=1e-5)


def test_training_leaves_weights_state_and_curve(trained: Path):
    assert set(torch.load(trained / "models" / "model.pt", weights_only=True)) == set(
        torch.load(trained / "models" / "training_state.pt", weights_only=True)["network"]
    )
    curve = pd.read_csv(trained / "training" / "learning_curve.csv")
    assert len(curve) == SMALL["max_epochs"]
    assert (trained / "training" / "learning_curve.png").stat().st_size > 5000


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    state = torch.load(folder / "models" / "training_state.pt", weights_only=True)
    assert state["trainer"]["iteration"] == 3 * 4
    return {**state["network"], **{f"kept.{name}": value for name, value in state["kept_network"].items()}}


KILL = """
+imports: [$import os, $import signal, $from ignite.engine import Events]
+train#handlers:
  - "$type('Kill', (), {'attach': lambda self, trainer: trainer.add_event_handler(
     Events.ITERATION_COMPLETED(once=6), os.kill, os.getpid(), signal.SIGKILL)})()"
"""
"""Overlay for a training that is killed after two of the four iterations of its second epoch."""


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_and_resumed_training_ends_with_the_same_weights_bit_for_bit(
    workers: int, cohort: Path, trained: Path, tmp_path: Path
):
    (tmp_path / "kill.yaml").write_text(KILL)
    places = {"dataset_dir": cohort, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "training"}
    override = {**SMALL, "num_workers": workers}
    killed = bundle_run("training", TRAIN, PHANTOM, tmp_path / "kill.yaml", **places, **override)
    assert killed.returncode == -signal.SIGKILL
    assert torch.load(tmp_path / "models" / "training_state.pt", weights_only=True)["trainer"]["iteration"] == 4

    done = train(cohort, tmp_path, resume=True, num_workers=workers)
    assert done.returncode == 0, done.stderr
    whole, resumed = last_weights(trained), last_weights(tmp_path)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    kept, kept_resumed = (
        torch.load(folder / "models" / "model.pt", weights_only=True) for folder in (trained, tmp_path)
    )
    assert all(torch.equal(kept[name], kept_resumed[name]) for name in kept)
    curves = [pd.read_csv(folder / "training" / "learning_curve.csv") for folder in (trained, tmp_path)]
    pd.testing.assert_frame_equal(*curves)


def test_finished_training_goes_on_when_it_gets_more_epochs_and_refuses_other_settings(cohort: Path, tmp_path: Path):
    # one epoch is less than the interval of validations, and there are weights all the same
    assert train(cohort, tmp_path, max_epochs=1, val_interval=5, ema_momentum=0).returncode == 0
    assert (tmp_path / "models" / "model.pt").is_file()
    picture = (tmp_path / "training" / "learning_curve.png").read_bytes()
    state = torch.load(tmp_path / "models" / "training_state.pt", weights_only=True)
    assert all(torch.equal(state["network"][name], state["kept_network"][name]) for name in state["network"])

    assert train(cohort, tmp_path, max_epochs=1, val_interval=5, ema_momentum=0, resume="true").returncode == 0
    assert (tmp_path / "training" / "learning_curve.png").read_bytes() == picture

    other = train(cohort, tmp_path, max_epochs=2, ema_momentum=0, resume=True, learning_rate=0.5)
    assert other.returncode == 1
    assert (
        "training_state.pt was saved with learning_rate 0.001, this run has 0.5: resume with the same" in other.stderr
    )
    assert "Traceback" not in other.stderr

    done = train(cohort, tmp_path, max_epochs=2, ema_momentum=0, resume=True)
    assert done.returncode == 0, done.stderr
    rates = pd.read_csv(tmp_path / "training" / "learning_curve.csv")["learning_rate"]
    assert rates.tolist() == pytest.approx([1e-3, 1e-3 * 0.5**0.9])


def test_loss_that_is_not_finite_stops_the_training_and_leaves_the_last_good_state(cohort: Path, tmp_path: Path):
    assert train(cohort, tmp_path, max_epochs=1, organ_weights="inverse_size").returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()}
    done = train(cohort, tmp_path, resume=True, organ_weights="inverse_size", **{"loss#smooth": "$float('nan')"})
    assert done.returncode == 1
    assert "error: loss is nan at epoch 2, iteration 5 (case phantom_train_" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()} == before


def test_evaluation_writes_metrics_of_every_case_and_organ(cohort: Path, trained: Path, tmp_path: Path):
    done = bundle_run(
        "evaluating", TRAIN, EVALUATE, PHANTOM,
        dataset_dir=cohort, ckpt_dir=trained / "models", output_dir=tmp_path, **SMALL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    metrics = pd.read_csv(tmp_path / "organ_metrics.csv")
    assert metrics.groupby("case_id").size().tolist() == [12, 12]
    assert metrics["dice"].notna().all()  # subjects of the narrow distribution lack no organ
    assert metrics["dice"].dropna().between(0, 1).all()
    assert (tmp_path / "organ_metrics.png").stat().st_size > 5000


def infer(folder: Path, output: Path, trained: Path, **override: object) -> subprocess.CompletedProcess:
    small = {"network_def#channels": SMALL["network_def#channels"], "num_workers": 0}
    return bundle_run(
        "inferring", INFERENCE, PHANTOM,
        dataset_dir=folder, output_dir=output, ckpt_dir=trained / "models", **{**small, **override},
    )  # fmt: skip


def test_inference_writes_labels_on_the_grid_of_each_image(cohort: Path, trained: Path, tmp_path: Path):
    done = infer(cohort / "imagesTs", tmp_path, trained)
    assert done.returncode == 0, done.stderr
    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary["status"].tolist() == ["ok"] * 3
    for case in summary["case_id"]:
        image, label = (
            nib.load(cohort / "imagesTs" / f"{case}.nii.gz"),
            nib.load(tmp_path / case / f"{case}_seg.nii.gz"),
        )
        assert label.shape == image.shape
        assert label.get_data_dtype() == np.uint8
        np.testing.assert_allclose(label.affine, image.affine, atol=1e-4)
        assert set(np.unique(np.asarray(label.dataobj))) <= set(range(13))


def test_refined_outlines_are_those_of_the_plain_segmentation(cohort: Path, trained: Path, tmp_path: Path):
    for name, refine in (("plain", "false"), ("refined", "true")):
        done = infer(cohort / "imagesTs", tmp_path / name, trained, refine_outlines=refine)
        assert done.returncode == 0, done.stderr
    spacing = (5.25, 5.25, 12.0)
    load = ct_preprocessing(pixdim=spacing, roi_size=(64, 64, 32), hu_window=(-175, 275), with_label=True)
    moved = 0
    for image in sorted((cohort / "imagesTs").glob("*.nii.gz")):
        case = image.name.removesuffix(".nii.gz")
        plain, refined = (
            load({"image": image, "label": tmp_path / name / case / f"{case}_seg.nii.gz"})
            for name in ("plain", "refined")
        )
        before, after = (np.asarray(one["label"])[0].astype(np.uint8) for one in (plain, refined))
        assert np.array_equal(after, refine_outlines(np.asarray(plain["image"])[0], before, spacing=spacing))
        moved += np.count_nonzero(before != after)
    assert moved


def test_finished_cases_are_skipped_and_bad_ones_set_aside(cohort: Path, trained: Path, tmp_path: Path):
    folder, output = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    good = sorted((cohort / "imagesTs").glob("*.nii.gz"))[0]
    (folder / "good.nii.gz").write_bytes(good.read_bytes())
    (folder / "cut.nii.gz").write_bytes(good.read_bytes()[:5000])
    (folder / "text.nii.gz").write_text("no image at all")
    first = infer(folder, output, trained)
    assert first.returncode == 1
    assert "2 of 3 cases set aside" in first.stderr
    written = (output / "good" / "good_seg.nii.gz").stat().st_mtime_ns
    second = infer(folder, output, trained, overwrite="false")
    assert second.returncode == 1
    assert (output / "good" / "good_seg.nii.gz").stat().st_mtime_ns == written
    summary = pd.read_csv(output / "summary.csv").set_index("case_id")
    assert summary["status"].to_dict() == {"cut": "set_aside", "good": "skipped", "text": "set_aside"}
    assert summary.loc["good", "liver_ml"] >= 0
    assert infer(folder, output, trained, overwrite="true").returncode == 1
    assert (output / "good" / "good_seg.nii.gz").stat().st_mtime_ns != written


def as_series(image: Path, folder: Path, **tags: object) -> None:
    """Write a CT as a DICOM series."""
    ct = nib.as_closest_canonical(nib.load(image))
    voxels = np.asarray(ct.dataobj)[::-1, ::-1].astype(np.int16)  # from RAS to the axes of DICOM
    x, y, z = (float(mm) for mm in ct.header.get_zooms())
    write_series(folder, voxels, position=lambda i: [0.0, 0.0, z * i], PixelSpacing=[y, x], **tags)


def test_dicom_series_come_back_as_dicom_seg(cohort: Path, trained: Path, tmp_path: Path):
    folder, output = tmp_path / "in", tmp_path / "out"
    images = sorted((cohort / "imagesTs").glob("*.nii.gz"))
    as_series(images[0], folder / "whole", SliceThickness=None)
    as_series(images[1], folder / "part", FrameOfReferenceUID=None)
    (folder / "other.nii.gz").write_bytes(images[1].read_bytes())
    first = infer(folder, output, trained, output_dicom_seg=True)
    assert first.returncode == 1
    assert "error: 1 of 3 cases set aside" in first.stderr
    assert "DICOM SEG: 1 written, 1 failed, none of 1 cases that are no DICOM series" in first.stdout
    assert not {"Secret", "highdicom"} & set(re.findall(r"\w+", first.stdout + first.stderr))
    summary = pd.read_csv(output / "summary.csv").set_index("case_id")
    assert summary["status"].to_dict() == {"other": "ok", "part": "set_aside", "whole": "ok"}
    assert summary.loc["part", "reason"] == "no DICOM SEG: a slice lacks FrameOfReferenceUID"
    assert [path.name for path in sorted(output.glob("*/*"))] == [
        "other_seg.nii.gz", "part_seg.nii.gz", "whole_seg.dcm", "whole_seg.nii.gz",
    ]  # fmt: skip

    seg, label = output / "whole" / "whole_seg.dcm", output / "whole" / "whole_seg.nii.gz"
    labels = np.asarray(nib.load(label).dataobj)
    assert labels.any()
    assert np.array_equal(labels_in(seg, labels.shape), labels)

    shutil.rmtree(folder / "part")
    seg.unlink()
    before = label.stat().st_mtime_ns
    again = infer(folder, output, trained, output_dicom_seg=True)
    assert again.returncode == 0, again.stderr
    assert label.stat().st_mtime_ns == before
    assert np.array_equal(labels_in(seg, labels.shape), labels)


def labels_in(seg: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The labels (X, Y, Z) of a DICOM SEG of slices 0, 1, ... along z."""
    numbers = {organ.name.replace("_", " "): organ.index for organ in ORGANS}
    header = pydicom.dcmread(seg)
    organs = [numbers[one.SegmentLabel] for one in header.SegmentSequence]
    step = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    labels = np.zeros(shape, np.uint8)
    frames = header.pixel_array.reshape(-1, *header.pixel_array.shape[-2:])
    for frame, groups in zip(frames, header.PerFrameFunctionalGroupsSequence, strict=True):
        k = round(groups.PlanePositionSequence[0].ImagePositionPatient[2] / step)
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        labels[..., k][frame.T > 0] = organs[number - 1]
    return labels


def test_user_errors_are_one_line(cohort: Path, trained: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    empty = infer(tmp_path / "empty", tmp_path / "out", trained)
    no_weights = infer(cohort / "imagesTs", tmp_path / "out", tmp_path)
    no_cohort = train(tmp_path / "empty", tmp_path)
    no_validation = train(cohort, tmp_path, **{"validate#dataset#data": []})
    no_switch = infer(cohort / "imagesTs", tmp_path / "out", trained, overwrite="maybe")
    for done, text in (
        (empty, "found no files"),
        (no_weights, "bundles/baseline_seg/configs/train.yaml`, or name a file with --ckpt_path"),
        (no_cohort, "dataset.json"),
        (no_validation, "error: no cases: train#dataset#data and validate#dataset#data need one at least"),
        (no_switch, "error: overwrite is 'maybe', expected true or false"),
    ):
        assert done.returncode != 0
        assert "Traceback" not in done.stderr, done.stderr
        assert text in done.stderr


def test_cases_of_a_list_are_segmented_under_the_names_that_it_gives(cohort: Path, trained: Path, tmp_path: Path):
    image = sorted((cohort / "imagesTs").glob("*.nii.gz"))[0]
    (tmp_path / "list.csv").write_text(f"image,case_id\n{image},anna\nabsent.nii.gz,berta\n")
    done = infer(tmp_path / "unused", tmp_path / "csv", trained, datalist=tmp_path / "list.csv")
    assert done.returncode == 1
    summary = pd.read_csv(tmp_path / "csv" / "summary.csv").set_index("case_id")
    assert summary["status"].to_dict() == {"anna": "ok", "berta": "set_aside"}
    assert (tmp_path / "csv" / "anna" / "anna_seg.nii.gz").is_file()

    done = infer(tmp_path / "unused", tmp_path / "json", trained, datalist=cohort / "dataset.json", section="unlabeled")
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(tmp_path / "json" / "summary.csv")["case_id"].tolist() == ["phantom_unlabeled_000"]


def test_works_from_the_bundles_own_directory(cohort: Path, trained: Path, tmp_path: Path):
    done = bundle_run(
        "run", Path("configs/inference.yaml"), Path("configs/phantom.yaml"), cwd=BUNDLE,
        dataset_dir=cohort / "imagesTs", output_dir=tmp_path, ckpt_dir=trained / "models",
        **{"network_def#channels": SMALL["network_def#channels"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*/*_seg.nii.gz"))) == 3


def test_two_processes_train_together_also_with_one_validation_case(cohort: Path, tmp_path: Path):
    datalist = json.loads((cohort / "dataset.json").read_text())
    datalist["validation"] = datalist["validation"][:1]
    for case in datalist["training"] + datalist["validation"]:
        case.update({key: str(cohort / path) for key, path in case.items()})
    datalist["training"][0]["label_set"] = ["liver", "spleen"]
    datalist["training"][1]["label_set"] = "amos"
    (tmp_path / "dataset.json").write_text(json.dumps(datalist))
    done = monai_bundle(
        *arguments(
            "training", TRAIN, PHANTOM, MULTI,
            dataset_dir=tmp_path, ckpt_dir=tmp_path / "models", output_dir=tmp_path / "training", **SMALL,
        ),
        launcher=TORCHRUN,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    state = torch.load(tmp_path / "models" / "training_state.pt", weights_only=True)
    assert state["trainer"]["iteration"] == 3 * 2
    events = list((tmp_path / "training").glob("events.out.tfevents.*"))
    assert len(events) == 2  # of the trainer and the evaluator, of one process
