"""Which cases people are asked to code."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom_components.learning.code_requests import CodeRequest, request_codes

CASES = [f"case{number:02d}" for number in range(40)]
SCORES = {case_id: number / 20 for number, case_id in enumerate(CASES)}  # 0 to 1.95


def by_choice(requests: list[CodeRequest], choice: str) -> list[str]:
    return [one.case_id for one in requests if one.choice == choice]


def test_shares_are_kept_and_nothing_is_asked_twice():
    found = request_codes(CASES, 10, scores=SCORES, audit=0.2, uncertain=0.5)
    assert len({one.case_id for one in found}) == 10
    assert [len(by_choice(found, choice)) for choice in ("audit", "uncertain", "worst")] == [2, 5, 3]


def test_uncertain_are_near_a_limit_and_worst_have_the_highest_scores():
    found = request_codes(CASES, 10, scores=SCORES, audit=0, uncertain=0.6)
    assert set(by_choice(found, "uncertain")) == {"case09", "case10", "case11", "case29", "case30", "case31"}
    assert by_choice(found, "worst") == ["case39", "case38", "case37", "case36"]


def test_uncertain_is_what_two_discriminators_disagree_on():
    others = SCORES | {"case03": 2.0, "case20": 0.0}
    found = request_codes(CASES, 2, scores=SCORES, others=others, audit=0, uncertain=1)
    assert by_choice(found, "uncertain") == ["case03", "case20"]


def test_audit_depends_on_the_seed_and_a_case_alone():
    def audit(cases: list[str], seed: int = 0) -> list[str]:
        return by_choice(request_codes(cases, len(cases) // 4, scores=SCORES, audit=1, uncertain=0, seed=seed), "audit")

    assert audit(CASES) == audit(CASES[::-1])
    assert audit(CASES) != audit(CASES, seed=1)
    # the audit is not of the worst: over many seeds every case has its turn
    drawn = {case_id for seed in range(40) for case_id in audit(CASES, seed)}
    assert drawn == set(CASES)


def test_without_scores_all_are_random_and_a_case_without_a_score_is_only_audited():
    assert {one.choice for one in request_codes(CASES, 5)} == {"audit"}
    found = request_codes([*CASES, "unscored"], 41, scores=SCORES, audit=0)
    assert "unscored" not in {one.case_id for one in found}
    assert len(request_codes(CASES, 99)) == 40


def test_shares_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="uncertain is 0.6, expected a number from 0 to 0.5"):
        request_codes(CASES, 5, audit=0.5, uncertain=0.6)


def test_taken_candidates_need_the_scores(call, tmp_path: Path):
    path = tmp_path / "a.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.uint8), np.eye(4)), path)
    words = ("codes", "request", tmp_path / "requests.csv", tmp_path, "--taken_only")
    message = "error: taken_only is true and scores is empty, expected the summary.csv of the inference\n"
    assert call(*words, "true") == (2, "", message)
    assert call(*words, "false")[0] == 0


def test_what_the_audit_leaves_is_uncertain_or_worst():
    found = request_codes("abcde", 5, scores=dict.fromkeys("abcde", 1.0), audit=1)
    assert {one.choice for one in found} == {"audit"}
    found = request_codes("abcde", 5, scores=dict.fromkeys("abcde", 1.0), audit=0.8)
    assert [one.choice for one in found].count("uncertain") == 1
