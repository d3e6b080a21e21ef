from __future__ import annotations

from collections import defaultdict

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import WeightedRandomSampler

from custom_components.data.qa_sampling import code_weights


@given(st.lists(st.sampled_from([0, 1, 2, 0.4, 1.5]), min_size=1, max_size=30))
def test_every_code_that_occurs_has_the_same_share(codes: list[float]):
    shares: dict[int, float] = defaultdict(float)
    for code, weight in zip(codes, code_weights([{"code": code} for code in codes]), strict=True):
        shares[{0: 0, 0.4: 0, 1: 1, 1.5: 2, 2: 2}[code]] += weight
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == pytest.approx([1 / len(shares)] * len(shares))


def test_cases_of_one_code_have_the_same_weight():
    codes = [2, 0, 0, 1, 0, 0, 1, 0]
    weights = code_weights([{"code": code, "case_id": "any"} for code in codes])
    assert weights == pytest.approx([1 / 3, 1 / 15, 1 / 15, 1 / 6, 1 / 15, 1 / 15, 1 / 6, 1 / 15])


def test_a_sampler_draws_rare_codes_as_often_as_common_ones():
    codes = torch.tensor([0] * 90 + [1] * 9 + [2])
    weights = code_weights([{"code": int(code)} for code in codes])
    sampler = WeightedRandomSampler(weights, 3000, generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(codes[list(sampler)])
    assert (counts - 1000).abs().max() < 100


def test_what_fooled_its_discriminator_is_drawn_oftener_and_codes_keep_their_shares():
    cases = [
        {"code": 2, "score": 0.2}, {"code": 2, "score": 1.6}, {"code": 2}, {"code": 0, "score": 1.8}, {"code": 0},
    ]  # fmt: skip
    assert code_weights(cases, 3) == pytest.approx([0.3, 0.1, 0.1, 0.25, 0.25])
    assert code_weights(cases) == pytest.approx([1 / 6] * 3 + [0.25] * 2)
