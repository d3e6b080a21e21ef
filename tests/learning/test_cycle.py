"""A cycle: which steps it has, and how it waits, goes on and ends."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import itk
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import yaml
from dicom_files import write_series

from custom_components.data.case_files import image_files, sha256_of
from custom_components.data.cases import read_datalist
from custom_components.data.codes import load_codes
from custom_components.data.datalist import labelled_cases
from custom_components.data.readers import read_volume
from custom_components.learning import cycle
from custom_components.learning.cycle_actions import CodesMissing, RoundRefused, act, keep_changed
from custom_components.learning.cycle_plan import REFRESH, Plan
from custom_components.learning.cycle_settings import LEARNERS, CycleSettings, Learner
from custom_components.learning.cycle_steps import (
    Codes,
    Command,
    Configs,
    Guard,
    HoldOut,
    ImageList,
    Keep,
    MixedCodes,
    Remaining,
    Sample,
)
from custom_components.learning.pseudo_labels import Coded, write_pseudo_labels

SETTINGS = CycleSettings(
    datalist="dataset.json", output_dir="out", baseline_path="baseline.pt", rounds=2, learner=LEARNERS["ranked"]
)


def commands(settings: CycleSettings) -> dict[str, list[str]]:
    return {step.name: list(step.words) for step in Plan(settings) if isinstance(step, Command)}


def option(words: list[str], name: str) -> str:
    return words[words.index(f"--{name}") + 1]


@pytest.mark.parametrize("learner", LEARNERS)
def test_names_of_steps_are_unique_and_a_plan_is_always_the_same(learner: str):
    plan = Plan(replace(SETTINGS, learner=LEARNERS[learner]))
    steps = list(plan)
    assert len({step.name for step in steps}) == len(steps)
    assert list(plan) == steps


def test_a_round_starts_from_the_weights_and_learns_from_the_codes_of_all_rounds_before():
    found = commands(SETTINGS)
    assert option(found["round1/tune"], "baseline_path") == "baseline.pt"
    assert option(found["round2/tune"], "baseline_path") == "out/round1/models/model.pt"
    assert option(found["round2/segment"], "ckpt_path") == "out/round1/models/model.pt"
    assert "bundles/qa_semi_seg/configs/inference.yaml" in option(found["round2/segment"], "config_file")
    folders = ["round1/first", "round1/ranked", "round2/first"]
    assert option(found["round2/split"], "segmentations") == ",".join(f"out/{folder}" for folder in folders)
    labels = option(found["round2/pseudo_labels"], "codes").split(",")
    assert labels == [f"out/{folder}_codes.csv" for folder in (*folders, "round2/ranked")]
    assert option(found["round2/tune"], "seed") != option(found["round1/tune"], "seed")


def test_candidates_are_ranked_by_the_discriminator_of_the_round():
    words = commands(SETTINGS)["round2/rank"]
    assert option(words, "candidates") == "16"
    assert option(words, "discriminator_path") == "out/round2/discriminator/models/model.pt"
    assert option(commands(SETTINGS)["round2/ranked/request"], "taken_only") == "true"
    assert not any("rank" in name for name in commands(replace(SETTINGS, learner=LEARNERS["approved"])))


def test_labelled_cts_are_shown_with_the_greys_of_coded_ones_if_the_learner_says_so():
    plain, shown = (
        commands(replace(SETTINGS, rounds=1, learner=Learner(pseudo_labels=True, appearance=one)))["round1/tune"]
        for one in (False, True)
    )
    assert "--appearance_section" not in plain
    assert option(shown, "appearance_section") == "coded"


def test_what_is_bad_is_coded_again_without_an_organ_before_the_discriminator_learns():
    settings = replace(SETTINGS, learner=LEARNERS["organs"])
    names = [step.name for step in Plan(settings)]
    assert names.index("round1/first/codes") < names.index("round1/leave_out") < names.index("round1/split")
    found = commands(settings)
    assert option(found["round2/leave_out"], "codes") == "out/round2/first_codes.csv"
    folders = [f"out/round{n}/{what}" for n in (1, 2) for what in ("first", "left_out")]
    for command in ("split", "pseudo_labels"):
        assert option(found[f"round2/{command}"], "segmentations") == ",".join(folders)
    assert option(found["round1/tune"], "move_prob") == "0.5"
    for command in ("segment", "segment_rated", "score_before"):
        assert option(found[f"round1/{command}"], "refine_outlines") == "true"
    assert "--refine_outlines" not in commands(SETTINGS)["round1/segment"]


def test_nothing_is_coded_again_where_nothing_was_left_out(tmp_path: Path):
    settings = replace(SETTINGS, output_dir=str(tmp_path), learner=LEARNERS["organs"], rounds=1)
    assert "round1/left_out/request" in commands(settings)
    (tmp_path / "round1" / "left_out").mkdir(parents=True)
    found = commands(settings)
    assert "round1/left_out/request" not in found
    assert option(found["round1/pseudo_labels"], "segmentations") == f"{tmp_path}/round1/first"


def test_organ_by_organ_later_rounds_are_about_cases_without_a_success(tmp_path: Path):
    settings = replace(SETTINGS, output_dir=str(tmp_path), learner=LEARNERS["organs"], requests=0)
    found = commands(settings)
    assert option(found["round1/segment"], "datalist") == f"{tmp_path}/dataset.json"
    assert option(found["round2/segment"], "datalist") == f"{tmp_path}/round2/first.json"
    assert option(found["round2/first/request"], "count") == "0"
    (unsolved,) = (step for step in Plan(settings) if isinstance(step, Remaining))
    assert unsolved.codes == tuple(tmp_path / "round1" / f"{name}_codes.csv" for name in ("first", "left_out"))
    (tmp_path / "round2").mkdir()
    (tmp_path / "round2" / "first.json").write_text('{"unlabeled": []}')
    found = commands(settings)
    assert not {"round2/segment", "round2/first/request", "round2/leave_out"} & set(found)
    assert (
        option(found["round2/pseudo_labels"], "segmentations") == f"{tmp_path}/round1/first,{tmp_path}/round1/left_out"
    )
    assert f" {tmp_path}/round1/first " in " ".join(found["round2/adversarial"])


def test_weights_are_averaged_with_those_of_labels_alone_if_the_learner_says_so():
    found = commands(replace(SETTINGS, learner=Learner(pseudo_labels=True, continued_share=0.25)))
    words = found["round2/continue"]
    assert option(words, "pseudo_section") == "null"
    assert option(words, "baseline_path") == "out/round1/averaged/model.pt"
    assert option(words, "seed") == option(found["round2/tune"], "seed")
    words = found["round1/average"]
    assert words[2:6] == [
        "average_weights", "out/round1/averaged/model.pt", "out/round1/models/model.pt",
        "out/round1/continued/models/model.pt",
    ]  # fmt: skip
    assert option(words, "share") == "0.25"
    assert option(found["round1/segment_rated"], "ckpt_path") == "out/round1/averaged/model.pt"
    assert not any("average" in name for name in commands(SETTINGS))
    with pytest.raises(ValueError, match="continued_share is 0.5 with 2 bursts, expected 0"):
        Learner(qa_weight=1.0, bursts=2, continued_share=0.5)


def test_published_has_the_loss_and_the_overlay_without_pseudo_labels():
    found = commands(replace(SETTINGS, learner=LEARNERS["published"]))
    words = found["round1/tune"]
    assert option(words, "reference_section") == "pseudo"  # which the overlay does not train with
    assert option(found["round1/pseudo_labels"], "weights") == "1,1,1"  # also where nothing is a success
    assert "train_published.yaml" in option(words, "config_file")
    assert option(words, "qa_weight") == "1.0"
    assert option(words, "discriminator_paths") == "out/round1/discriminator/models/model.pt"


def test_refreshed_has_codes_and_a_discriminator_between_bursts():
    found = commands(replace(SETTINGS, rounds=1, learner=Learner(qa_weight=0.01, bursts=3)))
    starts = [option(found[f"round1/burst{n}/tune"], "baseline_path") for n in (1, 2, 3)]
    assert starts == ["baseline.pt", *(f"out/round1/burst{n}/models/model.pt" for n in (1, 2))]
    used = [option(found[f"round1/burst{n}/tune"], "discriminator_paths") for n in (1, 2, 3)]
    assert used == [f"out/round1{part}/discriminator/models/model.pt" for part in ("", "/burst1", "/burst2")]
    assert option(found["round1/burst2/discriminator"], "start_path") == used[1]
    assert option(found["round1/burst2/split"], "segmentations").count("fresh") == 2
    assert "round1/burst3/discriminator" not in found
    assert len({option(found[f"round1/burst{n}/tune"], "seed") for n in (1, 2, 3)}) == 3


def test_bursts_share_the_epochs_and_between_them_the_discriminator_learns_what_fooled_it():
    found = commands(replace(SETTINGS, rounds=2, learner=LEARNERS["refreshed"]))
    assert option(found["round1/burst1/tune"], "max_epochs") == str(100 // 8)
    fewer = replace(SETTINGS, learner=LEARNERS["refreshed"], options={"tune": {"max_epochs": 40}})
    assert option(commands(fewer)["round1/burst1/tune"], "max_epochs") == "5"
    words = found["round1/burst1/discriminator"]
    assert option(words, "max_epochs") == str(REFRESH["max_epochs"])
    assert option(words, "corruption#modes#over_painted") == "4"
    assert option(words, "fooled_weight") == "3.0"
    assert "--max_epochs" not in found["round1/discriminator"]
    assert "--scores" not in found["round1/split"]  # nothing has a score yet
    assert option(found["round1/burst1/split"], "scores") == ",out/round1/burst1/fresh/summary.csv"
    with pytest.raises(ValueError, match="options: tune: max_epochs is 'many', expected a whole number of at least 1"):
        commands(replace(fewer, options={"tune": {"max_epochs": "many"}}))
    others = replace(fewer, options={"refresh": {"max_epochs": 9}})
    assert option(commands(others)["round1/burst1/discriminator"], "max_epochs") == "9"
    seeds = [step.seed for step in Plan(replace(SETTINGS, learner=LEARNERS["refreshed"])) if isinstance(step, Sample)]
    assert len(set(seeds)) == len(seeds) == 14


def test_bursts_share_the_epochs_that_the_configurations_have(tmp_path: Path):
    overlay = tmp_path / "short.yaml"
    overlay.write_text("max_epochs: 40\n")
    few = replace(SETTINGS, learner=LEARNERS["refreshed"], overlays={"qa_semi_seg": [str(overlay)]})
    assert option(commands(few)["round1/burst1/tune"], "max_epochs") == "5"
    trained = replace(few, learner=replace(few.learner, training={"max_epochs": 64, "qa_weight": 0.5}))
    words = commands(trained)["round1/burst1/tune"]
    assert [option(words, name) for name in ("max_epochs", "qa_weight")] == ["8", "0.5"]


def test_montages_and_what_fools_a_discriminator_are_on_its_grid(tmp_path: Path):
    overlay = tmp_path / "grid.yaml"
    overlay.write_text("pixdim: [5.25, 5.25, 12]\nroi_size: [64, 64, 32]\nmontage_size: [64, 64]\n")
    found = commands(replace(SETTINGS, overlays={"qa_discriminator": [str(overlay)]}))
    for name in ("first/montages", "rated/montages", "adversarial", "report"):
        words = found[f"round1/{name}"]
        assert [option(words, one) for one in ("pixdim", "roi_size")] == ["5.25,5.25,12", "64,64,32"]
    assert option(found["round1/adversarial"], "montage_size") == "64,64"
    chosen = commands(replace(SETTINGS, options={"discriminator": {"pixdim": [3, 3, 8]}}))["round1/first/montages"]
    assert option(chosen, "pixdim") == "3,3,8"
    with pytest.raises(ValueError, match="bundles_dir is elsewhere, expected the folder of the bundles"):
        commands(replace(SETTINGS, bundles_dir="elsewhere", learner=LEARNERS["refreshed"]))
    plain = commands(SETTINGS)["round1/first/montages"]
    assert [option(plain, one) for one in ("pixdim", "roi_size", "hu_window")] == [
        "2.0,2.0,6.0", "168,168,64", "-175.0,275.0",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("overlay", "chosen", "expected"),
    [
        ("", {}, "weights"),
        ("body_part_path: null\n", {}, "none"),
        ("body_part_path: other.pt\n", {}, "other.pt"),
        ("", {"body_part_path": "chosen.pt"}, "chosen.pt"),
        ("", {"body_part_path": None}, "none"),
    ],
)
def test_montages_are_cropped_as_the_discriminators_are(tmp_path: Path, overlay: str, chosen: dict, expected: str):
    shutil.copytree(SETTINGS.bundles_dir, tmp_path / "bundles", ignore=shutil.ignore_patterns("models", "eval"))
    (tmp_path / "lies_over.yaml").write_text(f"max_epochs: 1\n{overlay}")
    settings = replace(
        SETTINGS,
        bundles_dir=str(tmp_path / "bundles"),
        overlays={"qa_discriminator": [str(tmp_path / "lies_over.yaml")]},
        options={"discriminator": chosen},
    )
    words = commands(settings)["round1/first/montages"]
    assert option(words, "body_part_path") == ("none" if expected == "weights" else expected)
    assert option(words, "body_part_scores") == "-6.0,6.0"
    weights = tmp_path / "bundles" / "baseline_seg" / "models" / "body_part.pt"
    weights.parent.mkdir()
    weights.touch()
    words = commands(settings)["round1/first/montages"]
    assert option(words, "body_part_path") == (str(weights) if expected == "weights" else expected)


def test_requests_of_each_step_are_other_random_ones():
    seeds = [option(words, "seed") for name, words in commands(SETTINGS).items() if name.endswith("/request")]
    assert len(set(seeds)) == len(seeds) == 4


def test_the_default_has_the_numbers_of_the_benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[2] / "benchmarks" / "learning"))
    from methods import GREYS, MOVED, REFINED
    from workbench import SIZES, TUNING

    words = commands(replace(SETTINGS, learner=LEARNERS["organs"]))["round1/tune"]
    assert option(words, "max_epochs") == str(SIZES["small"].tuning_epochs // 2)  # of two rounds
    for name in ("epoch_cases", "learning_rate", "lr_power", "ema_momentum", "loss#cross_entropy_weight"):
        assert option(words, name) == str(TUNING[name])
    defaults = {"appearance_prob": "0.5", "move_absent": "0.5"}
    train = yaml.safe_load((Path(__file__).parents[2] / "bundles/qa_semi_seg/configs/train.yaml").read_text())
    assert {name: str(train[name]) for name in defaults} == defaults
    for name, value in {**GREYS, **MOVED}.items():
        assert option(words, name) == str(value) if f"--{name}" in words else defaults[name] == str(value), name
    assert REFINED == {"refine_outlines": True}
    for learner in ("approved", "ranked"):
        words = commands(replace(SETTINGS, learner=LEARNERS[learner]))["round1/tune"]
        assert option(words, "labelled_share") == str(TUNING["labelled_share"])


def test_a_watcher_watches_unless_it_is_switched_off():
    found = commands(SETTINGS)
    assert "watcher.yaml" in option(found["round1/watcher"], "config_file")
    assert option(found["round1/tune"], "watcher_paths") == "out/round1/watcher/models/model.pt"
    assert {option(found[f"round{n}/tune"], "monitor_start_path") for n in (1, 2)} == {"baseline.pt"}
    off = commands(replace(SETTINGS, monitor=False))
    assert "round1/adversarial" not in off
    assert "round1/watcher" not in off
    assert "--monitor_interval" not in off["round1/tune"]


def test_what_fools_the_discriminator_is_made_of_a_rounds_first_segmentations():
    words = commands(replace(SETTINGS, learner=LEARNERS["organs"]))["round2/adversarial"]
    assert words[3:6] == [f"out/round2/{name}" for name in ("first_images.json", "first", "adversarial")]
    assert option(words, "codes") == "out/round2/first_codes.csv"


def test_a_watcher_learns_what_fools_the_discriminator(tmp_path: Path):
    found = commands(replace(SETTINGS, output_dir=str(tmp_path)))
    words = found["round2/adversarial"]
    assert words[3:6] == [f"{tmp_path}/round2/{name}" for name in ("first_images.json", "first", "adversarial")]
    assert option(words, "discriminator_path") == f"{tmp_path}/round2/discriminator/models/model.pt"
    assert option(words, "codes") == f"{tmp_path}/round2/first_codes.csv"
    folders = option(found["round2/watcher/split"], "segmentations").split(",")
    assert folders == [*option(found["round2/split"], "segmentations").split(","), f"{tmp_path}/round2/adversarial"]
    assert option(found["round2/watcher"], "datalist") == f"{tmp_path}/round2/watcher/qa_dataset.json"
    (tmp_path / "round2" / "adversarial").mkdir(parents=True)
    (tmp_path / "round2" / "adversarial" / "codes.csv").write_text("case_id,code\n")  # none could be changed
    split = commands(replace(SETTINGS, output_dir=str(tmp_path)))["round2/watcher/split"]
    assert "adversarial" not in option(split, "segmentations")
    assert "round1/adversarial" not in commands(replace(SETTINGS, adversarial=0))


def test_options_and_overlays_of_the_settings_count_more():
    settings = replace(
        SETTINGS,
        overlays={"qa_semi_seg": ["phantom.yaml"]},
        options={"tune": {"max_epochs": 3, "seed": 9}, "montage": {"roi_size": [64, 64, 32]}},
    )
    found = commands(settings)
    assert option(found["round1/tune"], "config_file") == "['bundles/qa_semi_seg/configs/train.yaml','phantom.yaml']"
    assert found["round1/tune"].count("--seed") == 1
    assert [option(found["round1/tune"], name) for name in ("max_epochs", "seed")] == ["3", "9"]
    assert option(found["round1/first/montages"], "roi_size") == "64,64,32"


def test_codes_come_from_people_unless_they_are_simulated():
    kinds = {step.name: type(step) for step in Plan(SETTINGS)}
    assert kinds["round1/first/codes"] is Codes
    simulated = commands(replace(SETTINGS, codes="simulated", truth="truth"))
    words = simulated["round1/first/rate"]
    assert words[3:5] == ["out/round1/first", "truth"]
    assert option(words, "cases") == "out/round1/first_requests.csv"


def test_people_code_the_rated_cases_before_and_after_a_round_mixed():
    steps = {step.name: step for step in Plan(replace(SETTINGS, learner=LEARNERS["approved"]))}
    names = list(steps)
    assert "baseline/rated/montages" in names
    assert not [name for name in names if name.startswith("baseline") and "codes" in name]
    for number, first in ((1, "baseline"), (2, "round1")):
        mix, codes = steps[f"round{number}/audit"], steps[f"round{number}/audit/codes"]
        assert mix.segmentations == (Path(f"out/{first}/rated"), Path(f"out/round{number}/rated"))
        assert codes.codes == tuple(Path(f"out/round{number}/{name}_codes.csv") for name in ("before", "rated"))
        assert (steps[f"round{number}/keep"].before, steps[f"round{number}/keep"].after) == codes.codes
        assert list(steps[f"round{number}/report"].words[3:5]) == [str(path) for path in codes.codes]
    assert not any("audit" in name for name in commands(replace(SETTINGS, codes="simulated", truth="truth")))


@pytest.mark.parametrize(
    ("learner", "tables"),
    [
        ("approved", ["first"]),
        ("ranked", ["first", "ranked"]),
        ("organs", ["first", None]),  # what was left out is not segmented again, and so has no score
    ],
)
def test_accepted_scores_are_those_of_all_summaries_the_first_ones_too(learner: str, tables: list[str | None]):
    found = commands(replace(SETTINGS, learner=replace(LEARNERS[learner], accept_below=0.3)))
    words = found["round1/score_first"]
    assert option(words, "output_dir") == "out/round1/first"
    assert option(words, "discriminator_path") == "out/round1/discriminator/models/model.pt"
    assert list(found).index("round1/score_first") < list(found).index("round1/pseudo_labels")
    for number in (1, 2):
        words = found[f"round{number}/pseudo_labels"]
        assert option(words, "accept_below") == "0.3"
        expected = [
            f"out/round{one}/{name}/summary.csv" if name else "" for one in range(1, number + 1) for name in tables
        ]
        assert option(words, "scores") == ",".join(expected)
    assert "round2/score_first" not in found
    assert "round1/score_first" not in commands(replace(SETTINGS, learner=LEARNERS[learner]))


def test_a_control_with_labels_alone_has_no_monitor_and_no_codes():
    learner = replace(LEARNERS["approved"], continued_share=0.5)
    options = {"tune": {"monitor_interval": 5, "monitor_stop": True, "appearance_section": "coded", "max_epochs": 3}}
    words = commands(replace(SETTINGS, learner=learner, options=options))["round1/continue"]
    assert option(words, "max_epochs") == "3"
    assert not any(word.startswith(("--monitor", "--appearance", "--watcher", "--reference")) for word in words)


def test_reasons_of_codes_count_where_the_learner_wants_them():
    found = commands(replace(SETTINGS, learner=replace(LEARNERS["approved"], by_organ=True)))
    assert option(found["round2/pseudo_labels"], "by_organ") == "true"
    assert "--by_organ" not in commands(SETTINGS)["round2/pseudo_labels"]


def volume(path: Path, value: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full((2, 2, 2), value, np.uint8), np.eye(4)), path)
    return path


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Five unlabelled cases, of which all but `e` are segmented."""
    for name in "abcde":
        volume(tmp_path / "data" / "images" / f"{name}.nii.gz")
    for number, name in enumerate("abcd"):
        volume(tmp_path / "first" / name / f"{name}_seg.nii.gz", number)
    content = {"training": [], "unlabeled": [{"image": f"images/{name}.nii.gz"} for name in "abcde"]}
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(content))
    return tmp_path


def codes_of(path: Path, **codes: int) -> Path:
    pd.DataFrame([{"case_id": name, "code": code} for name, code in codes.items()]).to_csv(path, index=False)
    return path


def ids(path: Path, section: str) -> list[str]:
    return [entry["case_id"] for entry in json.loads(path.read_text())[section]]


def test_a_round_keeps_the_configurations_that_it_runs_with(cohort: Path):
    overlay = cohort / "phantom.yaml"
    overlay.write_text("max_epochs: 3\n")
    bundles = Path(__file__).resolve().parents[2] / "bundles"
    namesake = cohort / "other" / "phantom.yaml"
    namesake.parent.mkdir()
    namesake.write_text("max_epochs: 4\n")
    overlays = {"qa_semi_seg": [str(overlay), str(namesake)]}
    settings = replace(SETTINGS, bundles_dir=str(bundles), overlays=overlays)
    (step,) = (step for step in Plan(settings) if step.name == "round1/configs")
    step = replace(step, folder=cohort / "configs")
    act(step)
    assert (cohort / "configs" / "qa_semi_seg" / "phantom.yaml").read_text() == "max_epochs: 3\n"
    (second,) = (cohort / "configs" / "qa_semi_seg").glob("*_phantom.yaml")
    assert second.read_text() == "max_epochs: 4\n"
    copied = (cohort / "configs" / "qa_discriminator" / "train.yaml").read_text()
    assert copied == (bundles / "qa_discriminator" / "configs" / "train.yaml").read_text()
    assert list(keep_changed(step)) == []
    namesake.write_text("max_epochs: 5\n")
    (line,) = keep_changed(step)
    assert line.startswith(f"{namesake} has changed since {second} was kept: what is not done yet runs with it, see ")
    assert Path(line.split("see ")[1]).read_text() == "max_epochs: 5\n"
    assert second.read_text() == "max_epochs: 4\n"
    overlay.unlink()
    with pytest.raises(ValueError, match="phantom.yaml: no such configuration of qa_semi_seg"):
        act(step)


def test_images_of_the_segmented_cases_are_listed_and_can_be_listed_again(cohort: Path):
    output = cohort / "first_images.json"
    step = ImageList("images", cohort / "data" / "dataset.json", "unlabeled", cohort / "first", output)
    for _ in "ab":
        assert act(step).startswith("4 images are listed")
    found = image_files(output)
    assert sorted(found) == list("abcd")
    assert Path(found["a"][0]).samefile(cohort / "data" / "images" / "a.nii.gz")


def test_held_out_cases_are_in_one_section_only(cohort: Path):
    output = cohort / "out" / "dataset.json"
    act(HoldOut("rated", cohort / "data" / "dataset.json", "unlabeled", 2, 0, output, "rated"))
    assert len(ids(output, "rated")) == 2
    assert sorted(ids(output, "rated") + ids(output, "unlabeled")) == list("abcde")
    entry = json.loads(output.read_text())["rated"][0]
    assert (output.parent / entry["image"]).samefile(cohort / "data" / "images" / f"{entry['case_id']}.nii.gz")
    with pytest.raises(ValueError, match="unlabeled has 5 cases, expected more than 5"):
        act(HoldOut("rated", cohort / "data" / "dataset.json", "unlabeled", 5, 0, output, "rated"))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two patients, each a DICOM folder with two CT series, and one NIfTI file; the cycle's folder is a link."""
    for patient in "pq":
        for number in (1, 2):
            write_series(
                tmp_path / "data" / patient, np.zeros((4, 4, 4)), number=number, name=f"s{number}_{{:03d}}.dcm"
            )
    volume(tmp_path / "data" / "n.nii.gz")
    (tmp_path / "data" / "dataset.json").write_text(json.dumps({"training": [], "unlabeled": ["p", "q", "n.nii.gz"]}))
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "cycle").symlink_to(tmp_path / "elsewhere" / "deep")
    return tmp_path


def test_series_of_one_patient_stay_together_and_keep_their_names(archive: Path):
    rated = set()
    for seed in range(8):
        output = archive / "cycle" / "dataset.json"
        act(HoldOut("rated", archive / "data" / "dataset.json", "unlabeled", 1, seed, output, "rated"))
        found = {section: read_datalist(output, section=section) for section in ("rated", "unlabeled")}
        assert all(path.exists() for cases in found.values() for case in cases for path in paths_of(case))
        names = [tuple(case["case_id"] for case in cases) for cases in found.values()]
        assert sorted(names[0] + names[1]) == ["n", "p_1", "p_2", "q_1", "q_2"]
        rated.add(names[0])
    assert rated == {("n",), ("p_1", "p_2"), ("q_1", "q_2")}
    act(Sample("s", output, "unlabeled", 9, 0, archive / "cycle" / "round1" / "s.json"))
    assert ids(archive / "cycle" / "round1" / "s.json", "unlabeled") == list(names[1])
    sampled = read_datalist(archive / "cycle" / "round1" / "s.json", section="unlabeled")
    for case in sampled:
        if case["case_id"] != "n":
            patient, _, number = case["case_id"].partition("_")
            originals = sorted((archive / "data" / patient).glob(f"s{number}_*"))
            assert all(path.samefile(one) for path, one in zip(paths_of(case), originals, strict=True))


def paths_of(case: dict) -> list[Path]:
    """The file of a case, or its slices."""
    image = case["image"]
    return [Path(image)] if isinstance(image, str) else [Path(path) for path in image]


def test_a_listed_series_keeps_all_its_slices_on_every_way(tmp_path: Path):
    voxels = np.arange(4 * 4 * 12, dtype=np.int16).reshape(4, 4, 12)
    uid = write_series(tmp_path / "D1", voxels[..., :6], name="slice{:03d}.dcm", SliceThickness=3)
    write_series(  # names of the other half again, and details by which a folder would be two series
        tmp_path / "D2", voxels[..., 6:], position=lambda i: [-10.0, -20.0, 3.0 * (i + 6)], uid=uid, SliceThickness=2.5
    )
    files = [f"{folder}/slice{i:03d}.dcm" for folder in ("D1", "D2") for i in range(6)]
    datalist, out = tmp_path / "dataset.json", tmp_path / "cycle"
    datalist.write_text(json.dumps({"unlabeled": [{"image": files, "case_id": "s"}]}))
    volume(out / "first" / "s" / "s_seg.nii.gz")
    act(Sample("s", datalist, "unlabeled", 1, 0, out / "sample.json"))
    act(Remaining("r", datalist, "unlabeled", (), out / "round1" / "remaining.json"))
    act(ImageList("i", datalist, "unlabeled", out / "first", out / "first_images.json"))
    coded = Coded(out / "first", pd.DataFrame({"case_id": ["s"], "code": [0]}))
    write_pseudo_labels(out / "pseudo.json", datalist, [coded])
    listed = [read_datalist(out / name, section="unlabeled") for name in ("sample.json", "round1/remaining.json")]
    ways = [*(paths_of(case) for cases in listed for case in cases), image_files(out / "first_images.json")["s"]]
    ways += [paths_of(case) for case in labelled_cases(out / "pseudo.json", "pseudo")]
    assert len(ways) == 4
    for paths in ways:
        assert np.array_equal(read_volume(paths).numpy()[0, ::-1, ::-1], voxels)


def test_a_list_of_images_forgets_those_of_an_earlier_run(archive: Path):
    output = archive / "cycle" / "first_images.json"
    for name in ("p_1", "p_2"):
        segmentation = volume(archive / "first" / name / f"{name}_seg.nii.gz")
        act(ImageList("i", archive / "data" / "dataset.json", "unlabeled", archive / "first", output))
        assert list(image_files(output)) == [name]
        segmentation.unlink()


def test_a_flat_folder_of_several_patients_is_no_group(tmp_path: Path):
    for number, patient in enumerate("abb"):
        write_series(
            tmp_path / "export", np.zeros((4, 4, 4)), number=number, name=f"{number}_{{}}.dcm", patient=patient
        )
    (tmp_path / "dataset.json").write_text(json.dumps({"unlabeled": ["export"]}))
    drawn = set()
    for seed in range(8):
        act(HoldOut("rated", tmp_path / "dataset.json", "unlabeled", 1, seed, tmp_path / "out.json", "rated"))
        drawn.add(tuple(ids(tmp_path / "out.json", "rated")))
    assert drawn == {("export_0",), ("export_1", "export_2")}


def test_paths_hold_whatever_is_a_link(tmp_path: Path):
    for name in "ab":
        volume(tmp_path / "home" / "real" / "images" / f"{name}.nii.gz")
    (tmp_path / "home" / "real" / "lists").mkdir()
    (tmp_path / "home" / "real" / "lists" / "dataset.json").write_text(
        json.dumps({"unlabeled": [f"../images/{name}.nii.gz" for name in "ab"]})
    )
    (tmp_path / "lists").symlink_to(tmp_path / "home" / "real" / "lists")
    (tmp_path / "scratch" / "deep" / "out").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "scratch" / "deep" / "out")
    first, second = tmp_path / "out" / "dataset.json", tmp_path / "out" / "round1" / "remaining.json"
    act(HoldOut("h", tmp_path / "lists" / "dataset.json", "unlabeled", 1, 0, first, "rated"))
    act(Remaining("r", first, "unlabeled", (), second))
    for path, sections in ((first, ("unlabeled", "rated")), (second, ("unlabeled",))):
        cases = [case for section in sections for case in read_datalist(path, section=section)]
        assert all(Path(case["image"]).is_file() for case in cases)
        assert len(cases) == len(sections)


def test_images_are_listed_with_all_that_belongs_to_them(archive: Path):
    for folder in "ab":
        path = archive / "data" / folder / "image.mhd"
        (path.parent / "raw").mkdir(parents=True)
        itk.imwrite(itk.image_from_array(np.full((2, 3, 4), ord(folder), np.uint8)), str(path))
        path.with_suffix(".raw").rename(path.parent / "raw" / "v.raw")
        path.write_text(path.read_text().replace("image.raw", "raw/v.raw"))
        volume(archive / "first" / folder / f"{folder}_seg.nii.gz")
    write_series(archive / "data" / "one", np.zeros((4, 4, 4)))
    volume(archive / "data" / "one" / "one.nii.gz")  # the same, converted
    for name in ("p_2", "n", "one"):
        volume(archive / "first" / name / f"{name}_seg.nii.gz")
    entries = [{"image": f"{name}/image.mhd", "case_id": name} for name in "ab"]
    datalist = archive / "data" / "dataset.json"
    datalist.write_text(json.dumps({"unlabeled": ["p", "n.nii.gz", "one", *entries]}))
    act(ImageList("images", datalist, "unlabeled", archive / "first", archive / "cycle" / "images.json"))
    found = image_files(archive / "cycle" / "images.json")
    assert sorted(found) == ["a", "b", "n", "one", "p_2"]
    assert all(not isinstance(paths, str) for paths in found.values())
    assert len(found["p_2"]) == 4
    for name in "ab":
        assert set(np.ravel(itk.imread(str(found[name][0])))) == {ord(name)}


def test_a_case_that_cannot_be_used_is_told_and_left_out(cohort: Path):
    content = {"unlabeled": [*(f"images/{name}.nii.gz" for name in "abcde"), "images/a.nii.gz"]}
    (cohort / "data" / "dataset.json").write_text(json.dumps(content))
    said = act(Sample("s", cohort / "data" / "dataset.json", "unlabeled", 9, 0, cohort / "s.json"))
    assert said.startswith("4 of 4 cases are drawn, 1 cannot be used (case id 'a' belongs to 2 images")


def test_a_sample_depends_on_its_seed(cohort: Path):
    drawn = set()
    for seed in range(20):
        act(Sample("s", cohort / "data" / "dataset.json", "unlabeled", 2, seed, cohort / "s.json"))
        drawn.add(tuple(ids(cohort / "s.json", "unlabeled")))
    assert len(drawn) > 3
    assert {name for pair in drawn for name in pair} == set("abcde")


def test_remaining_are_all_of_which_nothing_was_coded_0_in_any_round(cohort: Path):
    codes, later = codes_of(cohort / "codes.csv", a=0, b=1, c=2), codes_of(cohort / "later.csv", a=2, b=0)
    step = Remaining("r", cohort / "data" / "dataset.json", "unlabeled", (codes, later), cohort / "r.json")
    act(step)
    assert ids(cohort / "r.json", "unlabeled") == list("cde")
    codes_of(codes, a=0, b=0, c=0, d=0, e=0)
    assert act(step).startswith("0 of 5 cases")
    assert ids(cohort / "r.json", "unlabeled") == []


def test_of_several_raters_the_majority_says_what_remains_and_what_is_kept(cohort: Path):
    rows = ["a,0,anna", "a,1,ben", "b,0,anna", "b,0,ben", "c,1,anna", "c,2,ben"]
    codes = cohort / "codes.csv"
    codes.write_text("\n".join(["case_id,code,rater", *rows]))
    act(Remaining("r", cohort / "data" / "dataset.json", "unlabeled", (codes,), cohort / "r.json"))
    assert ids(cohort / "r.json", "unlabeled") == list("acde")
    for name in ("old", "new"):
        (cohort / f"{name}.pt").write_text(name)
    before = codes_of(cohort / "before.csv", a=0, b=0, c=2)
    step = Keep("keep", before, codes, cohort / "old.pt", cohort / "new.pt", cohort / "out" / "model.pt")
    with pytest.raises(RoundRefused, match="before 2/0/1 and after 1/1/1"):
        act(step)


def test_nothing_is_ranked_where_every_case_has_a_segmentation_coded_0(tmp_path: Path):
    settings = replace(SETTINGS, output_dir=str(tmp_path), rounds=1)
    assert "round1/rank" in commands(settings)
    assert option(commands(settings)["round1/rank"], "candidate_limit") == "-9.0"
    (tmp_path / "round1").mkdir()
    (tmp_path / "round1" / "remaining.json").write_text('{"unlabeled": []}')
    found = commands(settings)
    assert "round1/rank" not in found
    assert option(found["round1/pseudo_labels"], "segmentations") == f"{tmp_path}/round1/first"
    assert "round1/tune" in found


def waiting(cohort: Path, *files: Path) -> Codes:
    (cohort / "first_requests.csv").write_text("case_id,choice\na,audit\nb,worst\nc,worst\n")
    paths = (cohort / f"first_{name}.csv" for name in ("requests", "ratings"))
    return Codes("codes", cohort / "first", *paths, files, cohort / "first_codes.csv")


def test_missing_codes_are_counted_and_named(cohort: Path, capsys):
    step = waiting(cohort)
    with pytest.raises(CodesMissing, match=r"3 of 3 requested segmentations have no code \(a, b, c\): code the mont"):
        act(step)
    (cohort / "first_ratings.csv").write_text("case_id,code\na,0\nb,\nc,3\nd,2\n")
    with pytest.raises(CodesMissing, match=r"2 of 3 requested segmentations have no code \(b, c\)"):
        act(step)
    assert "code is '3'" in capsys.readouterr().err  # a row that does not count is told
    assert (cohort / "first_missing.csv").read_text() == "case_id\nb\nc\n"
    with pytest.raises(CodesMissing, match=r"again; in the column reason name the organs that are not good$"):
        act(replace(step, reasons=True))
    with pytest.raises(CodesMissing, match=r"; of code_files more.csv is not there$"):
        act(replace(step, code_files=(Path("more.csv"),)))
    codes_of(cohort / "first_ratings.csv", a=0, b=1, c=2, d=2)
    act(step)
    assert pd.read_csv(cohort / "first_codes.csv")["case_id"].tolist() == ["a", "b", "c"]


def test_of_a_store_the_ratings_count_that_are_of_these_segmentations(cohort: Path):
    digests = {name: sha256_of(cohort / "first" / name / f"{name}_seg.nii.gz") for name in "abc"}
    store = cohort / "store.csv"
    rows = [f"a,0,{digests['a']}", f"b,1,{'0' * 64}", f"c,2,{digests['c']}", "b,0,"]
    store.write_text("\n".join(["case_id,code,segmentation_sha256", *rows]))
    with pytest.raises(CodesMissing, match=r"1 of 3 requested segmentations have no code \(b\)"):
        act(waiting(cohort, store, cohort / "absent.csv"))
    codes_of(cohort / "first_ratings.csv", b=1)
    act(waiting(cohort, store))
    found = pd.read_csv(cohort / "first_codes.csv").set_index("case_id")["code"]
    assert found.to_dict() == {"a": 0, "b": 1, "c": 2}


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (("0,anna,2026-01-01", "2,anna,2026-01-02"), 2),  # corrected
        (("0,anna,2026-01-01", ",anna,2026-01-02"), None),  # withdrawn
        (("0,anna,", "2,anna,"), None),
        (("0,anna,", "2,ben,"), [0, 2]),
    ],
)
def test_of_a_rater_the_last_code_counts(cohort: Path, capsys, rows: tuple[str, ...], code: object):
    digest = sha256_of(cohort / "first" / "a" / "a_seg.nii.gz")
    store = cohort / "store.csv"
    store.write_text(
        "\n".join(["case_id,segmentation_sha256,code,rater,rated_at", *(f"a,{digest},{row}" for row in rows)])
    )
    codes_of(cohort / "first_ratings.csv", b=1, c=2)
    if code is None:
        with pytest.raises(CodesMissing, match=r"1 of 3 requested segmentations have no code \(a\)"):
            act(waiting(cohort, store))
        assert "store.csv, line 2" in capsys.readouterr().err
        return
    act(waiting(cohort, store))
    table = pd.read_csv(cohort / "first_codes.csv")
    assert table.loc[table["case_id"] == "a", "code"].tolist() == (code if isinstance(code, list) else [code])
    assert not load_codes(cohort / "first_codes.csv").problems


def test_two_stores_without_raters_are_two_raters(cohort: Path):
    digest = sha256_of(cohort / "first" / "a" / "a_seg.nii.gz")
    stores = cohort / "monday" / "codes.csv", cohort / "tuesday" / "codes.csv"
    for path, code in zip(stores, (0, 2), strict=True):
        path.parent.mkdir()
        path.write_text(f"case_id,code,segmentation_sha256\na,{code},{digest}\n")
    codes_of(cohort / "first_ratings.csv", b=1, c=2)
    act(waiting(cohort, *stores))
    table = pd.read_csv(cohort / "first_codes.csv")
    assert sorted(table.loc[table["case_id"] == "a", "rater"]) == ["monday/codes", "tuesday/codes"]


def test_a_round_with_fewer_successes_ends_the_cycle_with_the_weights_before(cohort: Path):
    for name in ("old", "new"):
        (cohort / f"{name}.pt").write_text(name)
    before, after = codes_of(cohort / "before.csv", a=0, b=0, c=2), cohort / "after.csv"
    step = Keep("keep", before, after, cohort / "old.pt", cohort / "new.pt", cohort / "out" / "model.pt")
    codes_of(after, a=0, b=0, c=1, d=0)
    assert act(step).startswith("codes 0/1/2 of the 3 rated cases: before 2/0/1 and after 2/1/0")
    assert step.output.read_text() == "new"
    (cohort / "fooling.json").write_text('{"flagged": "iteration 2: the QA score fell"}')
    watched = replace(step, verdicts=(cohort / "fooling.json", cohort / "none.json"))
    assert act(watched).endswith(
        f"; {cohort} was flagged, iteration 2: the QA score fell; the weights are kept as {step.output}"
    )
    codes_of(after, a=0, b=1, c=1)
    with pytest.raises(RoundRefused, match="before 2/0/1 and after 1/2/0: fewer successes"):
        act(step)
    assert step.output.read_text() == "old"


def script(text: str) -> tuple[str, ...]:
    return "-c", text


class Steps:
    """A plan of steps that tests choose."""

    steps: ClassVar[list] = []

    def __init__(self, settings: CycleSettings) -> None:
        pass

    def __iter__(self):
        return iter(self.steps)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch) -> CycleSettings:
    monkeypatch.setattr(cycle, "Plan", Steps)
    for name in ("dataset.json", "baseline.pt"):
        (tmp_path / name).touch()
    bundles = Path(__file__).resolve().parents[2] / "bundles"
    return replace(
        SETTINGS, output_dir=str(tmp_path / "out"), datalist=str(tmp_path / "dataset.json"),
        baseline_path=str(tmp_path / "baseline.pt"), bundles_dir=str(bundles),
    )  # fmt: skip


def test_a_cycle_goes_on_where_a_command_failed(settings: CycleSettings, tmp_path: Path, monkeypatch, capfd):
    log = tmp_path / "log"
    note = f"open({str(log)!r}, 'a').write"
    fails = f"import os, sys; {note}('b'); sys.exit(0 if os.path.exists({str(tmp_path / 'mended')!r}) else 4)"
    steps = [
        Command("x/a", script(f"{note}('a')")),
        Command("x/b", script(fails)),
        Command("x/c", script(f"{note}('c')")),
    ]
    monkeypatch.setattr(Steps, "steps", steps)
    with pytest.raises(SystemExit) as stopped:
        cycle.run_cycle(settings)
    assert stopped.value.code == 4
    out, err = capfd.readouterr()
    assert "error: x/b ended with exit code 4; the cycle goes on from it" in err
    assert "+ python -c" in out
    (tmp_path / "mended").touch()
    assert cycle.run_cycle(settings).startswith("2 rounds are done")
    assert log.read_text() == "abbc"
    assert cycle.run_cycle(settings).startswith("2 rounds are done")
    assert log.read_text() == "abbc"


def test_a_round_keeps_its_steps_and_tells_of_configurations_that_changed(
    settings: CycleSettings, tmp_path: Path, monkeypatch, capsys
):
    config, out = tmp_path / "train.yaml", tmp_path / "out"
    config.write_text("a: 1\n")
    steps = [
        Configs("round1/configs", (("qa_semi_seg", config),), out / "round1" / "configs"),
        Command("round1/tune", script("print(1)")),
    ]
    monkeypatch.setattr(Steps, "steps", steps)
    cycle.run_cycle(settings)
    record = (out / "round1" / cycle.RECORD).read_text()
    assert re.findall(r"^# (.*)$", record, re.MULTILINE) == ["round1/configs", "round1/tune"]
    assert "+ python -c 'print(1)'\n" in record
    config.write_text("a: 2\n")
    cycle.run_cycle(settings)
    assert f"warning: {config} has changed since " in capsys.readouterr().err
    (out / "steps" / "round1.keep.txt").touch()  # the round is over
    cycle.run_cycle(settings)
    assert capsys.readouterr().err == ""
    assert (out / "round1" / cycle.RECORD).read_text() == record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datalist": "absent.json"}, "datalist is absent.json: no such file"),
        ({"baseline_path": "absent.pt"}, "baseline_path is absent.pt: no such file"),
        (
            {"bundles_dir": "absent"},
            "absent/baseline_seg/configs/inference.yaml: no such configuration of baseline_seg",
        ),
        ({"overlays": {"qa_semi_seg": ["absent.yaml"]}}, "absent.yaml: no such configuration of qa_semi_seg"),
    ],
)
def test_what_all_steps_need_is_looked_for_before_the_first(settings: CycleSettings, monkeypatch, changes, message):
    monkeypatch.setattr(Steps, "steps", [Command("x/a", script("raise SystemExit(9)"))])
    with pytest.raises(ValueError, match=message):
        cycle.run_cycle(replace(settings, **changes))


def test_a_cycle_waits_for_codes_with_exit_code_3(settings: CycleSettings, cohort: Path, monkeypatch, capsys):
    monkeypatch.setattr(Steps, "steps", [waiting(cohort)])
    with pytest.raises(SystemExit) as stopped:
        cycle.run_cycle(settings)
    assert stopped.value.code == 3
    assert "waiting for codes: 3 of 3 requested segmentations have no code (a, b, c)" in capsys.readouterr().err
    codes_of(cohort / "first_ratings.csv", a=0, b=1, c=2)
    assert cycle.run_cycle(settings).startswith("2 rounds are done")


class Numbered(Steps):
    """Two steps, of which the second depends on the number of requests."""

    def __init__(self, settings: CycleSettings) -> None:
        first = Command("x/a", script(f"print({settings.seed})"))
        self.steps = [first, Command("x/b", script(f"assert {settings.requests} < 300"))]


def test_other_settings_are_another_cycle_where_a_step_was_done_with_them(settings: CycleSettings, monkeypatch):
    monkeypatch.setattr(cycle, "Plan", Numbered)
    with pytest.raises(SystemExit):
        cycle.run_cycle(replace(settings, requests=400))
    assert cycle.run_cycle(settings).startswith("2 rounds are done")  # only the step that failed was another
    cycle.run_cycle(replace(settings, rounds=3, code_files=["more.csv"]))
    with pytest.raises(
        ValueError, match="requests is 200, this run has 100, but x/b was done: go on with the same set"
    ):
        cycle.run_cycle(replace(settings, requests=100))


def test_what_makes_no_difference_to_a_step_is_no_reason_to_refuse_it(tmp_path: Path, cohort: Path):
    out = tmp_path / "out"
    settings = replace(SETTINGS, output_dir=str(out), code_files=["monday.csv"])
    first, configs = (
        next(step for step in Plan(settings) if step.name == f"round1/{name}") for name in ("first/codes", "segment")
    )
    for step in (first, configs):
        (out / "steps").mkdir(parents=True, exist_ok=True)
        (out / "steps" / f"{step.name.replace('/', '.')}.txt").write_text(cycle._text(step) + "\n")
    (out / cycle.SETTINGS).write_text(json.dumps(cycle._plain(settings)))
    changed = {
        "code_files": ["monday.csv", "tuesday.csv"], "options": {"tune": {"max_epochs": 3}}, "audit": 0.5,
        "bundles_dir": str(Path("bundles").absolute()),
    }  # fmt: skip
    cycle._check_settings(replace(settings, **changed), out)
    with pytest.raises(ValueError, match=r"unlabeled_section is 'unlabeled', this run has 'other', but round1/segment"):
        cycle._check_settings(replace(settings, **changed, unlabeled_section="other"), out)
    # (it names what differs in the step, and not what comes first)
    with pytest.raises(ValueError, match=r"learner is .*but round1/segment was done"):
        cycle._check_settings(replace(settings, **changed, learner=LEARNERS["organs"]), out)


def test_a_wrong_setting_that_nothing_was_done_with_can_be_mended(settings: CycleSettings, monkeypatch):
    monkeypatch.setattr(Steps, "steps", [Command("x", script("raise SystemExit(1)"))])
    with pytest.raises(SystemExit):
        cycle.run_cycle(replace(settings, unlabeled_section="misspelt"))
    monkeypatch.setattr(Steps, "steps", [])
    assert cycle.run_cycle(settings).startswith("2 rounds are done")


def test_a_case_that_is_set_aside_does_not_end_a_cycle(settings: CycleSettings, cohort: Path, monkeypatch, capfd):
    summary = cohort / "summary.csv"
    cases = cohort / "data" / "dataset.json", "unlabeled"

    def run(**status: str) -> str:
        text = pd.DataFrame({"case_id": list(status), "status": list(status.values())}).to_csv(index=False)
        step = Command("x", script(f"open({str(summary)!r}, 'w').write({text!r}); raise SystemExit(1)"), summary, cases)
        monkeypatch.setattr(Steps, "steps", [step])
        return cycle.run_cycle(settings)

    done = dict.fromkeys("abcd", "ok")
    for status in (done, {**done, "e": "ok"}, dict.fromkeys("abcde", "set_aside")):  # killed; another error; none left
        with pytest.raises(SystemExit):
            run(**status)
    assert run(**done, e="set_aside").startswith("2 rounds are done")
    assert "1 of 5 cases were set aside" in capfd.readouterr().out
    monkeypatch.setattr(Steps, "steps", [Command("y", script("raise SystemExit(1)"), summary, cases)])
    with pytest.raises(SystemExit):  # it failed before it wrote a table: that is of an earlier run
        cycle.run_cycle(settings)
    table = f"CaseTable({str(summary)!r}, ['case_id', 'status'])"
    begun = f"from custom_components.data.case_table import CaseTable; {table}.start(); raise SystemExit(1)"
    monkeypatch.setattr(Steps, "steps", [Command("z", script(begun), summary, cases)])
    with pytest.raises(SystemExit):  # it took over the rows of an earlier run, and then failed
        cycle.run_cycle(settings)


def test_a_training_that_the_monitor_stops_ends_the_cycle_with_the_weights_before(settings, cohort: Path, monkeypatch):
    (cohort / "start.pt").write_text("start")
    guard = Guard(cohort / "fooling.json", cohort / "start.pt", cohort / "out" / "model.pt")
    for verdict in ({"flagged": "iteration 2", "stopped": False}, {"flagged": "iteration 2", "stopped": True}):
        text = f"open({str(guard.verdict)!r}, 'w').write({json.dumps(verdict)!r}); raise SystemExit(1)"
        monkeypatch.setattr(Steps, "steps", [Command("tune", script(text), guard=guard)])
        if verdict["stopped"]:
            assert cycle.run_cycle(settings).startswith(f"the cycle ends: the monitor stopped {cohort}, iteration 2: ")
        else:
            with pytest.raises(SystemExit):
                cycle.run_cycle(settings)
    assert guard.output.read_text() == "start"
    monkeypatch.setattr(Steps, "steps", [Command("tune", script("raise SystemExit(1)"), guard=guard)])
    with pytest.raises(SystemExit):  # another fault: the verdict is of an earlier run
        cycle.run_cycle(settings)


def test_the_tuning_of_a_round_falls_back_on_its_start():
    guards = {
        step.name: step.guard for step in Plan(replace(SETTINGS, learner=LEARNERS["refreshed"])) if "tune" in step.name
    }
    out = Path("out")
    assert guards["round1/burst8/tune"] == Guard(
        out / "round1" / "burst8" / "training" / "fooling.json", Path("baseline.pt"), out / "model.pt"
    )
    assert guards["round2/burst2/tune"].weights == out / "round1" / "burst8" / "models" / "model.pt"


def test_a_dry_run_tells_and_does_nothing(settings: CycleSettings, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(Steps, "steps", [Command("x", script(f"open({str(tmp_path / 'made')!r}, 'w')"))])
    told: list[str] = []
    assert cycle.run_cycle(settings, dry_run=True, tell=told.append) == "1 steps; nothing was run"
    assert told[0].startswith("+ python -c")
    assert not (tmp_path / "made").exists()
    assert not Path(settings.output_dir).exists()
    shutil.rmtree(tmp_path)


def test_what_is_done_between_commands_is_told_in_the_words_of_the_settings(settings: CycleSettings, monkeypatch):
    step = Configs("configs", (("baseline_seg", Path("a/train.yaml")), ("qa_semi_seg", Path("b.yaml"))), Path("kept"))
    monkeypatch.setattr(Steps, "steps", [step])
    told: list[str] = []
    cycle.run_cycle(settings, dry_run=True, tell=told.append)
    assert told == ["+ configs (files: baseline_seg a/train.yaml qa_semi_seg b.yaml, folder: kept)"]


def test_a_cycle_that_waits_prints_the_command_that_opens_the_page(tmp_path: Path):
    settings = replace(SETTINGS, codes="", output_dir=str(tmp_path), options={"discriminator": {"pixdim": [5, 5, 12]}})
    pages = [step.page for step in Plan(settings) if isinstance(step, Codes | MixedCodes)]
    assert len(pages) > 3
    words = list(pages[1])
    assert words[:3] == ["-m", "custom_components", "review"]
    folder = Path(words[3])
    assert option(words, "images") == f"{folder}_images.json"
    assert option(words, "cases") == f"{folder}_missing.csv"
    assert option(words, "export") == f"{folder}_ratings.csv"
    assert option(words, "pixdim") == "5,5,12"
    mixed = next(step for step in Plan(settings) if isinstance(step, MixedCodes))
    assert "--images" not in mixed.page  # mixed montages tell nobody whose they are
