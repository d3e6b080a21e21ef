"""The datalist of the discriminator: rated segmentations or montages, split by case, as JSON."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from monai.utils import ensure_tuple

from custom_components.anatomy import label_map
from custom_components.case_ids import CASE_ID, check_case_id
from custom_components.data.case_split import SECTIONS, section_shares, split_cases
from custom_components.data.code_values import CODES, nearest_code
from custom_components.data.datalist import datalist_entries, relative_path
from custom_components.data.layout import ERROR
from custom_components.data.listed_images import image_paths
from custom_components.data.qa_sources import Entry, SourceEntries
from custom_components.files import complete_file
from custom_components.options import check_number
from custom_components.user_errors import exit_on_user_error

PATHS = ("image", "segmentation", "montage", "truth")
"""Keys of an entry that hold a path."""


def write_qa_datalist(
    output: str | Path, found: SourceEntries, *, validation: float = 0.1, test: float = 0.1, seed: int = 0
) -> dict[str, dict[str, int]]:
    """Write the datalist of the discriminator.

    The file has the lists `training`, `validation` and `test`, sorted by case, and `split` with the seed, the shares of
    the cases, the number of entries of each code by section, and the number of unrated segmentations, which are in no
    list. An entry is `case_id`, `code`, `model` if it is known, and `montage`, or `image` and `segmentation`; and
    `truth`, `label_set` and `score` where they are given. Paths are relative to the file where that can be.

    Args:
        output: JSON to write.
        found: the rated segmentations; a case is in one section with all of its.
        validation: share of the cases, see `split_cases`.
        test: share of the cases.
        seed: of the split.

    Returns:
        The number of entries of each code by section.

    Raises:
        ValueError: a share is out of range, or there are too few cases.
        OSError: the file cannot be written.
    """
    output = Path(output)
    fractions = section_shares(validation=validation, test=test)
    section_of = split_cases(
        pd.DataFrame(found.entries, columns=[CASE_ID, "code"]), validation=validation, test=test, seed=seed
    )
    lists: dict[str, list[Entry]] = {section: [] for section in SECTIONS}
    for entry in found.entries:
        lists[section_of[entry[CASE_ID]]].append({key: _relative(value, output.parent) for key, value in entry.items()})
    codes = {section: _count(entries) for section, entries in lists.items()}
    split = {"seed": seed, "fractions": fractions, "codes": codes, "unrated": found.unrated}
    with complete_file(output) as partial:
        partial.write_text(json.dumps({**lists, "split": split}, indent=2) + "\n", encoding="utf-8")
    return codes


def read_qa_datalist(path: str | Path, section: str = "training", *, set_aside: bool = False) -> list[Entry]:
    """Read one section of a datalist of rated segmentations or montages.

    Args:
        path: JSON, as `write_qa_datalist` writes it.
        section: `training`, `validation` or `test`.
        set_aside: give an entry whose file is missing an `error` with the reason, for `SetAsideDataset`.

    Returns:
        The entries with absolute paths; `code` is an integer, or a float where raters were averaged.

    Raises:
        ValueError: the list or the section is absent or empty, a case is in two sections, or an entry lacks a key, has
            another code than 0 to 2, an unknown label set, or, without `set_aside`, names a file that is not there.
    """
    path = Path(path)
    if section not in SECTIONS:
        raise ValueError(f"section is {section!r}, expected one of {', '.join(SECTIONS)}")
    lists = {name: datalist_entries(path, name) for name in SECTIONS}
    section_of: dict[str, str] = {}
    for name, entries in lists.items():
        for number, entry in enumerate(entries):
            case_id = _case_id(entry, f"{path}: {name}[{number}]")
            if section_of.setdefault(case_id, name) != name:
                raise ValueError(
                    f"{path}: case {case_id!r} is in {section_of[case_id]} and {name}, expected one section"
                )
    if not lists[section]:
        raise ValueError(f"{path}: section {section!r} is empty, expected at least one rated case")
    checked = []
    for number, entry in enumerate(lists[section]):
        where = f"{path}: {section}[{number}]"
        case = _checked(entry, path, where)
        missing = [key for key in PATHS if not all(map(os.path.exists, ensure_tuple(case.get(key, ()))))]
        reasons = [f"names the {key} {entry[key]}, which does not exist" for key in missing]
        if reasons and not set_aside:
            raise ValueError(f"{where} {reasons[0]}")
        checked.append({**case, ERROR: f"the datalist {reasons[0]}"} if reasons else case)
    return checked


@exit_on_user_error
def qa_cases(datalist: str | Path, section: str = "training", *, set_aside: bool = False) -> list[Entry]:
    """Read one section of a datalist as `read_qa_datalist`; for use in configs, where a mistake ends the run.

    Raises:
        SystemExit: with one line that says what is wrong.
    """
    return read_qa_datalist(datalist, section, set_aside=set_aside)


def _count(entries: Sequence[Entry]) -> dict[str, int]:
    counts = Counter(nearest_code(entry["code"]) for entry in entries)
    return {str(code): counts[code] for code in CODES}


def _case_id(entry: Mapping[str, Any], where: str) -> str:
    try:
        return check_case_id(str(entry.get(CASE_ID) or ""))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _checked(entry: Mapping[str, Any], path: Path, where: str) -> Entry:
    code = entry.get("code")
    if isinstance(code, bool) or not isinstance(code, int | float) or not CODES[0] <= code <= CODES[-1]:
        raise ValueError(f"{where} has code {code!r}, expected a number from 0 to 2")
    if "montage" not in entry and not {"image", "segmentation"} <= entry.keys():
        raise ValueError(f"{where} has {', '.join(entry)}, expected montage, or image and segmentation")
    if "score" in entry:
        check_number(entry["score"], f"{where}: score")
    checked = {**entry, CASE_ID: str(entry[CASE_ID])}
    for key in PATHS:
        if key not in entry:
            continue
        if key == "image":
            checked[key] = _checked_image(entry[key], path, where)
            continue
        if not isinstance(entry[key], str) or not entry[key]:
            raise ValueError(f"{where} has {key} {entry[key]!r}, expected a path")
        checked[key] = os.path.abspath(path.parent / entry[key])
    if "label_set" in entry:
        try:
            label_map(entry["label_set"])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{where}: {error}") from None
    return checked


def _checked_image(image: Any, path: Path, where: str) -> str | list[str]:
    try:
        found = image_paths(image, path.parent)
    except ValueError as error:
        raise ValueError(f"{where} {error}") from None
    return os.path.abspath(found) if isinstance(found, str) else [os.path.abspath(one) for one in found]


def _relative(value: Any, folder: Path) -> Any:
    """A path, or those of the slices of a series, as they are called from a folder; what is none as it is."""
    if isinstance(value, list) and value and isinstance(value[0], Path):
        return [relative_path(path, folder) for path in value]
    return relative_path(value, folder) if isinstance(value, Path) else value
