"""Lists of cases: reading them, and the labelled cases of a training or an evaluation."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom_components.anatomy import label_map
from custom_components.user_errors import exit_on_user_error


def datalist_entries(path: Path, section: str) -> list[Mapping[str, Any]]:
    """Read the entries of a list of cases as they stand there.

    Args:
        path: CSV with the column `image`; or JSON, a list or Decathlon's lists by section, with entries that are a
            path or `{"image": path, ...}`.
        section: the list of a Decathlon JSON.

    Raises:
        ValueError: the list is absent or has another form.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"datalist is {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError(f"datalist is {path}: no text file, expected JSON or CSV") from None
    return _csv_entries(path, text) if path.suffix.lower() == ".csv" else _json_entries(path, text, section)


def _json_entries(path: Path, text: str, section: str) -> list[Mapping]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"datalist is {path}: no JSON ({error}), expected JSON or a .csv") from None
    if isinstance(content, dict):
        if section not in content:
            lists = ", ".join(key for key, value in content.items() if isinstance(value, list))
            raise ValueError(f"{path}: section {section!r} not found, found {lists or 'no lists'}")
        content = content[section]
    if not isinstance(content, list):
        raise ValueError(f"{path}: section {section!r} is a {type(content).__name__}, expected a list")
    return [entry if isinstance(entry, dict) else {"image": entry} for entry in content]


def _csv_entries(path: Path, text: str) -> list[Mapping]:
    rows = csv.DictReader(text.splitlines())
    if "image" not in (rows.fieldnames or []):
        raise ValueError(f"{path}: columns are {rows.fieldnames}, expected 'image' and optionally 'case_id'")
    return list(rows)


@exit_on_user_error
def labelled_cases(datalist: str | Path, section: str = "training") -> list[dict[str, Any]]:
    """Read the labelled cases of a Decathlon `dataset.json`; for use in configs.

    Args:
        datalist: the file. An entry of a section is `{"image": path, "label": path}`, with paths relative to the file,
            and optionally `case_id` and `label_set` (see `custom_components.anatomy.label_map`).
        section: `training`, `validation`, or any other list of the file.

    Returns:
        The entries with paths resolved and a `case_id`, by default the name of the image without suffix.

    Raises:
        SystemExit: the list or a file that it names is missing, an entry has no image or label, or its label set is
            unknown; one line that says which.
    """
    path = Path(datalist)
    cases = []
    for number, entry in enumerate(datalist_entries(path, section)):
        where = f"{path}: {section}[{number}]"
        case = dict(entry)
        for key in ("image", "label"):
            if not case.get(key):
                raise ValueError(f"{where} has no {key!r}, found {sorted(entry)}")
            case[key] = str(path.parent / case[key])
            if not Path(case[key]).exists():
                raise FileNotFoundError(f"{where} names the {key} {entry[key]}, which does not exist")
        try:
            label_map(case.get("label_set", "abdomen12"))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        case.setdefault("case_id", Path(case["image"]).name.split(".")[0])
        cases.append(case)
    if not cases:
        raise ValueError(f"{path}: section {section!r} is empty, expected at least one labelled case")
    return cases
