import pytest

from custom_components.options import flag, number, numbers


@pytest.mark.parametrize(
    ("value", "options", "read"),
    [
        (0.5, {}, 0.5),
        ("1e-4", {}, 1e-4),
        ("3", {"whole": True}, 3),
        (3.0, {"whole": True}, 3),
        (None, {"optional": True}, None),
        ("None", {"optional": True}, None),
        ("null", {"optional": True}, None),
    ],
)
def test_numbers_are_read_also_from_texts(value: object, options: dict, read: float | None):
    found = number(value, "jitter", **options)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        ("abc", {}, "'abc', expected a finite number"),
        (None, {}, "None, expected a finite number"),
        (True, {}, "True, expected a finite number"),
        ([1], {}, r"\[1\], expected a finite number"),
        ("nan", {"low": 0}, "nan, expected a number of at least 0"),
        (float("inf"), {"low": 0}, "inf, expected a number of at least 0"),
        (-1, {"low": 0}, "-1, expected a number of at least 0"),
        (1.5, {"low": 0, "high": 1}, "1.5, expected a number from 0 to 1"),
        (1.5, {"low": 1, "whole": True}, "1.5, expected a whole number of at least 1"),
    ],
)
def test_what_is_no_such_number_is_one_line(value: object, options: dict, expected: str):
    with pytest.raises(SystemExit, match=f"^error: jitter is {expected}$"):
        number(value, "jitter", **options)


def test_a_list_has_as_many_numbers_as_it_must():
    assert numbers((64, 32.0), "montage_size", 2, 1, whole=True) == [64, 32]
    for value in ([64], 64, "64,64", [64, 64, 64]):
        with pytest.raises(SystemExit, match="^error: montage_size is .*, expected 2 numbers$"):
            numbers(value, "montage_size", 2)
    with pytest.raises(SystemExit, match="^error: montage_size is 0, expected a whole number of at least 1$"):
        numbers([0, 64], "montage_size", 2, 1, whole=True)


@pytest.mark.parametrize(("value", "read"), [(True, True), ("true", True), ("False", False), (False, False)])
def test_a_switch_means_what_it_says_also_as_text(value: bool | str, read: bool):
    assert flag(value, "resume") is read


def test_a_switch_of_another_value_is_one_line():
    with pytest.raises(SystemExit, match=r"^error: resume is 'yes', expected true or false$"):
        flag("yes", "resume")
