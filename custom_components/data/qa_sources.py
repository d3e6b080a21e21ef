"""Ratings together with the files that they are about."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from custom_components.anatomy import label_map
from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import image_files, montage_files, volume_files
from custom_components.data.code_problems import Action, Problem, problem_of
from custom_components.data.codes import load_codes
from custom_components.data.consensus import How, consensus
from custom_components.data.score_files import read_scores

Entry = dict[str, Any]
"""`case_id`, `code`, and paths: `montage`, or `image` (of slices of a DICOM series a list) and `segmentation`; perhaps
`model`, `truth`, `label_set` and `score`."""

_FOLDERS = {"image": "images", "segmentation": "segmentations", "montage": "montages", "truth": "truth"}
"""The fields of a source by the keys of an entry."""


@dataclass(frozen=True)
class QASource:
    """A file of codes, and the folders of what it is about; another model's segmentations are another source.

    Args:
        codes: see `custom_components.data.codes.load_codes`.
        images: folder with a CT for each case, or a list, see `custom_components.data.case_files.image_files`.
        segmentations: folder of `<case>/<case>_seg.nii.gz` or `<case>.nii.gz`.
        montages: folder of `<case>.png`, in place of images and segmentations.
        truth: folder of true labels in our numbering, named like segmentations.
        label_set: numbering of the segmentations, see `custom_components.anatomy.label_map`.
        columns: names of the file's columns by ours, see `custom_components.data.codes.read_codes`.
        values: codes by what the file has for them, see the same.
        scores: CSV of the QA scores that the segmentations had, see `custom_components.data.score_files.read_scores`.

    Raises:
        ValueError: neither or both of montages, and images with segmentations, are given; or the label set is unknown.
    """

    codes: str | Path
    images: str | Path | None = None
    segmentations: str | Path | None = None
    montages: str | Path | None = None
    truth: str | Path | None = None
    label_set: str | None = None
    columns: Mapping[str, str] | None = None
    values: Mapping[Any, int | None] | None = None
    scores: str | Path | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("images", "segmentations", "montages") if getattr(self, name) is not None]
        if given not in (["images", "segmentations"], ["montages"]):
            found = " and ".join(given) or "no folders"
            raise ValueError(f"{self.codes}: given are {found}, expected images and segmentations, or montages")
        if self.label_set is not None:
            label_map(self.label_set)


class SourceEntries(NamedTuple):
    """What sources give: rated entries, sorted by case; the number of unrated segmentations; what is wrong."""

    entries: list[Entry]
    unrated: int
    problems: list[Problem]


def source_entries(source: QASource, *, how: How = "majority") -> SourceEntries:
    """Give each segmentation one code, and find its files.

    A rating without its file, or of one of several segmentations of a case in one file of codes, is a problem and
    `rejected`; one without its truth is `kept`.

    Args:
        source: what to read.
        how: the code of several raters, see `consensus`; with `mean` the codes in the file may be soft too.

    Raises:
        ValueError: the codes or a folder cannot be read.
    """
    table, problems = load_codes(
        source.codes,
        columns=source.columns,
        values=source.values,
        soft=how == "mean",
        segmentations=source.segmentations,
    )
    table = consensus(table, how)
    is_rated = table["code"].notna()
    table, unrated = table[is_rated], int((~is_rated).sum())
    numbers = Counter(table[CASE_ID])
    files = _files(source)
    scores = read_scores(source.scores) if source.scores else {}
    entries = []
    for place, row in zip(table.index, table.to_dict("records"), strict=True):
        found = {kind: files[kind].get(row[CASE_ID], []) for kind in files}
        faults = [
            problem_of(place, row, kind, *_what_is_there(source, kind, paths))
            for kind, paths in found.items()
            if isinstance(paths, str) or not paths or (len(paths) > 1 and kind != "image")
        ]
        if (several := numbers[row[CASE_ID]]) > 1:
            expected = "ratings of one segmentation a case, that in the folder"
            faults = [problem_of(place, row, "segmentation", f"one of {several}", expected, "rejected")]
        problems += faults
        if any(fault.action == "rejected" for fault in faults):
            continue
        entry: Entry = {CASE_ID: row[CASE_ID], "code": float(row["code"]) if how == "mean" else int(row["code"])}
        if row["model"]:
            entry["model"] = row["model"]
        good = {kind: paths for kind, paths in found.items() if kind not in {fault.field for fault in faults}}
        entry |= {kind: paths[0] if len(paths) == 1 else paths for kind, paths in good.items()}
        if "segmentation" in entry and source.label_set:
            entry["label_set"] = source.label_set
        if row[CASE_ID] in scores:
            entry["score"] = scores[row[CASE_ID]]
        entries.append(entry)
    return SourceEntries(entries, unrated, problems)


def joined_entries(sources: Sequence[QASource], *, how: How = "majority") -> SourceEntries:
    """Join the entries of sources, which may have the same cases, sorted by case and path.

    Raises:
        ValueError: as `source_entries`; or two sources rate the same file.
    """
    rated: dict[tuple[str, str], Entry] = {}
    unrated, problems = 0, []
    for source in sources:
        found = source_entries(source, how=how)
        unrated += found.unrated
        problems += found.problems
        for entry in found.entries:
            path = entry.get("montage") or entry["segmentation"]
            key = (entry[CASE_ID], os.path.realpath(path))
            if key in rated:
                raise ValueError(
                    f"{source.codes}: {path} is in another file of codes too, expected one: merge the codes first"
                )
            rated[key] = entry
    return SourceEntries([entry for _, entry in sorted(rated.items())], unrated, problems)


def _files(source: QASource) -> dict[str, Mapping[str, list[Path] | str]]:
    """The files of each kind that the source has, by case id: a list of paths, or the reason why there is none."""
    find: dict[str, Callable[[str], Any]] = {
        "image": lambda folder: image_files(folder, skip_dir=source.segmentations),
        "segmentation": volume_files,
        "montage": montage_files,
        "truth": volume_files,
    }
    folders = {kind: getattr(source, name) for kind, name in _FOLDERS.items()}
    return {kind: find[kind](folder) for kind, folder in folders.items() if folder is not None}


def _what_is_there(source: QASource, kind: str, paths: list[Path] | str) -> tuple[str, str, Action]:
    """What is found and expected of a kind of file, and what that means for the rating."""
    if isinstance(paths, str):
        found = paths
    else:
        found = f"{len(paths)} files: {paths[0].name}, {paths[1].name}" if paths else "not there"
    folder = getattr(source, _FOLDERS[kind])
    return found, f"one file of the case in {folder}", "kept" if kind == "truth" else "rejected"
