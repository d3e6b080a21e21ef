"""The bundle as its users run it: through `monai.bundle`, from weights of the other two."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from bundle_runs import TORCHRUN, arguments, bundle_run, monai_bundle, parsed, settings_of
from monai.bundle import ConfigParser, ConfigWorkflow

from custom_components.anatomy import JUDGED_ORGANS
from custom_components.data.case_files import sha256_of
from custom_components.handlers.refined_outlines import RefinedOutlines
from custom_components.networks import QADiscriminator

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = ROOT / "bundles"
BUNDLE = BUNDLES / "qa_semi_seg"
TRAIN, PUBLISHED, EVALUATE, INFERENCE, PHANTOM, MULTI = (
    BUNDLE / "configs" / f"{name}.yaml"
    for name in ("train", "train_published", "evaluate", "inference", "phantom", "multi_gpu_train")
)
BASELINE = BUNDLES / "baseline_seg" / "configs"
QA = BUNDLES / "qa_discriminator" / "configs"
SMALL = {
    "network_def#channels": [4, 8, 16, 32], "montage_size": [64, 64],
    "num_workers": 0, "max_epochs": 3, "val_interval": 1,
}  # fmt: skip
"""A network that trains in seconds; everything else is the phantom's configuration."""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of a baseline and of a discriminator, at random."""
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(0)
    network = parsed(TRAIN, PUBLISHED, PHANTOM, **{"network_def#channels": SMALL["network_def#channels"]})
    torch.save(network.get_parsed_content("network_def").state_dict(), folder / "baseline.pt")
    torch.save(QADiscriminator().state_dict(), folder / "discriminator.pt")
    return {"baseline_path": folder / "baseline.pt", "discriminator_paths": folder / "discriminator.pt"}


def test_candidates_are_refined_where_the_first_result_is(start: dict[str, Path], cohort: Path, tmp_path: Path):
    places = {"dataset_dir": str(cohort / "imagesTs"), "output_dir": str(tmp_path)}
    judged = {"discriminator_path": str(start["discriminator_paths"]), "candidates": 2, **places}
    for refined in (True, False):
        parser = parsed(INFERENCE, PHANTOM, refine_outlines=refined, **judged)
        refine = parser.get_parsed_content("handlers#1").candidates.refine
        assert isinstance(getattr(refine, "__self__", None), RefinedOutlines) is refined


def test_another_network_is_a_candidate_and_leaves_the_one_that_segments(start: dict[str, Path], tmp_path: Path):
    other = tmp_path / "other.yaml"
    source = "{_target_: custom_components.learning.candidates.OtherNetwork, network: '@network_def', "
    other.write_text(f"candidate_sources:\n  - {source}path: {start['baseline_path']}, inferer: '@inferer'}}\n")
    small = {"network_def#channels": SMALL["network_def#channels"]}
    parser = parsed(INFERENCE, PHANTOM, other, **small)
    before = {name: one.clone() for name, one in parser.get_parsed_content("network").state_dict().items()}
    (candidate,) = parser.get_parsed_content("candidate_sources")
    weights = torch.load(start["baseline_path"])
    assert all(torch.equal(one, weights[name]) for name, one in candidate.network.state_dict().items())
    now = parser.get_parsed_content("network").state_dict()
    assert all(torch.equal(one, before[name]) for name, one in now.items())
    assert not torch.equal(now["model.0.conv.unit0.conv.weight"], weights["model.0.conv.unit0.conv.weight"])


def train(
    cohort: Path, folder: Path, start: dict[str, Path], *overlays: Path, **override: object
) -> subprocess.CompletedProcess:
    places = {"dataset_dir": cohort, "ckpt_dir": folder / "models", "output_dir": folder / "training"}
    return bundle_run("training", TRAIN, PUBLISHED, PHANTOM, *overlays, **places, **{**start, **SMALL, **override})


@pytest.fixture(scope="module")
def trained(cohort: Path, start: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the weights and the output of a short training."""
    folder = tmp_path_factory.mktemp("trained")
    done = train(cohort, folder, start)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def coded(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datalist in which the unlabelled cases have a segmentation that was coded 0; it is their truth."""
    folder = tmp_path_factory.mktemp("coded")
    cases = [Path(case["image"]).name for case in json.loads((cohort / "dataset.json").read_text())["unlabeled"]]
    for name in cases:
        shutil.copy(cohort / "truth" / name, folder / name)
    rows = [f"{name.removesuffix('.nii.gz')},0" for name in cases]
    (folder / "codes.csv").write_text("\n".join(["case_id,code", *rows]))
    command = ["pseudo_labels", folder / "dataset.json", "--datalist", cohort / "dataset.json"]
    command += ["--segmentations", folder, "--codes", folder / "codes.csv"]
    done = subprocess.run(
        [sys.executable, "-m", "custom_components", *map(str, command)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder / "dataset.json"


def learn(coded: Path, folder: Path, start: dict[str, Path], *overlays: Path, **override: object):
    """Run the default training, with pseudo-labels and without a discriminator."""
    places = {"datalist": coded, "ckpt_dir": folder / "models", "output_dir": folder / "training"}
    places |= {"baseline_path": start["baseline_path"], "discriminator_paths": folder / "absent.pt"}
    return bundle_run("training", TRAIN, PHANTOM, *overlays, **places, **{**SMALL, "epoch_cases": 4, **override})


def test_default_training_learns_from_pseudo_labels_and_resumes_bit_for_bit(
    coded: Path, start: dict[str, Path], tmp_path: Path
):
    (tmp_path / "kill.yaml").write_text(KILL)
    options = {"appearance_section": "coded", "lr_power": 0.9}
    whole = learn(coded, tmp_path / "whole", start, **options)
    assert whole.returncode == 0, whole.stderr
    killed = learn(coded, tmp_path / "parts", start, tmp_path / "kill.yaml", **options)
    assert killed.returncode == -signal.SIGKILL
    done = learn(coded, tmp_path / "parts", start, resume=True, **options)
    assert done.returncode == 0, done.stderr
    states = [
        torch.load(tmp_path / name / "models" / "training_state.pt", weights_only=True) for name in ("whole", "parts")
    ]
    assert states[0]["trainer"]["iteration"] == 12
    assert "qa_score_loss" not in states[0]
    for name in states[0]["network"]:
        assert torch.equal(states[0]["network"][name], states[1]["network"][name])
    rates = pd.read_csv(tmp_path / "parts" / "training" / "learning_curve.csv")["learning_rate"]
    assert rates.tolist() == pytest.approx([1.0e-4 * (1 - epoch / 3) ** 0.9 for epoch in range(3)])
    for number, others in enumerate(({"pseudo_section": "null"}, {"appearance_section": "null"})):
        found = learn(coded, tmp_path / f"other{number}", start, **{**options, **others})
        assert found.returncode == 0, found.stderr
        other = torch.load(tmp_path / f"other{number}" / "models" / "training_state.pt", weights_only=True)["network"]
        assert any(not torch.equal(other[name], states[0]["network"][name]) for name in other)


def test_a_datalist_without_pseudo_labels_is_one_line(cohort: Path, start: dict[str, Path], tmp_path: Path):
    done = learn(cohort / "dataset.json", tmp_path, start)
    assert done.returncode == 1
    assert "section 'pseudo' not found, found training, validation, unlabeled" in done.stderr
    assert "python -m custom_components pseudo_labels" in done.stderr
    assert "Traceback" not in done.stderr


def test_codes_of_measured_segmentations_choose_among_networks(cohort: Path, start: dict[str, Path], tmp_path: Path):
    torch.manual_seed(7)
    network = parsed(INFERENCE, PHANTOM, **{"network_def#channels": SMALL["network_def#channels"]})
    torch.save(network.get_parsed_content("network_def").state_dict(), tmp_path / "other.pt")
    common = {
        "dataset_dir": cohort / "imagesTs", "ckpt_path": start["baseline_path"], "num_workers": 0,
        "committee_paths": tmp_path / "other.pt", "network_def#channels": SMALL["network_def#channels"],
    }  # fmt: skip
    done = bundle_run("inferring", INFERENCE, PHANTOM, output_dir=tmp_path / "first", measure=True, **common)
    assert done.returncode == 0, done.stderr
    measured = pd.read_csv(tmp_path / "first" / "measurements.csv")
    codes = pd.DataFrame({"case_id": measured["case_id"], "code": [number % 3 for number in range(len(measured))]})
    codes.to_csv(tmp_path / "codes.csv", index=False)
    often = -(-20 // len(measured))  # so few cases, so often
    judges = {
        "rated_segmentations": ",".join([str(tmp_path / "first")] * often),
        "rated_codes": ",".join([str(tmp_path / "codes.csv")] * often),
    }
    done = bundle_run(
        "inferring", INFERENCE, PHANTOM, output_dir=tmp_path / "taken", candidates=16, candidate_limit=-9,
        **judges, **common,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = pd.read_csv(tmp_path / "taken" / "summary.csv").set_index("case_id")
    assert (summary["score"] <= summary["first_score"]).all()
    assert not summary["candidate"].eq("first").all()
    both = bundle_run(
        "inferring", INFERENCE, PHANTOM, output_dir=tmp_path / "both", **judges, **common,
        discriminator_path=start["discriminator_paths"],
    )  # fmt: skip
    assert both.returncode == 1
    assert "are both given, expected one of them: only one can judge" in both.stderr


@pytest.mark.parametrize("overlays", [(), (PHANTOM,)], ids=["full grid", "phantom grid"])
def test_all_configurations_have_the_preprocessing_and_network_of_the_baseline(overlays: tuple[Path, ...]):
    small = [BASELINE / "phantom.yaml"] if overlays else []
    baseline = parsed(BASELINE / "inference.yaml", *small)
    for files in ((INFERENCE,), (TRAIN,), (TRAIN, PUBLISHED), (TRAIN, EVALUATE)):
        config = parsed(*files, *overlays)
        for item in ("preprocessing", "network_def", "inferer"):
            found, wanted = (settings_of(one, item) for one in (config, baseline))
            found = {name: value for name, value in found.items() if name not in ("with_label", "cache_dir")}
            assert found == wanted, (files, item)
    config = parsed(TRAIN, *overlays)
    unlabelled = settings_of(config, "unlabeled#preprocessing")
    assert unlabelled == settings_of(baseline, "preprocessing") | {"cache_dir": None}
    sizes = [
        parsed(path)["montage_size"] for path in (TRAIN, INFERENCE, BASELINE / "inference.yaml", QA / "train.yaml")
    ]
    assert sizes == [[256, 256]] * 4


def test_inference_is_that_of_the_baseline():
    ours, baseline = (
        path.read_text().replace(path.parent.parent.name, "") for path in (INFERENCE, BASELINE / "inference.yaml")
    )
    assert ours == baseline


@pytest.mark.parametrize(
    ("configs", "kind"),
    [((TRAIN,), "train"), ((TRAIN, PUBLISHED), "train"), ((INFERENCE,), "infer")],
    ids=["default", "published", "inference"],
)
def test_all_properties_of_the_bundle_specification_are_there(
    configs: tuple[Path, ...], kind: str, trained: Path, coded: Path, cohort: Path, start: dict[str, Path]
):
    workflow = ConfigWorkflow(
        config_file=[*map(str, configs), str(PHANTOM)],
        workflow_type=kind,
        dataset_dir=str(cohort),
        datalist=None if kind == "infer" else str(coded),
        ckpt_dir=str(trained / "models"),
        output_dir=str(trained / "properties"),
        **{name: str(path) for name, path in start.items()},
        **SMALL,
    )
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.parametrize("overlays", [(), (PHANTOM,), (MULTI,)], ids=["alone", "phantom", "several processes"])
def test_numbers_are_those_of_the_published_recipe(overlays: tuple[Path, ...]):
    config = parsed(TRAIN, PUBLISHED, *overlays)
    assert config["optimizer#_target_"] == "torch.optim.Adam"
    numbers = {name: config[name] for name in ("learning_rate", "qa_weight", "qa_interval", "accumulation_steps")}
    assert numbers == {"learning_rate": 1e-4, "qa_weight": 1.0, "qa_interval": 1, "accumulation_steps": 1}
    assert (config["qa_batch_size"], config["train#dataloader#batch_size"]) == (1, 1)
    assert config["loss#cross_entropy_weight"] == 0  # Dice alone
    assert (config["pseudo_section"], config["epoch_cases"]) == (None, None)
    off = ("qa_ramp", "max_norm", "ema_momentum", "jitter", "uncertainty", "anchor_weight")
    assert [name for name in off if config[name]] == []


def anchored(**override: object) -> ConfigParser:
    """The configuration with an anchor, and of the handlers only the one that averages."""
    config = parsed(
        TRAIN, PUBLISHED, PHANTOM, **{"network_def#channels": SMALL["network_def#channels"], "anchor_weight": 1}
    )
    config["train#handlers"] = config["train#handlers"][:1]
    for name, value in override.items():
        config[name] = value
    config.parse()
    return config


def test_anchor_teacher_is_the_start_or_the_running_average():
    config = anchored()
    teacher, network = config.get_parsed_content("unlabeled#anchor").teacher, config.get_parsed_content("network")
    assert teacher is not network
    assert all(map(torch.equal, teacher.state_dict().values(), network.state_dict().values()))
    config = anchored(anchor_teacher="average", ema_momentum=0.1)
    assert config.get_parsed_content("unlabeled#anchor").teacher is config.get_parsed_content("averaged").ema_model


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("average", "anchor_teacher is 'average' and ema_momentum is 0, expected an ema_momentum above 0"),
        ("baseline", "anchor_teacher is 'baseline', expected start or average"),
        ("$@network", "anchor_teacher is UNet, expected start or average"),
    ],
)
def test_an_anchor_teacher_that_is_not_there_is_one_line(value: str, message: str):
    with pytest.raises(SystemExit, match=f"^error: {message}$"):
        anchored(anchor_teacher=value).get_parsed_content("unlabeled#anchor")


def test_training_starts_from_the_baseline_and_leaves_weights_state_and_curve(trained: Path, start: dict[str, Path]):
    state = torch.load(trained / "models" / "training_state.pt", weights_only=True)
    weights = torch.load(trained / "models" / "model.pt", weights_only=True)
    assert all(torch.equal(weights[name], state["network"][name]) for name in state["network"])
    before = torch.load(start["baseline_path"], weights_only=True)
    moved = [float((weights[name] - before[name]).abs().max()) for name in before]
    assert 0 < max(moved) < 0.01  # 12 steps of Adam with 1e-4
    qa_state = state["qa_score_loss"]
    assert {name: qa_state[name] for name in ("done", "left_out", "drawn", "unlabeled_cases")} == {
        "done": 12, "left_out": 0, "drawn": 12, "unlabeled_cases": 1,
    }  # fmt: skip
    curve = pd.read_csv(trained / "training" / "learning_curve.csv")
    assert curve[["train_qa_loss", "train_qa_score", "train_grad_norm"]].notna().all(axis=None)
    assert (trained / "training" / "learning_curve.png").stat().st_size > 5000


KILL = """
+imports: [$import os, $import signal, $from ignite.engine import Events]
+train#handlers:
  - "$type('Kill', (), {'attach': lambda self, trainer: trainer.add_event_handler(
     Events.ITERATION_COMPLETED(once=6), os.kill, os.getpid(), signal.SIGKILL)})()"
"""
"""Overlay for a training that is killed after two of the four iterations of its second epoch."""


def test_killed_and_resumed_training_ends_with_the_same_weights_bit_for_bit(
    cohort: Path, start: dict[str, Path], tmp_path: Path
):
    (tmp_path / "kill.yaml").write_text(KILL)
    options = {
        "qa_ramp": 9, "jitter": 0.5, "straight_through": True, "anchor_weight": 0.5, "ema_momentum": 0.1,
        "max_norm": 0.5, "unlabeled_workers": 1, "unlabeled_cache_rate": 0.0, "monitor_interval": 3,
        "watcher_paths": start["discriminator_paths"],
    }  # fmt: skip
    whole = train(cohort, tmp_path / "whole", start, **options)
    assert whole.returncode == 0, whole.stderr
    killed = train(cohort, tmp_path / "parts", start, tmp_path / "kill.yaml", **options)
    assert killed.returncode == -signal.SIGKILL
    done = train(cohort, tmp_path / "parts", start, resume=True, **options)
    assert done.returncode == 0, done.stderr
    states = [
        torch.load(tmp_path / name / "models" / "training_state.pt", weights_only=True) for name in ("whole", "parts")
    ]
    assert states[0]["trainer"]["iteration"] == 12
    for part in ("network", "kept_network"):
        assert all(torch.equal(states[0][part][name], states[1][part][name]) for name in states[0][part])
    assert states[0]["qa_score_loss"] == states[1]["qa_score_loss"]
    curves = [pd.read_csv(tmp_path / name / "training" / "learning_curve.csv") for name in ("whole", "parts")]
    pd.testing.assert_frame_equal(*curves)
    looks = [pd.read_csv(tmp_path / name / "training" / "fooling.csv") for name in ("whole", "parts")]
    assert list(looks[0]["iteration"]) == [0, 1, 2, 3, 6, 9, 12]
    assert looks[0]["watcher_score"].notna().all()
    pd.testing.assert_frame_equal(*looks)


def test_every_number_that_makes_another_experiment_is_among_the_settings_of_the_state():
    config = parsed(TRAIN)
    (state,) = (one for one in config["train#handlers"] if one["_target_"].endswith("TrainingState"))
    names = list(config.get())
    numbers = names[names.index("seed") : names.index("network_def")]
    free = {"max_epochs", "max_nonfinite", "resume", "keep", "val_interval", "num_workers", "compile"}
    free |= {
        "cache_dir",
        "unlabeled_cache_rate",
        "unlabeled_workers",
        "watcher_paths",
        "watcher_view",
        "reference_section",
    }
    free |= {"monitor_interval", "monitor_cases", "monitor_stop", "monitor_start_path", "monitor_limits"}
    crop = {"body_part_path", "body_part_scores", "body_part_repair"}  # all in the text of body_part
    assert set(numbers) - free - crop == set(state["settings"]) - {"cross_entropy_weight", "body_part"}


def test_another_experiment_is_not_resumed(cohort: Path, trained: Path, start: dict[str, Path], tmp_path: Path):
    shutil.copytree(trained / "models", tmp_path / "models")
    torch.manual_seed(9)
    torch.save(QADiscriminator().state_dict(), tmp_path / "other.pt")
    for changed, message in (
        ({"jitter": 1}, "training_state.pt was saved with jitter 0, this run has 1: resume with the same"),
        (
            {"discriminator_paths": tmp_path / "other.pt"},
            "training_state.pt does not fit this configuration: saved with discrimi",
        ),
    ):
        done = train(cohort, tmp_path, start, resume=True, max_epochs=4, **changed)
        assert done.returncode == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("learner", ["published", "default"])
def test_two_processes_train_together(cohort: Path, coded: Path, start: dict[str, Path], tmp_path: Path, learner: str):
    configs = (TRAIN, PUBLISHED, PHANTOM, MULTI) if learner == "published" else (TRAIN, PHANTOM, MULTI)
    done = monai_bundle(
        *arguments(
            "training", *configs, dataset_dir=cohort, datalist=coded, ckpt_dir=tmp_path / "models",
            output_dir=tmp_path / "training", **start, **SMALL,
        ),
        launcher=TORCHRUN,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    state = torch.load(tmp_path / "models" / "training_state.pt", weights_only=True)
    if learner == "published":
        assert state["trainer"]["iteration"] == 3 * 2
        assert state["qa_score_loss"]["done"] == 3 * 2
    else:
        assert state["trainer"]["iteration"] == 3 * 3  # 4 labelled and 1 pseudo-labelled case for two


def test_evaluation_and_inference_take_the_trained_weights(
    cohort: Path, trained: Path, start: dict[str, Path], tmp_path: Path
):
    channels = {"network_def#channels": SMALL["network_def#channels"], "ckpt_dir": trained / "models"}
    done = bundle_run(
        "evaluating", TRAIN, EVALUATE, PHANTOM, dataset_dir=cohort, output_dir=tmp_path / "evaluation", **channels
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "evaluation" / "organ_metrics.csv").is_file()
    done = bundle_run(
        "inferring", INFERENCE, PHANTOM, dataset_dir=cohort / "imagesTs", output_dir=tmp_path / "segmentations",
        discriminator_path=start["discriminator_paths"], **channels,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary = pd.read_csv(tmp_path / "segmentations" / "summary.csv").set_index("case_id")
    assert summary["score"].notna().all()
    done = bundle_run(
        "inferring", QA / "inference.yaml", QA / "phantom.yaml", dataset_dir=cohort / "imagesTs",
        segmentation_dir=tmp_path / "segmentations", ckpt_path=start["discriminator_paths"],
        output_dir=tmp_path / "scores",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    ranked = bundle_run(
        "inferring", INFERENCE, PHANTOM, dataset_dir=cohort / "imagesTs", output_dir=tmp_path / "ranked", candidates=17,
        candidate_limit=-9, discriminator_path=start["discriminator_paths"], **channels,
    )  # fmt: skip
    assert ranked.returncode == 0, ranked.stderr
    taken = pd.read_csv(tmp_path / "ranked" / "summary.csv").set_index("case_id")
    organs = {f"{organ}_{shift:+g}" for organ in JUDGED_ORGANS for shift in (-1.5, 1.5, -3, 3)}
    assert set(taken["candidate"]) <= {"first", "gamma_0.6"} | organs
    assert (taken["first_score"] - summary["score"]).abs().max() < 1e-3
    assert (taken["score"] <= taken["first_score"]).all()
    scores = pd.read_csv(tmp_path / "scores" / "qa_scores.csv").set_index("case_id")
    assert (scores["score"] - summary["score"]).abs().max() < 0.01  # of the files that were written
    torch.manual_seed(9)
    torch.save(QADiscriminator().state_dict(), tmp_path / "other.pt")
    done = bundle_run(
        "inferring", INFERENCE, PHANTOM, dataset_dir=cohort / "imagesTs", output_dir=tmp_path / "segmentations",
        discriminator_path=tmp_path / "other.pt", **channels,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    again = pd.read_csv(tmp_path / "segmentations" / "summary.csv").set_index("case_id")
    assert set(again["status"]) == {"skipped"}
    assert set(again["discriminator_sha256"]) == {sha256_of(tmp_path / "other.pt")}
    assert (again["score"] != summary["score"]).all()


def test_dicom_seg_is_off_unless_asked_for(cohort: Path, tmp_path: Path):
    places = {"dataset_dir": str(cohort / "imagesTs"), "output_dir": str(tmp_path)}
    assert parsed(INFERENCE, **places).get_parsed_content("summary").dicom_seg is None
    summary = parsed(INFERENCE, output_dicom_seg="true", **places).get_parsed_content("summary")
    assert summary.dicom_seg.algorithm == "qa_semi_seg"
    with pytest.raises(SystemExit, match="^error: output_dicom_seg is 'maybe', expected true or false$"):
        parsed(INFERENCE, output_dicom_seg="maybe", **places).get_parsed_content("summary")


def test_a_missing_start_is_one_line_that_names_the_command(cohort: Path, start: dict[str, Path], tmp_path: Path):
    for name, bundle in (("baseline_path", "baseline_seg"), ("discriminator_paths", "qa_discriminator")):
        done = train(cohort, tmp_path, {**start, name: tmp_path / "absent.pt"})
        assert done.returncode == 1
        command = f"python -m monai.bundle run training --config_file bundles/{bundle}/configs/train.yaml"
        wanted = (
            f"error: no weights at {tmp_path / 'absent.pt'}: make them with `{command}`, or name a file with --{name}"
        )
        assert wanted in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("item", "option", "value", "expected"),
    [
        ("train#qa_score_loss", "qa_weight", -1, "-1, expected a number of at least 0"),
        ("train#qa_score_loss", "qa_interval", 1.5, "1.5, expected a whole number of at least 1"),
        ("train#qa_score_loss", "max_nonfinite", "many", "'many', expected a whole number of at least 0"),
        ("train#clip_gradients", "max_norm", "null", "'null', expected a number of at least 0"),
        ("unlabeled#gradient", "jitter", "abc", "'abc', expected a number from 0 to 4"),
        ("unlabeled#gradient", "uncertainty", 2, "2, expected a number from 0 to 1"),
        ("unlabeled#gradient", "qa_floor", "low", "'low', expected a finite number"),
        ("unlabeled#gradient", "montage_size", [64], r"\[64\], expected 2 numbers"),
        ("unlabeled#gradient", "montage_size", [64, 0.5], "0.5, expected a whole number of at least 1"),
        ("unlabeled#gradient", "discriminator_paths", 5, "5, expected a file or a list of files"),
        ("optimizer", "learning_rate", "fast", "'fast', expected a number of at least 0"),
    ],
)
def test_a_bad_number_is_one_line_with_the_name_of_the_option(
    item: str, option: str, value: object, expected: str, start: dict[str, Path], cohort: Path
):
    places = {name: str(path) for name, path in (*start.items(), ("dataset_dir", cohort))}
    config = parsed(TRAIN, PUBLISHED, PHANTOM, **{**places, "unlabeled_cache_rate": 0, option: value})
    with pytest.raises(SystemExit, match=f"^error: {option} is {expected}$"):
        config.get_parsed_content(item)


def test_null_on_the_command_line_is_no_floor(start: dict[str, Path]):
    config = parsed(TRAIN, PUBLISHED, PHANTOM, qa_floor="null", discriminator_paths=str(start["discriminator_paths"]))
    assert config.get_parsed_content("unlabeled#gradient").floor is None


def test_alone_in_a_folder_it_does_not_take_its_own_weights_for_those_of_the_others(cohort: Path, tmp_path: Path):
    alone = tmp_path / "alone"
    shutil.copytree(BUNDLE / "configs", alone / "configs")
    shutil.copytree(
        ROOT / "custom_components", alone / "custom_components", ignore=shutil.ignore_patterns("__pycache__")
    )
    (alone / "models").mkdir()
    torch.save({}, alone / "models" / "model.pt")
    configs = (Path("configs") / f"{name}.yaml" for name in ("train", "train_published", "phantom"))
    command = arguments("training", *configs, dataset_dir=cohort)
    done = monai_bundle(*command, cwd=alone, env={**os.environ, "PYTHONPATH": str(alone)})
    assert done.returncode == 1
    assert "error: no weights at ./../baseline_seg/models/model.pt: make them with `python -m monai" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unlabelled_case_that_cannot_be_loaded_is_left_out(cohort: Path, start: dict[str, Path], tmp_path: Path):
    datalist = json.loads((cohort / "dataset.json").read_text())
    for case in datalist["training"] + datalist["validation"] + datalist["unlabeled"]:
        case.update({key: str(cohort / path) for key, path in case.items()})
    (tmp_path / "broken.nii.gz").write_bytes(b"no volume")
    datalist["unlabeled"] += ["broken.nii.gz", "absent.nii.gz"]
    (tmp_path / "dataset.json").write_text(json.dumps(datalist))
    done = train(tmp_path, tmp_path, start, max_epochs=1)
    assert done.returncode == 0, done.stderr
    for name in ("broken", "absent"):
        assert f"{name}: left out of the unlabelled cases: " in done.stdout
    datalist["unlabeled"] = datalist["unlabeled"][1:]
    (tmp_path / "dataset.json").write_text(json.dumps(datalist))
    done = train(tmp_path, tmp_path, start, max_epochs=1)
    assert done.returncode == 1
    assert "error: none of the 2 unlabelled cases can be loaded; the log says why" in done.stderr
    assert "Traceback" not in done.stderr
