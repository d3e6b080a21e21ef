"""The bundle as its users run it: through `monai.bundle`, on rated segmentations of phantoms."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
from bundle_runs import TORCHRUN, arguments, bundle_run, monai_bundle, parsed, settings_of
from monai.bundle import ConfigParser, ConfigWorkflow
from numpy.random import RandomState

from custom_components.anatomy import label_map
from custom_components.data.montage_png import read_montage_png
from custom_components.data.phantom import write_cohort
from custom_components.data.qa_datalist import write_qa_datalist
from custom_components.data.qa_sources import QASource, joined_entries
from custom_components.data.simulated_codes import rate_cohort
from custom_components.report.montages import write_montages
from custom_components.transforms.corruption_modes import MODES
from custom_components.transforms.corruption_scene import Scene

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "qa_discriminator"
TRAIN, EVALUATE, INFERENCE, PHANTOM, MULTI = (
    BUNDLE / "configs" / f"{name}.yaml" for name in ("train", "evaluate", "inference", "phantom", "multi_gpu_train")
)
METADATA = BUNDLE / "configs" / "metadata.json"
SMALL = {"montage_size": [64, 64], "num_workers": 0, "max_epochs": 2, "batch_size": 4, "imagenet_weights": "none"}
"""Montages with which ResNet-18 trains in seconds; everything else is the phantom's configuration."""

GRID = {"pixdim": (5.25, 5.25, 12.0), "roi_size": (64, 64, 32)}


REAL_CT = Path(__file__).resolve().parents[3] / "shared" / "data" / "real_ct"


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with 16 phantoms, a segmentation of each that is perfect or spoilt, their codes, and the datalist."""
    folder = tmp_path_factory.mktemp("rated")
    write_cohort(folder, training=0, validation=0, test=16, seed=3, shift=0.3, workers=1)
    rng = RandomState(0)
    for number, path in enumerate(sorted((folder / "truth").glob("*.nii.gz"))):
        label = nib.load(path)
        voxels = np.asarray(label.dataobj).astype(np.uint8)
        mode = ("", "empty", "shrunken", "shifted")[number % 4]
        if mode:
            voxels = MODES[mode](Scene(voxels, (5.25, 5.25, 12.0), None, ()), rng)
        case = path.name.removesuffix(".nii.gz")
        (folder / "segmentations" / case).mkdir(parents=True)
        nib.save(nib.Nifti1Image(voxels, label.affine), folder / "segmentations" / case / f"{case}_seg.nii.gz")
    counts = rate_cohort(folder / "segmentations", folder / "truth", folder / "codes.csv").counts
    assert min(counts[0], counts[2]) >= 4
    source = QASource(
        codes=folder / "codes.csv", images=folder / "imagesTs", segmentations=folder / "segmentations",
        truth=folder / "truth",
    )  # fmt: skip
    write_qa_datalist(folder / "qa_dataset.json", joined_entries([source]), validation=0.25, test=0.25)
    return folder


def test_the_recipe_is_the_published_one():
    config = ConfigParser.load_config_files(str(TRAIN))
    assert config["loss"] == {"_target_": "torch.nn.MSELoss"}
    assert (config["optimizer"]["_target_"], config["learning_rate"]) == ("torch.optim.Adam", 1e-4)
    assert config["train"]["dataloader"]["sampler"] == "@train#sampler"
    assert config["train"]["sampler"]["weights"].startswith("$code_weights(@train#dataset.data, ")
    assert config["fooled_weight"] == 1
    (metric,) = config["validate"]["key_metric"].values()
    assert metric["_target_"] == "ignite.metrics.RootMeanSquaredError"
    assert "@validate#best" in config["validate"]["handlers"]
    is_better = parsed(TRAIN).get_parsed_content("validate#evaluator#metric_cmp_fn")
    assert is_better(0.4, 0.5)
    assert not is_better(0.5, 0.4)


def train(rated: Path, folder: Path, **override: object) -> subprocess.CompletedProcess:
    places = {"dataset_dir": rated, "ckpt_dir": folder / "models", "output_dir": folder / "training"}
    return bundle_run("training", TRAIN, PHANTOM, **places, **{**SMALL, **override})


@pytest.fixture(scope="module")
def trained(rated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the weights and the output of a short training."""
    folder = tmp_path_factory.mktemp("trained")
    done = train(rated, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_watcher_sees_coronal_slices_goes_on_from_earlier_weights_and_scores(
    rated: Path, trained: Path, tmp_path: Path
):
    watcher = BUNDLE / "configs" / "watcher.yaml"
    start = trained / "models" / "model.pt"
    places = {"dataset_dir": rated, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "training"}
    options = {**SMALL, "max_epochs": 1, "learning_rate": 0.0, "ema_momentum": 0, "start_path": start}
    done = bundle_run("training", TRAIN, PHANTOM, watcher, **places, **options)
    assert done.returncode == 0, done.stderr
    weights, before = (torch.load(path, weights_only=True) for path in (tmp_path / "models" / "model.pt", start))
    parameters = [name for name in before if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(weights[name], before[name]) for name in parameters)
    found = {}
    for name in ("axial", "coronal"):
        done = bundle_run(
            "inferring", INFERENCE, PHANTOM, view=name, dataset_dir=rated / "imagesTs", montage_size=[64, 64],
            segmentation_dir=rated / "segmentations", ckpt_dir=trained / "models", output_dir=tmp_path / name,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found[name] = scores_of(tmp_path / name).sort_index()
    assert (found["axial"] != found["coronal"]).all()
    case = found["axial"].index[0]
    png = [(tmp_path / name / "montages" / f"{case}.png").read_bytes() for name in found]
    assert png[0] == png[1]  # people see axial slices all the same
    missing = bundle_run("training", TRAIN, PHANTOM, **places, **{**options, "start_path": tmp_path / "absent.pt"})
    assert missing.returncode == 1
    assert "absent.pt: make them with" in missing.stderr
    assert "--start_path" in missing.stderr


@pytest.mark.parametrize("overlays", [(), (PHANTOM,)], ids=["full grid", "phantom grid"])
def test_train_evaluate_and_inference_have_the_same_preprocessing_and_network(overlays: tuple[Path, ...], rated: Path):
    configs = [parsed(*files, *overlays) for files in ((INFERENCE,), (TRAIN,), (TRAIN, EVALUATE))]
    for item in ("preprocessing", "network_def", "inferer"):
        one, *others = (settings_of(config, item) for config in configs)
        assert one["_target_"]
        assert all(other == one for other in others)
    case = json.loads((rated / "qa_dataset.json").read_text())["test"][0]
    case = {key: str(rated / case[key]) for key in ("image", "segmentation")}
    montages = []
    for config in configs:
        config["png_dir"] = None
        prepared = config.get_parsed_content("preprocessing")(case)
        montages.append(config.get_parsed_content("postprocessing")(prepared)["montage"])
    assert montages[0].std() > 0.1
    assert all(torch.equal(other, montages[0]) for other in montages)


@pytest.mark.parametrize(("config", "kind"), [(TRAIN, "train"), (INFERENCE, "infer")])
def test_all_properties_of_the_bundle_specification_are_there(config: Path, kind: str, trained: Path, rated: Path):
    places = {"dataset_dir": str(rated)}
    if kind == "infer":
        places = {"dataset_dir": str(rated / "imagesTs"), "segmentation_dir": str(rated / "segmentations")}
    workflow = ConfigWorkflow(
        config_file=[str(config), str(PHANTOM)],
        workflow_type=kind,
        ckpt_dir=str(trained / "models"),
        output_dir=str(trained / "properties"),
        **places,
        **SMALL,
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_metadata_matches_the_network():
    metadata, config = json.loads(METADATA.read_text()), parsed(TRAIN)
    image, pred = (
        metadata["network_data_format"][side][name] for side, name in (("inputs", "image"), ("outputs", "pred"))
    )
    assert image["spatial_shape"] == config["montage_size"]
    network = config.get_parsed_content("network_def").eval()
    assert network(torch.rand(1, image["num_channels"], 64, 64)).shape == (1, pred["num_channels"])


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated:FutureWarning")  # MONAI exports no other form
def test_torchscript_export_gives_the_same_output(trained: Path):
    weights, script = trained / "models" / "model.pt", trained / "model.ts"
    done = monai_bundle(
        "ckpt_export", "network_def", "--filepath", script, "--ckpt_file", weights, "--meta_file", METADATA,
        "--config_file", [str(INFERENCE), str(PHANTOM)],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    network = parsed(INFERENCE).get_parsed_content("network_def")
    network.load_state_dict(torch.load(weights, weights_only=True))
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(script)(x), network.eval()(x), atol=1e-5)


def test_training_leaves_weights_state_curve_and_interval(trained: Path):
    assert set(torch.load(trained / "models" / "model.pt", weights_only=True)) == set(
        torch.load(trained / "models" / "training_state.pt", weights_only=True)["network"]
    )
    curve = pd.read_csv(trained / "training" / "learning_curve.csv")
    assert len(curve) == SMALL["max_epochs"]
    assert {"train_loss", "val_rmse", "val_accuracy"} <= set(curve)
    assert (trained / "training" / "learning_curve.png").stat().st_size > 5000
    beside = json.loads((trained / "models" / "model.json").read_text())
    assert beside["validation_rmse"] == pytest.approx(curve["val_rmse"].min(), abs=0.02)  # the kept epoch is the lowest
    assert beside["score_interval"]["coverage"] == 0.9
    assert beside["score_interval"]["half_width"] > 0


KILL = """
+imports: [$import os, $import signal, $from ignite.engine import Events]
+train#handlers:
  - "$type('Kill', (), {'attach': lambda self, trainer: trainer.add_event_handler(
     Events.ITERATION_COMPLETED(once=3), os.kill, os.getpid(), signal.SIGKILL)})()"
"""
"""Overlay for a training that is killed after one of the two iterations of its second epoch."""


def test_killed_and_resumed_training_ends_with_the_same_weights_bit_for_bit(rated: Path, trained: Path, tmp_path: Path):
    (tmp_path / "kill.yaml").write_text(KILL)
    places = {"dataset_dir": rated, "ckpt_dir": tmp_path / "models", "output_dir": tmp_path / "training"}
    killed = bundle_run("training", TRAIN, PHANTOM, tmp_path / "kill.yaml", **places, **SMALL)
    assert killed.returncode == -signal.SIGKILL
    assert torch.load(tmp_path / "models" / "training_state.pt", weights_only=True)["trainer"]["iteration"] == 2
    done = train(rated, tmp_path, resume=True, num_workers=1)
    assert done.returncode == 0, done.stderr
    whole, resumed = (
        torch.load(folder / "models" / "training_state.pt", weights_only=True)["network"]
        for folder in (trained, tmp_path)
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    curves = [pd.read_csv(folder / "training" / "learning_curve.csv") for folder in (trained, tmp_path)]
    pd.testing.assert_frame_equal(*curves)


def test_evaluation_writes_measures_and_predictions(rated: Path, trained: Path, tmp_path: Path):
    places = {"dataset_dir": rated, "ckpt_dir": trained / "models", "output_dir": tmp_path, "resamples": 50}
    done = bundle_run("evaluating", TRAIN, EVALUATE, PHANTOM, **places, **SMALL)
    assert done.returncode == 0, done.stderr
    entries = json.loads((rated / "qa_dataset.json").read_text())["test"]
    table = pd.read_csv(tmp_path / "qa_predictions.csv").set_index("case_id")
    assert table["code"].to_dict() == {entry["case_id"]: entry["code"] for entry in entries}
    metrics = json.loads((tmp_path / "qa_metrics.json").read_text())
    assert metrics["cases"] == len(entries)
    assert metrics["metrics"]["mae"]["value"] == pytest.approx((table["score"] - table["code"]).abs().mean(), abs=1e-3)
    assert np.sum(metrics["confusion"]["counts"]) == len(entries)
    assert "quadratic weighted kappa" in (tmp_path / "qa_metrics.txt").read_text()
    assert (tmp_path / "qa_metrics.png").stat().st_size > 5000


def test_an_evaluation_sets_bad_cases_aside(rated: Path, trained: Path, tmp_path: Path):
    datalist = json.loads((rated / "qa_dataset.json").read_text())
    for case in datalist["test"]:
        case.update({key: str(rated / case[key]) for key in ("image", "segmentation", "truth")})
    bad = [case["case_id"] for case in datalist["test"][:2]]
    (tmp_path / "cut.nii.gz").write_bytes(Path(datalist["test"][0]["segmentation"]).read_bytes()[:900])
    datalist["test"][0]["segmentation"] = "cut.nii.gz"
    datalist["test"][1]["image"] = "absent.nii.gz"
    (tmp_path / "qa_dataset.json").write_text(json.dumps(datalist))
    places = {"dataset_dir": tmp_path, "ckpt_dir": trained / "models", "output_dir": tmp_path / "out", "resamples": 10}
    done = bundle_run("evaluating", TRAIN, EVALUATE, PHANTOM, **places, **SMALL)
    assert done.returncode == 1
    assert f"2 of {len(datalist['test'])} cases set aside" in done.stderr
    assert "Traceback" not in done.stderr
    reasons = pd.read_csv(tmp_path / "out" / "set_aside.csv").set_index("case_id")["reason"]
    assert reasons[bad[0]].startswith("segmentation cut.nii.gz: truncated")
    assert reasons[bad[1]] == "the datalist names the image absent.nii.gz, which does not exist"
    assert len(pd.read_csv(tmp_path / "out" / "qa_predictions.csv")) == len(datalist["test"]) - 2


def score(images: Path, segmentations: Path, output: Path, trained: Path, **override: object):
    small = {"montage_size": SMALL["montage_size"], "num_workers": 0}
    return bundle_run(
        "inferring", INFERENCE, PHANTOM, dataset_dir=images, segmentation_dir=segmentations, output_dir=output,
        ckpt_dir=trained / "models", **{**small, **override},
    )  # fmt: skip


@pytest.fixture(scope="module")
def scored(rated: Path, trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a scoring run over all segmentations."""
    folder = tmp_path_factory.mktemp("scored")
    done = score(rated / "imagesTs", rated / "segmentations", folder, trained)
    assert done.returncode == 0, done.stderr
    return folder


def test_scores_are_sorted_worst_first_with_interval_and_montage(scored: Path):
    table = pd.read_csv(scored / "qa_scores.csv")
    assert list(table)[:7] == ["case_id", "score", "code", "low", "high", "montage", "status"]
    assert len(table) == 16
    assert table["score"].is_monotonic_decreasing
    assert (table["low"] <= table["score"].clip(0, 2)).all()
    assert (table["high"] >= table["score"].clip(0, 2)).all()
    assert (table["code"] == np.floor(table["score"] + 0.5).clip(0, 2)).all()
    for montage in table["montage"]:
        assert read_montage_png(scored / montage).shape == (3, 384, 384)


def scores_of(folder: Path) -> pd.Series:
    return pd.read_csv(folder / "qa_scores.csv").set_index("case_id")["score"]


def test_montages_give_the_same_scores_as_what_they_were_made_of(
    scored: Path, rated: Path, trained: Path, tmp_path: Path
):
    write_montages(rated / "imagesTs", rated / "segmentations", tmp_path / "png", workers=0, **GRID)
    done = score(Path(), Path(), tmp_path / "out", trained, montage_dir=tmp_path / "png")
    assert done.returncode == 0, done.stderr
    one, other = scores_of(scored).sort_index(), scores_of(tmp_path / "out").sort_index()
    pd.testing.assert_series_equal(one, other, atol=0.02, rtol=0)


@pytest.mark.parametrize("label_set", ["btcv", "totalsegmentator"])
def test_other_numberings_give_the_same_scores(
    label_set: str, scored: Path, rated: Path, trained: Path, tmp_path: Path
):
    back = {ours: number for number, ours in label_map(label_set).items()}
    for path in sorted((rated / "segmentations").glob("*/*.nii.gz"))[:3]:
        label = nib.load(path)
        voxels = np.asarray(label.dataobj).astype(np.uint8)
        renumbered = np.select([voxels == ours for ours in back], list(back.values()), 0).astype(np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "labels").mkdir(exist_ok=True)
        name = f"{path.parent.name}.nii.gz"
        shutil.copy(rated / "imagesTs" / name, tmp_path / "images")
        nib.save(nib.Nifti1Image(renumbered, label.affine), tmp_path / "labels" / name)
    done = score(tmp_path / "images", tmp_path / "labels", tmp_path / "out", trained, label_set=label_set)
    assert done.returncode == 0, done.stderr
    ours, theirs = scores_of(scored), scores_of(tmp_path / "out")
    assert len(theirs) == 3
    assert theirs.to_dict() == ours[theirs.index].to_dict()


def test_a_real_ct_in_other_numberings_gives_the_same_score(trained: Path, tmp_path: Path):
    if not REAL_CT.is_dir():
        pytest.skip(f"{REAL_CT} is absent")
    label = nib.load(REAL_CT / "trunk_labels.nii.gz")
    voxels = np.asarray(label.dataobj)
    on_the_right = np.arange(len(voxels))[:, None, None] < len(voxels) / 2
    (tmp_path / "images").mkdir()
    shutil.copy(REAL_CT / "trunk_ct.nii.gz", tmp_path / "images" / "trunk.nii.gz")
    found = {}
    for label_set in ("abdomen12", "btcv", "totalsegmentator"):
        theirs = np.zeros_like(voxels)
        for number, ours in label_map(label_set).items():
            # of two numbers for the adrenal glands, one is for each side
            theirs[(voxels == ours) & ((theirs == 0) | on_the_right)] = number
        folder = tmp_path / label_set
        folder.mkdir()
        nib.save(nib.Nifti1Image(theirs, label.affine), folder / "trunk.nii.gz")
        done = score(tmp_path / "images", folder, tmp_path / f"{label_set}_out", trained, label_set=label_set)
        assert done.returncode == 0, done.stderr
        found[label_set] = scores_of(tmp_path / f"{label_set}_out").to_dict()
        png = tmp_path / f"{label_set}_out" / "montages" / "trunk.png"
        assert png.read_bytes() == (tmp_path / "abdomen12_out" / "montages" / "trunk.png").read_bytes()
        expected = set(label_map(label_set)) - {
            n for n, ours in label_map(label_set).items() if not (voxels == ours).any()
        }
        assert set(np.unique(theirs)) - {0} == expected
    assert found["btcv"] == found["totalsegmentator"] == found["abdomen12"]


def test_bad_cases_are_set_aside_and_finished_ones_skipped(rated: Path, trained: Path, tmp_path: Path):
    images, labels, output = tmp_path / "images", tmp_path / "labels", tmp_path / "out"
    images.mkdir()
    labels.mkdir()
    good = sorted((rated / "imagesTs").glob("*.nii.gz"))[0]
    segmentation = (rated / "segmentations" / good.name.removesuffix(".nii.gz")).glob("*").__next__()
    for name in ("good", "cut", "lonely", "moved"):
        shutil.copy(good, images / f"{name}.nii.gz")
    for name in ("good", "cut", "orphan"):
        shutil.copy(segmentation, labels / f"{name}.nii.gz")
    (labels / "cut.nii.gz").write_bytes(segmentation.read_bytes()[:900])
    label = nib.load(segmentation)
    nib.save(nib.Nifti1Image(np.asarray(label.dataobj), label.affine + 5 * np.eye(4, k=3)), labels / "moved.nii.gz")

    first = score(images, labels, output, trained)
    assert first.returncode == 1
    assert "4 of 5 cases set aside" in first.stderr
    assert "Traceback" not in first.stderr
    table = pd.read_csv(output / "qa_scores.csv").set_index("case_id")
    reasons = {"cut": "truncated", "lonely": "no segmentation", "moved": "off the grid", "orphan": "no image"}
    assert table["status"].to_dict() == dict.fromkeys(reasons, "set_aside") | {"good": "ok"}
    assert table.index[0] == "good"
    for case, reason in reasons.items():
        assert reason in table.loc[case, "reason"]
        assert str(tmp_path) not in table.loc[case, "reason"]

    png = (output / "montages" / "good.png").stat().st_mtime_ns
    second = score(images, labels, output, trained)
    assert "1 skipped (finished before)" in second.stdout + second.stderr
    assert (output / "montages" / "good.png").stat().st_mtime_ns == png
    assert pd.read_csv(output / "qa_scores.csv").set_index("case_id").loc["good"].equals(table.loc["good"])

    nib.save(nib.Nifti1Image(np.zeros(label.shape, np.uint8), label.affine), labels / "good.nii.gz")
    third = score(images, labels, output, trained)
    assert "1 scored" in third.stdout + third.stderr  # another segmentation under the same name
    assert pd.read_csv(output / "qa_scores.csv").set_index("case_id").loc["good", "score"] != table.loc["good", "score"]


def test_user_errors_are_one_line(rated: Path, trained: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    images, labels = rated / "imagesTs", rated / "segmentations"
    for done, text in (
        (score(tmp_path / "empty", labels, tmp_path / "out", trained), "empty"),
        (score(images, tmp_path / "absent", tmp_path / "out", trained), "absent"),
        (score(images, labels, tmp_path / "out", tmp_path), "qa_discriminator/configs/train.yaml`"),
        (score(images, labels, tmp_path / "out", trained, label_set="mine"), "label_set is 'mine'"),
        (train(tmp_path / "empty", tmp_path), "qa_dataset.json"),
        (train(rated, tmp_path, imagenet_weights=tmp_path / "no.pth"), "no.pth"),
    ):
        assert done.returncode != 0
        assert "Traceback" not in done.stderr, done.stderr
        assert text in done.stderr


def test_a_lab_trains_from_the_montages_that_it_has(rated: Path, tmp_path: Path):
    write_montages(rated / "imagesTs", rated / "segmentations", tmp_path / "png", workers=0, **GRID)
    source = QASource(codes=rated / "codes.csv", montages=tmp_path / "png")
    write_qa_datalist(tmp_path / "qa_dataset.json", joined_entries([source]), validation=0.25, test=0.25)
    done = train(tmp_path, tmp_path, max_epochs=1)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models" / "model.json").is_file()


def test_two_processes_train_together(rated: Path, tmp_path: Path):
    done = monai_bundle(
        *arguments(
            "training", TRAIN, PHANTOM, MULTI,
            dataset_dir=rated, ckpt_dir=tmp_path / "models", output_dir=tmp_path / "training", **SMALL,
        ),
        launcher=TORCHRUN,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    beside = json.loads((tmp_path / "models" / "model.json").read_text())
    assert beside["score_interval"]["cases"] == len(json.loads((rated / "qa_dataset.json").read_text())["validation"])
    curve = pd.read_csv(tmp_path / "training" / "learning_curve.csv")
    # each process validated its share with the network that is kept
    assert beside["validation_rmse"] == pytest.approx(curve["val_rmse"].min(), rel=1e-4)
    state = torch.load(tmp_path / "models" / "training_state.pt", weights_only=True)
    assert state["trainer"]["iteration"] == 2 * state["trainer"]["epoch_length"]


def test_a_watcher_does_not_take_the_place_of_its_discriminator():
    places = []
    for overlays in ([], [BUNDLE / "configs" / "watcher.yaml"]):
        parser = ConfigParser()
        parser.read_config([str(path) for path in (TRAIN, *overlays)])
        places.append({Path(parser.get_parsed_content(name)) for name in ("ckpt_dir", "output_dir")})
    assert not places[0] & places[1]
    assert all("watcher" in path.parts for path in places[1])
