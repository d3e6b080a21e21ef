"""What a cycle consists of: commands, and what is done between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Guard:
    """What a cycle falls back on if the fooling monitor stops a training.

    Attributes:
        verdict: `fooling.json` of the training.
        weights: of the round's start.
        output: copy of them.
    """

    verdict: Path
    weights: Path
    output: Path


@dataclass(frozen=True)
class Command:
    """A program that is run, `python` with these arguments.

    Attributes:
        name: unique within the cycle, such as `round1/tune`.
        words: the arguments.
        summary: table of cases that an inference leaves; exit code 1 is no failure if all are in it, some set aside.
        cases: datalist and section of these.
        guard: of a training that a fooling monitor may stop.
    """

    name: str
    words: tuple[str, ...]
    summary: Path | None = None
    cases: tuple[Path, str] | None = None
    guard: Guard | None = None


@dataclass(frozen=True)
class Configs:
    """Keep copies of the configurations that a round runs with.

    Attributes:
        name: unique within the cycle.
        files: of the bundles, and overlays.
        folder: of the copies, which are named after their bundle.
    """

    name: str
    files: tuple[tuple[str, Path], ...]
    folder: Path


@dataclass(frozen=True)
class ImageList:
    """Write a list of the images of the segmented cases of a section.

    Attributes:
        name: unique within the cycle.
        datalist: where the images are.
        section: of the datalist.
        segmentations: folder of the cases.
        output: JSON without sections.
    """

    name: str
    datalist: Path
    section: str
    segmentations: Path
    output: Path


@dataclass(frozen=True)
class Codes:
    """Wait for people's codes of the requested segmentations.

    Attributes:
        name: unique within the cycle.
        segmentations: folder of them.
        requests: CSV of the cases.
        ratings: CSV that people write.
        code_files: further CSVs, of which the ratings count that name the SHA-256 of a segmentation.
        codes: CSV that holds the codes of the requested in the end.
        reasons: whether the reasons of bad codes are learnt from.
        page: arguments of `python` that open a page to code them on.
    """

    name: str
    segmentations: Path
    requests: Path
    ratings: Path
    code_files: Sequence[Path]
    codes: Path
    reasons: bool = False
    page: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mix:
    """Mix the montages of the rated cases before and after a round under new names, for people to code them blind.

    Attributes:
        name: unique within the cycle.
        segmentations: folders before and after, with their montages beside them.
        seed: of the order.
        folder: of the mixed montages; `<folder>_key.csv` tells what they are.
    """

    name: str
    segmentations: tuple[Path, Path]
    seed: int
    folder: Path


@dataclass(frozen=True)
class MixedCodes:
    """Wait for people's codes of mixed montages, and give them to the segmentations that they are of.

    Attributes:
        name: unique within the cycle.
        folder: see `Mix`.
        ratings: CSV that people write, with the new names as case ids.
        code_files: further CSVs, of which the ratings count that name the SHA-256 of a segmentation.
        codes: CSVs of the codes before and after.
        page: as of `Codes`.
    """

    name: str
    folder: Path
    ratings: Path
    code_files: Sequence[Path]
    codes: tuple[Path, Path]
    page: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remaining:
    """Write a datalist of the cases of which no segmentation was coded 0 yet; only these need candidates.

    Attributes:
        name: unique within the cycle.
        datalist: of all cases.
        section: of it.
        codes: CSVs of codes of all rounds so far.
        output: JSON with the same section.
    """

    name: str
    datalist: Path
    section: str
    codes: tuple[Path, ...]
    output: Path


@dataclass(frozen=True)
class Sample:
    """Write a datalist of random cases of a section.

    Attributes:
        name: unique within the cycle.
        datalist: of all cases.
        section: of it.
        count: how many.
        seed: of the choice.
        output: JSON with the same section.
    """

    name: str
    datalist: Path
    section: str
    count: int
    seed: int
    output: Path


@dataclass(frozen=True)
class HoldOut:
    """Copy a datalist, with random cases of a section taken out of it and put into another one.

    Attributes:
        name: unique within the cycle.
        datalist: of all cases.
        section: of it.
        count: how many.
        seed: of the choice.
        output: the copy.
        to: name of the other section.
    """

    name: str
    datalist: Path
    section: str
    count: int
    seed: int
    output: Path
    to: str


@dataclass(frozen=True)
class Keep:
    """Keep a round if there are no fewer successes than before; else the cycle ends with the weights before.

    Attributes:
        name: unique within the cycle.
        before: CSV of codes of the rated cases.
        after: the same, of the round's network.
        weights_before: that it started from.
        weights: of the round.
        output: copy of what is kept.
        verdicts: `fooling.json` of the round's trainings, which are told.
    """

    name: str
    before: Path
    after: Path
    weights_before: Path
    weights: Path
    output: Path
    verdicts: tuple[Path, ...] = ()


Step = Command | Configs | ImageList | Codes | Mix | MixedCodes | Remaining | Sample | HoldOut | Keep
