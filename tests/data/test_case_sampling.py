"""How often labelled and pseudo-labelled cases are drawn."""

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from custom_components.data.case_sampling import case_sampler, case_weights, training_cases


def write(folder: Path, **sections) -> Path:
    for name in ("a", "b", "c", "d"):
        (folder / name).touch()
    path = folder / "dataset.json"
    path.write_text(json.dumps(sections))
    return path


def pair(name: str, **more) -> dict:
    return {"image": name, "label": name, "case_id": name, **more}


def test_pseudo_labelled_cases_follow_the_labelled_ones(tmp_path: Path):
    path = write(tmp_path, training=[pair("a"), pair("b")], pseudo=[pair("c", weight=0.3, code=1), pair("d")])
    assert [case["case_id"] for case in training_cases(path)] == ["a", "b"]
    assert [case["case_id"] for case in training_cases(path, "null")] == ["a", "b"]
    cases = training_cases(path, "pseudo")
    assert [(case["case_id"], case.get("weight")) for case in cases] == [("a", None), ("b", None), ("c", 0.3), ("d", 1)]
    assert cases[2]["image"] == str(tmp_path / "c")


@pytest.mark.parametrize("weight", [0, -1, "1", None, float("nan")])
def test_a_weight_that_cannot_be_is_one_line(tmp_path: Path, weight):
    path = write(tmp_path, training=[pair("a")], pseudo=[pair("c", weight=weight)])
    with pytest.raises(SystemExit, match=r"error: .*dataset.json: pseudo\[0\] weight is .*, expected a number"):
        training_cases(path, "pseudo")


def test_labelled_cases_have_their_share_whatever_the_number_of_the_others():
    cases = [{}] * 3 + [{"weight": 1.0}] * 20 + [{"weight": 0.25}] * 40
    weights = case_weights(cases, 0.4)
    assert sum(weights[:3]) == pytest.approx(0.4)
    assert sum(weights) == pytest.approx(1)
    assert weights[3] == pytest.approx(4 * weights[-1])
    assert case_weights([{}, {}], 0.4) == [0.5, 0.5]


def test_sampler_draws_by_weight_and_as_often_as_asked():
    torch.manual_seed(0)
    cases = [{}, {}, {"weight": 1.0}, {"weight": 0.5}]
    drawn = Counter(case_sampler(cases, labelled_share=0.25, epoch_cases=8000))
    assert drawn[0] + drawn[1] == pytest.approx(2000, rel=0.1)
    assert drawn[2] == pytest.approx(4000, rel=0.1)


def test_labelled_cases_alone_come_once_an_epoch():
    sampler = case_sampler([{}] * 5)
    assert sorted(sampler) == [0, 1, 2, 3, 4]
    assert len(list(case_sampler([{}] * 5, epoch_cases=7))) == 7


def test_numbers_that_cannot_be_are_refused():
    with pytest.raises(SystemExit, match="labelled_share is 2, expected a number from 0 to 1"):
        case_sampler([{}], labelled_share=2)
    with pytest.raises(SystemExit, match="epoch_cases is 0, expected a whole number of at least 1"):
        case_sampler([{}], epoch_cases=0)
