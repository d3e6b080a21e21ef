"""What a cycle does itself, between its commands."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import singledispatch
from pathlib import Path

import pandas as pd

from custom_components.case_ids import CASE_ID
from custom_components.data.case_files import sha256_of, volume_files
from custom_components.data.cases import Case, read_datalist
from custom_components.data.code_checks import merge_duplicates
from custom_components.data.code_problems import Problem
from custom_components.data.code_values import CODES
from custom_components.data.codes import Codes as LoadedCodes
from custom_components.data.codes import concatenate_codes, load_codes, read_codes, write_codes
from custom_components.data.consensus import consensus
from custom_components.data.datalist import copy_datalist, write_entries
from custom_components.data.dicom import patient_of
from custom_components.data.layout import ERROR, names_apart
from custom_components.data.listed_images import absolute_paths
from custom_components.files import complete_file
from custom_components.learning.blind_audit import NAME, SHA256, SIDE, mix_montages, read_key, sides_of
from custom_components.learning.code_requests import read_requests
from custom_components.learning.cycle_steps import (
    Codes,
    Configs,
    Guard,
    HoldOut,
    ImageList,
    Keep,
    Mix,
    MixedCodes,
    Remaining,
    Sample,
    Step,
)


class CodesMissing(Exception):  # noqa: N818 - it is a pause, no error
    """People have not coded all that was requested; the text says how many and which."""


class RoundRefused(Exception):  # noqa: N818 - it is an end, no error
    """A round has fewer successes than the one before, or its training fooled the discriminator; the text says so."""


@singledispatch
def act(step: Step) -> str:
    """Do a step that is no command; give a line that says what was done.

    Raises:
        CodesMissing: people have not coded all that was requested.
        RoundRefused: the cycle ends with the weights before this round.
        ValueError: a file cannot be read.
    """
    raise TypeError(f"{type(step).__name__} is no action")


@act.register
def _(step: Configs) -> str:
    check_configs(step.files)
    for file, copy in _copies(step):
        _copy(file, copy)
    return f"{len(step.files)} configurations kept in {step.folder}"


def check_configs(files: Iterable[tuple[str, Path]]) -> None:
    """Make sure that the configurations of bundles are there.

    Raises:
        ValueError: one is not.
    """
    for bundle, file in files:
        if not file.is_file():
            raise ValueError(f"{file}: no such configuration of {bundle}")


def keep_changed(step: Configs) -> Iterator[str]:
    """Keep the configurations too that have changed since the round began; give a line for each that tells."""
    for file, copy in _copies(step):
        if copy.is_file() and file.read_bytes() != copy.read_bytes():
            changed = copy.with_name(f"changed_{sha256_of(file)[:8]}_{copy.name}")
            _copy(file, changed)
            yield f"{file} has changed since {copy} was kept: what is not done yet runs with it, see {changed}"


def _copies(step: Configs) -> Iterator[tuple[Path, Path]]:
    """Each configuration with the name of its copy."""
    taken: set[tuple[str, str]] = set()
    for number, (bundle, file) in enumerate(step.files):
        name = f"{number}_{file.name}" if (bundle, file.name) in taken else file.name
        taken.add((bundle, file.name))
        yield file, step.folder / bundle / name


def _copy(source: Path, target: Path) -> None:
    with complete_file(target) as partial:
        shutil.copyfile(source, partial)


@act.register
def _(step: ImageList) -> str:
    segmented = volume_files(step.segmentations).keys()
    cases = [case for case in _usable(step.datalist, step.section)[0] if case[CASE_ID] in segmented]
    write_entries(step.output, [_entry(case) for case in cases])
    return f"{len(cases)} images are listed; see {step.output}"


@act.register
def _(step: Sample) -> str:
    chosen, left, unusable = _drawn(step)
    copy_datalist(step.datalist, step.output, {step.section: chosen})
    return f"{len(chosen)} of {len(chosen) + len(left)} cases are drawn{unusable}; see {step.output}"


@act.register
def _(step: HoldOut) -> str:
    chosen, left, unusable = _drawn(step)
    if not left:
        raise ValueError(f"{step.datalist}: {step.section} has {len(chosen)} cases, expected more than {step.count}")
    copy_datalist(step.datalist, step.output, {step.section: left, step.to: chosen})
    count = len(chosen) + len(left)
    return f"{len(chosen)} of {count} cases are held out as {step.to}{unusable}; see {step.output}"


def _drawn(step: Sample | HoldOut) -> tuple[list[Case], list[Case], str]:
    """Entries of random cases of a section, of the others, and what cannot be used.

    The series of one patient in a DICOM folder stay together.
    """
    usable, unusable = _usable(step.datalist, step.section)
    groups: dict[str, list[Case]] = {}
    for case in usable:
        groups.setdefault(_group(case), []).append(case)
    chosen: set[str] = set()
    names = [[str(case[CASE_ID]) for case in group] for group in groups.values()]
    for group in sorted(names, key=lambda ids: hashlib.sha256(f"{step.seed} {ids[0]}".encode()).digest()):
        if len(chosen) >= step.count:
            break
        chosen.update(group)
    parts: tuple[list[Case], list[Case]] = [], []
    for case in usable:
        parts[case[CASE_ID] not in chosen].append(_entry(case))
    return *parts, unusable


def _usable(datalist: Path, section: str) -> tuple[list[Case], str]:
    """The cases of a section that can be used, in the order of their ids, and words about the others."""
    cases = read_datalist(datalist, section=section)
    errors = [case[ERROR] for case in cases if ERROR in case]
    words = f", {len(errors)} cannot be used ({errors[0]})" if errors else ""
    return [case for case in cases if ERROR not in case], words


def _group(case: Case) -> str:
    if isinstance(case["image"], str):
        return str(case[CASE_ID])
    return f"{Path(case['image'][0]).parent} {patient_of(case['image'][0])}"


def _entry(case: Case) -> Case:
    """The entry of a case in a datalist."""
    return {CASE_ID: case[CASE_ID], "image": absolute_paths(case["image"])}


@act.register
def _(step: Remaining) -> str:
    cases, unusable = _usable(step.datalist, step.section)
    good = {case_id for path in step.codes for case_id, code in _codes_of(path).items() if code == CODES[0]}
    remaining = [case for case in cases if case[CASE_ID] not in good]
    copy_datalist(step.datalist, step.output, {step.section: [_entry(case) for case in remaining]})
    return f"{len(remaining)} of {len(cases)} cases have no segmentation coded 0{unusable}; see {step.output}"


@act.register
def _(step: Codes) -> str:
    requested = [one.case_id for one in read_requests(step.requests)]
    paths = volume_files(step.segmentations)
    digests = {case_id: sha256_of(paths[case_id][-1]) for case_id in requested if case_id in paths}
    found = [load_codes(step.ratings, segmentations=step.segmentations)] if step.ratings.is_file() else []
    table = _joined([*found, *_of_files(step.code_files, SHA256, set(digests.values()))])
    table = table[table[CASE_ID].isin(digests)].copy()
    table[SHA256] = table[CASE_ID].map(digests)
    codes = _rated(table)
    _stop_for_missing(step, requested, set(codes[CASE_ID]), step.segmentations)
    write_codes(codes, step.codes)
    return f"{len(requested)} segmentations are coded; see {step.codes}"


@act.register
def _(step: Mix) -> str:
    montages = [folder.with_name(f"{folder.name}_montages") for folder in step.segmentations]
    count = mix_montages(step.segmentations, montages, step.folder, _key(step.folder), seed=step.seed)
    return f"{count} montages from before and after are mixed in {step.folder}"


@act.register
def _(step: MixedCodes) -> str:
    key = read_key(_key(step.folder))
    found = [read_codes(step.ratings)] if step.ratings.is_file() else []
    table = _joined([*found, *_of_files(step.code_files, CASE_ID, set(key[NAME]))])
    for name in sorted(set(table[CASE_ID]) - set(key[NAME])):
        print(f"{step.ratings}: {name!r} is no montage in {step.folder}: its row does not count", file=sys.stderr)
    sides = [_rated(side) for side in sides_of(key, table)]
    coded = [set(side[CASE_ID]) for side in sides]
    rows = zip(key[NAME], key[CASE_ID], key[SIDE], strict=True)
    done = {name for name, case_id, side in rows if case_id in coded[side]}
    _stop_for_missing(step, list(key[NAME]), done, step.folder)
    for side, path in zip(sides, step.codes, strict=True):
        write_codes(side, path)
    return f"{len(key)} montages are coded; see {step.codes[0]} and {step.codes[1]}"


def _key(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}_key.csv")


def _of_files(files: Sequence[Path], column: str, known: set[str]) -> Iterator[LoadedCodes]:
    """The ratings of further files that have these values in a column; a file without raters is one rater's."""
    for file, rater in zip(files, names_apart(files) if files else (), strict=True):
        if file.is_file():
            table, problems = read_codes(file)
            if not (table["rater"] != "").any():
                table["rater"] = rater
            yield LoadedCodes(table[table[column].isin(known)], problems)


def _joined(found: Sequence[LoadedCodes]) -> pd.DataFrame:
    """All ratings, also those that say that a segmentation is unrated; rows that do not count are told."""
    _tell(problem for one in found for problem in one.problems)
    return concatenate_codes([one.table for one in found])


def _rated(table: pd.DataFrame) -> pd.DataFrame:
    """The code that each rater has at last for each segmentation; what else there is is told."""
    merged = merge_duplicates(table)
    _tell(merged.problems)
    return merged.table[merged.table["code"].notna()]


def _tell(problems: Iterable[Problem]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)


def _stop_for_missing(step: Codes | MixedCodes, requested: Sequence[str], done: set[str], folder: Path) -> None:
    """Say how many codes are missing, and write down which.

    Raises:
        CodesMissing: some are.
    """
    missing = [name for name in requested if name not in done]
    if not missing:
        return
    path = folder.with_name(f"{folder.name}_missing.csv")
    with complete_file(path) as partial:
        pd.DataFrame({CASE_ID: missing}).to_csv(partial, index=False)
    shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
    absent = [str(file) for file in step.code_files if not file.is_file()]
    not_there = f"; of code_files {', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not there" if absent else ""
    reasons = ""
    what, montages = "mixed montages", folder
    if isinstance(step, Codes):
        what, montages = "requested segmentations", folder.with_name(f"{folder.name}_montages")
        reasons = "; in the column reason name the organs that are not good" if step.reasons else ""
    page = f"; a page to code them on: python {shlex.join(step.page)}" if step.page else ""
    raise CodesMissing(
        f"{len(missing)} of {len(requested)} {what} have no code ({shown}): code the montages in {montages} that "
        f"{path} lists, write the codes to {step.ratings}, and run the same command again{reasons}{not_there}{page}"
    )


@act.register
def _(step: Keep) -> str:
    before, after = (_codes_of(path) for path in (step.before, step.after))
    common = sorted(before.keys() & after.keys())
    counts = {
        name: [sum(codes[case_id] == code for case_id in common) for code in CODES]
        for name, codes in (("before", before), ("after", after))
    }
    line = " and ".join(f"{name} {'/'.join(map(str, count))}" for name, count in counts.items())
    line = f"codes 0/1/2 of the {len(common)} rated cases: {line}"
    for path in step.verdicts:
        if reason := json.loads(path.read_text(encoding="utf-8"))["flagged"] if path.is_file() else None:
            line += f"; {path.parent} was flagged, {reason}"
    is_worse = counts["after"][0] < counts["before"][0]
    _copy(step.weights_before if is_worse else step.weights, step.output)
    if is_worse:
        raise RoundRefused(f"{line}: fewer successes, so that {step.output} holds the weights before this round")
    return f"{line}; the weights are kept as {step.output}"


def refuse_if_stopped(guard: Guard) -> None:
    """End the cycle with the weights before the round, if the fooling monitor stopped its training.

    Raises:
        RoundRefused: it did.
    """
    verdict = json.loads(guard.verdict.read_text(encoding="utf-8")) if guard.verdict.is_file() else {}
    if verdict.get("stopped"):
        _copy(guard.weights, guard.output)
        raise RoundRefused(
            f"the monitor stopped {guard.verdict.parent}, {verdict['flagged']}: {guard.output} holds the weights "
            "before this round"
        )


def _codes_of(path: Path) -> dict[str, int]:
    """The code of each case; of several raters' that of the majority, as the report has it."""
    table = consensus(load_codes(path).table)
    return {case_id: int(code) for case_id, code in zip(table[CASE_ID], table["code"], strict=True) if pd.notna(code)}
