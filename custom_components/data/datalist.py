"""Lists of cases: reading them, and the labelled cases of a training or an evaluation."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.utils import ensure_tuple

from custom_components.anatomy import label_map
from custom_components.case_ids import CASE_ID, check_case_id
from custom_components.data.layout import ERROR
from custom_components.data.listed_images import default_case_id, image_paths
from custom_components.files import complete_file
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
    text = _read_text(path)
    return _csv_entries(path, text) if path.suffix.lower() == ".csv" else _json_entries(path, text, section)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ValueError(f"datalist is {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError(f"datalist is {path}: no text file, expected JSON or CSV") from None


def _read_json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"datalist is {path}: no JSON ({error}), expected JSON or a .csv") from None


def _json_entries(path: Path, text: str, section: str) -> list[Mapping]:
    content = _read_json(path, text)
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


def datalist_sections(path: Path) -> list[str] | None:
    """Name the lists of a Decathlon JSON that have entries; None for a list of cases without sections.

    Raises:
        ValueError: the file cannot be read.
    """
    content = None if path.suffix.lower() == ".csv" else _read_json(path, _read_text(path))
    if not isinstance(content, dict):
        return None
    return [name for name, value in content.items() if isinstance(value, list) and value]


def copy_datalist(source: str | Path, output: str | Path, changes: Mapping[str, Sequence[Any]]) -> None:
    """Write a Decathlon `dataset.json` in another folder, with paths that hold there.

    Args:
        source: the file.
        output: the new one.
        changes: sections that are replaced or added; their entries have absolute paths.

    Raises:
        ValueError: the source cannot be read or is no object of lists.
        OSError: the output cannot be written.
    """
    source, output = Path(source), Path(output)
    try:
        content = json.loads(source.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ValueError(f"datalist is {source}: {getattr(error, 'strerror', None) or 'no JSON'}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{source}: holds a {type(content).__name__}, expected lists by section")
    base, folder = source.parent.absolute(), output.parent.absolute()
    for name, value in {**content, **changes}.items():
        content[name] = [_moved(entry, base, folder) for entry in value] if isinstance(value, list) else value
    _write(content, output)


def write_entries(output: str | Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write a list of cases without sections, as JSON.

    Args:
        output: the file.
        entries: with absolute paths.

    Raises:
        OSError: the output cannot be written.
    """
    folder = Path(output).parent.absolute()
    _write([_moved(entry, folder, folder) for entry in entries], Path(output))


def _write(content: Any, output: Path) -> None:
    with complete_file(output) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _moved(entry: Any, base: Path, folder: Path) -> Any:
    """The same entry for a list in another folder."""
    if isinstance(entry, str):
        return relative_path(base / entry, folder)
    if not isinstance(entry, dict):
        return entry
    moved = dict(entry)
    for key in ("image", "label"):
        if isinstance(paths := entry.get(key), list):
            moved[key] = [relative_path(base / path, folder) for path in paths]
        elif paths:
            moved[key] = relative_path(base / paths, folder)
    return moved


def relative_path(path: Path, folder: Path) -> str:
    """Give the path of a file from a folder, with slashes; absolute on another drive of Windows.

    Whoever reads `../x` goes up from where a folder is, and not from a link to it: links to folders are followed.
    """
    path = path.parent.resolve() / path.name if path.name not in ("", "..") else path.resolve()
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:
        return str(path)


CASE_KEYS = ("image", "label", CASE_ID, "label_set")
"""What is read of an entry. Other keys of a list are of other programs; some would disturb MONAI's transforms."""


@exit_on_user_error
def labelled_cases(datalist: str | Path, section: str = "training", *, set_aside: bool = False) -> list[dict[str, Any]]:
    """Read the labelled cases of a Decathlon `dataset.json`; for use in configs.

    Args:
        datalist: the file. An entry of a section is `{"image": path, "label": path}`, with paths relative to the file,
            and optionally `case_id` and `label_set` (see `custom_components.anatomy.label_map`). The image may be a
            folder with one DICOM series, or the paths of its slices.
        section: `training`, `validation`, or any other list of the file.
        set_aside: give a case whose file is missing or whose label set is unknown an `error` with the reason, for
            `SetAsideDataset`, instead of ending the program.

    Returns:
        For each entry `image` and `label` with paths resolved, `case_id`, by default the name of the image without
        suffix or of the folder of DICOM slices, and `label_set` where it is given.

    Raises:
        SystemExit: the list is missing or empty, an entry has no image or label, or its case id belongs to another
            entry too or cannot be a folder's name; without `set_aside` also a file that does not exist or an unknown
            label set; one line that says which.
    """
    path = Path(datalist)
    cases: list[dict[str, Any]] = []
    images: dict[str, str] = {}
    for number, entry in enumerate(datalist_entries(path, section)):
        where = f"{section}[{number}]"
        case = _labelled_case(entry, path, where)
        case_id, image = case[CASE_ID], entry["image"]
        if case_id in images:
            raise ValueError(
                f"{path}: {section}: the images {images[case_id]} and {image} share the case id {case_id!r}, "
                "expected one for each: name them apart by `case_id`"
            )
        images[case_id] = image
        if reason := _why_unusable(case, entry, where):
            if not set_aside:
                raise ValueError(f"{path}: {reason}")
            case[ERROR] = reason
        cases.append(case)
    if not cases:
        raise ValueError(f"{path}: section {section!r} is empty, expected at least one labelled case")
    return cases


def _labelled_case(entry: Mapping[str, Any], path: Path, where: str) -> dict[str, Any]:
    case = {key: entry[key] for key in CASE_KEYS if entry.get(key) is not None}
    try:
        case["image"] = image_paths(case.get("image"), path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {where} {error}") from None
    if not isinstance(case.get("label"), str) or not case["label"]:
        raise ValueError(f"{path}: {where} has label {case.get('label')!r}, expected a path")
    case["label"] = str(path.parent / case["label"])
    case_id = case.get(CASE_ID)
    try:
        case[CASE_ID] = check_case_id(default_case_id(case["image"]) if case_id in (None, "") else str(case_id))
    except ValueError as error:
        raise ValueError(f"{path}: {where}: {error}") from None
    return case


def _why_unusable(case: Mapping[str, Any], entry: Mapping[str, Any], where: str) -> str:
    """The reason why a case cannot be loaded, or nothing; paths as they stand in the list, absolute ones by name."""
    for key in ("image", "label"):
        for path, given in zip(ensure_tuple(case[key]), ensure_tuple(entry[key]), strict=True):
            if Path(path).exists():
                continue
            name = Path(given).name if Path(given).is_absolute() else given
            return f"{where} names the {key} {name}, which does not exist"
    try:
        label_map(case.get("label_set", "abdomen12"))
    except ValueError as error:
        return f"{where}: {error}"
    except TypeError:
        return f"{where}: label_set is {case['label_set']!r}, expected a name or a list of organs"
    return ""
