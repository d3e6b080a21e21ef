"""Settings of a cycle."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from custom_components.learning.cycle_settings import LEARNERS, Learner, read_settings

GIVEN = {"datalist": "dataset.json", "output_dir": "out", "baseline_path": "model.pt"}


def read(tmp_path: Path, **settings):
    path = tmp_path / "cycle.yaml"
    path.write_text(yaml.safe_dump({**GIVEN, **settings}))
    return read_settings(path)


def test_a_learner_is_a_name_with_other_numbers_or_all_its_numbers(tmp_path: Path):
    assert read(tmp_path).learner == LEARNERS["organs"]
    assert read(tmp_path, learner="published").learner == Learner(qa_weight=1.0)
    both = read(tmp_path, learner={"name": "ranked", "qa_weight": 0.01, "bursts": 4}).learner
    assert both == replace(LEARNERS["ranked"], qa_weight=0.01, bursts=4)
    with pytest.raises(ValueError, match="learner: training is 3, expected numbers by name"):
        Learner(qa_weight=1.0, training=3)
    own = read(tmp_path, learner={"pseudo_labels": True, "training": {"max_epochs": 3}}).learner
    assert own == replace(LEARNERS["approved"], training={"max_epochs": 3})


def test_the_command_line_counts_more_than_the_file(tmp_path: Path):
    (tmp_path / "cycle.yaml").write_text(yaml.safe_dump({**GIVEN, "rounds": 3, "learner": "approved"}))
    found = read_settings(tmp_path / "cycle.yaml", rounds=1, learner="refreshed", output_dir=None)
    assert (found.rounds, found.learner, found.output_dir) == (1, LEARNERS["refreshed"], "out")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"round": 2}, "settings: 'round' is unknown, expected some of datalist, output_dir"),
        ({"datalist": None}, "datalist is None, expected a path"),
        ({"rounds": 0}, "rounds is 0, expected a whole number of at least 1"),
        ({"audit": 2}, "audit is 2, expected a number from 0 to 1"),
        ({"learner": "best"}, "learner is 'best', expected one of published, refreshed, approved, ranked"),
        ({"learner": ["ranked"]}, "learner is ['ranked'], expected a name or settings by name"),
        ({"learner": {"name": "ranked", "candidate": 3}}, "learner: 'candidate' is unknown, expected some of name"),
        ({"learner": {"candidates": 3}}, "candidates is 3 and pseudo_labels false, expected true"),
        ({"learner": {}}, "neither pseudo_labels nor qa_weight is on"),
        ({"codes": "simulated"}, "codes is simulated and truth is empty, expected the folder of true labels"),
        ({"codes": "codes.csv"}, "codes is 'codes.csv', expected simulated or nothing; files go into code_files"),
        ({"overlays": {"baseline": []}}, "overlays: 'baseline' is unknown, expected some of baseline_seg"),
        ({"options": {"train": {}}}, "options: 'train' is unknown, expected some of segment"),
        ({"options": "x"}, "options is 'x', expected names with values"),
        ({"options": {"tune": 5}}, "options: tune is 5, expected names with values"),
        ({"overlays": {"qa_semi_seg": "phantom.yaml"}}, "overlays: qa_semi_seg is 'phantom.yaml', expected a list of"),
        ({"code_files": "codes.csv"}, "code_files is 'codes.csv', expected a list of paths"),
        ({"monitor": "maybe"}, "monitor is 'maybe', expected true or false"),
        ({"rated_section": "unlabeled"}, "rated_section is 'unlabeled' as unlabeled_section, expected another one"),
        ({"learner": {"name": "ranked", "by_organ": "no"}}, "learner: by_organ is 'no', expected true or false"),
        ({"learner": {"name": "ranked", "weights": [1, 0.3]}}, "learner: weights is [1, 0.3], expected 3 numbers"),
        ({"learner": {"name": "ranked", "weights": [1, 0.3, -1]}}, "learner: weights is -1, expected a number of"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(tmp_path: Path, settings: dict, message: str):
    with pytest.raises(ValueError, match="cycle.yaml") as error:
        read(tmp_path, **settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "- a", ""])
def test_a_file_that_holds_no_settings_is_one_line(tmp_path: Path, text: str):
    path = tmp_path / "cycle.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match="cycle.yaml: ") as error:
        read_settings(path)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="absent.yaml: No such file"):
        read_settings(tmp_path / "absent.yaml")
