"""The split of rated cases into training, validation and test."""

from __future__ import annotations

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custom_components.data.case_split import SECTIONS, split_cases


def table_of(*codes: float | None, name: str = "case_{:03}") -> pd.DataFrame:
    """A row a case."""
    ids = [name.format(number) for number in range(len(codes))]
    return pd.DataFrame({"case_id": ids, "code": pd.array(codes, dtype="Float64")})


def counts(table: pd.DataFrame, sections: dict[str, str]) -> dict[float, list[int]]:
    """How many cases of each code are in training, validation and test."""
    found = Counter((code, sections[case]) for case, code in table.dropna().itertuples(index=False))
    return {code: [found[code, section] for section in SECTIONS] for code in sorted(table["code"].dropna().unique())}


def test_every_section_has_its_share_of_each_code():
    table = table_of(*[0] * 100, *[1] * 50, *[2] * 30)
    assert counts(table, split_cases(table)) == {0: [80, 10, 10], 1: [40, 5, 5], 2: [24, 3, 3]}
    by_half = counts(table, split_cases(table, validation=0.2, test=0.3))
    assert by_half == {0: [50, 20, 30], 1: [25, 10, 15], 2: [15, 6, 9]}


def test_halves_of_several_codes_add_up_to_the_share():
    table = table_of(*[0] * 15, *[1] * 15, *[2] * 10)
    found = counts(table, split_cases(table))
    assert [sum(column) for column in zip(*found.values(), strict=True)] == [32, 4, 4]


def test_a_rare_code_is_in_every_section():
    table = table_of(*[0] * 40, *[1] * 2, *[2] * 3)
    assert counts(table, split_cases(table)) == {0: [32, 4, 4], 1: [1, 0, 1], 2: [1, 1, 1]}


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_a_seed_gives_one_split_and_another_seed_another(number: int):
    table = table_of(*[0, 1, 2] * 10)
    assert split_cases(table, seed=number) == split_cases(table, seed=number)
    assert split_cases(table, seed=number) != split_cases(table, seed=0)


def test_a_section_without_a_share_stays_empty():
    table = table_of(*[0, 0, 2, 2, 2])
    assert counts(table, split_cases(table, validation=0)) == {0: [1, 0, 1], 2: [2, 0, 1]}
    assert set(split_cases(table, validation=0, test=0).values()) == {"training"}


def test_unrated_rows_are_in_no_section():
    table = table_of(0, 0, 0, None, None)
    assert set(split_cases(table)) == {"case_000", "case_001", "case_002"}


def test_soft_codes_count_as_the_nearest_code():
    table = table_of(0, 0.4, 0.3, 0.5, 1.4, 1, 1.5, 2, 1.6)
    sections = split_cases(table)
    for first in (0, 3, 6):
        assert {sections[f"case_{first + number:03}"] for number in range(3)} == set(SECTIONS)


@pytest.mark.parametrize(
    ("codes", "shares", "message"),
    [
        ([], {}, "training would be empty: 0 cases are rated, at most 0 with the same code, expected at least 3"),
        (
            [0, 0, 2, 2],
            {},
            "validation would be empty: 4 cases are rated, at most 2 with the same code, expected at least 3",
        ),
        (
            [0, 1, 2],
            {"validation": 0},
            "test would be empty: 3 cases are rated, at most 1 with the same code, expected at",
        ),
        ([0] * 9, {"test": 1}, "test is 1, expected a share from 0 to less than 1"),
        ([0] * 9, {"validation": "0.1"}, "validation is '0.1', expected a share from 0 to less than 1"),
        ([0] * 9, {"validation": 0.5, "test": 0.5}, "are 0.5 and 0.5, expected less than 1 together"),
    ],
)
def test_too_few_cases_and_wrong_shares_are_refused(codes: list[int], shares: dict, message: str):
    with pytest.raises(ValueError, match=message):
        split_cases(table_of(*codes), **shares)


CASES = st.dictionaries(
    st.text("abc123", min_size=1, max_size=4), st.lists(st.sampled_from([0, 1, 2, None]), min_size=1)
)


@settings(max_examples=60, deadline=None)
@given(cases=CASES, seed=st.integers(0, 9), random=st.randoms())
def test_the_order_of_rows_changes_nothing_and_no_case_is_on_two_sides(cases: dict, seed: int, random):
    rows = [(case, code) for case, codes in cases.items() for code in codes]
    # enough cases of one code for every section
    rows += [(f"more {number}", 1) for number in range(3)]
    shuffled = random.sample(rows, len(rows))
    first, second = (split_cases(pd.DataFrame(one, columns=["case_id", "code"]), seed=seed) for one in (rows, shuffled))
    assert first == second
    assert set(first) == {case for case, code in rows if code is not None}
    assert set(first.values()) == set(SECTIONS)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.floats(0.01, 0.45), st.floats(0.01, 0.45))
def test_a_code_of_three_cases_is_everywhere_and_no_share_is_far_off(codes: list[int], validation: float, test: float):
    table = table_of(*codes, *[0] * 3)
    found = counts(table, split_cases(table, validation=validation, test=test))
    for numbers in found.values():
        number = sum(numbers)
        if number >= 3:
            assert min(numbers) >= 1
        if number == 2:
            assert numbers == [1, 0, 1]
        for share, count in zip((1 - validation - test, validation, test), numbers, strict=True):
            assert count <= max(share * number, 1) + 1
