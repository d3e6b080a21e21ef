"""What is to be coded: segmentations of one or several models with their CTs, or ready montages."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

from custom_components.anatomy import LabelSet
from custom_components.body_part.body_part_crop import BodyPartCrop
from custom_components.case_ids import CASE_ID
from custom_components.data.case_table import CaseTable
from custom_components.data.cases import Case
from custom_components.data.fingerprint import FINGERPRINT
from custom_components.data.layout import COLUMNS, ERROR, SET_ASIDE, SKIPPED, SOURCE
from custom_components.data.qa_inference import (
    MADE_FROM,
    find_montage_cases,
    skip_finished,
    volume_case,
    with_fingerprint,
)
from custom_components.data.score_files import read_scores
from custom_components.grid_settings import checked_hu_window, checked_pixdim, checked_roi_size
from custom_components.review.layers import LAYERS, layer_name, layer_path
from custom_components.review.store import Item

TABLE = "pictures.csv"


@dataclass(frozen=True)
class Source:
    """What one model made, or what is there of it.

    Attributes:
        model: name of it; empty if there is only one.
        images: folder of CTs, or a list of them, see `custom_components.data.case_files.image_files`.
        segmentations: folder of label maps.
        montages: folder of `<case>.png`, instead of the two.
        scores: CSVs of QA scores, of the discriminator and perhaps of another one.
        label_set: how the segmentations are numbered.
    """

    model: str = ""
    images: str = ""
    segmentations: str = ""
    montages: str = ""
    scores: Sequence[str] = ()
    label_set: LabelSet = "abdomen12"


@dataclass(frozen=True)
class Cohort:
    """All that is to be coded, and how it is drawn.

    Attributes:
        sources: of one or several models.
        folder: where the pictures go.
        pixdim: voxel size of a montage in mm, see `qa_preprocessing`.
        roi_size: voxels of a slice, and the number of slices.
        hu_window: HU shown as black and white.
        body_part: the slices that are kept.
        only: ids of the cases that are wanted; None: all.
    """

    sources: Sequence[Source]
    folder: Path
    pixdim: Sequence[float] = (2.0, 2.0, 6.0)
    roi_size: Sequence[int] = (168, 168, 64)
    hu_window: tuple[float, float] = (-175.0, 275.0)
    body_part: BodyPartCrop | None = None
    only: frozenset[str] | None = None

    def __post_init__(self) -> None:
        checked_pixdim(self.pixdim), checked_roi_size(self.roi_size), checked_hu_window(self.hu_window)
        models = [one.model for one in self.sources]
        if twice := [model for model in models if models.count(model) > 1]:
            raise ValueError(f"models has {twice[0]!r} {models.count(twice[0])} times, expected each name once")

    def layer(self, item: Item, layer: str) -> Path:
        """Where a layer of an item's montage lies."""
        return layer_path(self.pictures(item.model), item.case_id, layer)

    def find(self, draw: Callable[[Source, list[Case]], None] | None = None) -> list[Item]:
        """Look at the cohort: an item for each case of each model.

        Args:
            draw: is called with the cases of a source of which pictures are missing, and draws them; without it, they
                stay missing.

        Raises:
            ValueError: a folder is missing or empty, or a table of scores cannot be read.
        """
        items: list[Item] = []
        for source in self.sources:
            cases, rows = self.cases(source), self.table(source.model).read()
            if draw and source.segmentations and not _is_drawn(cases, rows):
                draw(source, cases)
                rows = self.table(source.model).read()
            faults = {case[CASE_ID]: case[ERROR] for case in cases if ERROR in case}
            faults |= {name: row["reason"] for name, row in rows.items() if row["status"] == SET_ASIDE}
            items += _items(source, cases, faults)
        return items

    def cases(self, source: Source) -> list[Case]:
        """The cases of a source, with `skipped` where the picture is there."""
        cases = find_montage_cases(
            source.images or None, source.segmentations or None, montages=source.montages or None,
            label_set=source.label_set, made_with=self._settings,
        )  # fmt: skip
        if self.only is not None:
            cases = [case for case in cases if case[CASE_ID] in self.only]
        if source.montages:
            return [_inside(case) for case in cases]
        cases = skip_finished(cases, self.table(source.model).read(), None)
        pictures = self.pictures(source.model)
        drawn = set(os.listdir(pictures)) if pictures.is_dir() else set()
        for case in cases:
            if SKIPPED in case and not drawn.issuperset(layer_name(case[CASE_ID], layer) for layer in LAYERS):
                del case[SKIPPED]
        return cases

    def table(self, model: str) -> CaseTable:
        """What became of the pictures of a model."""
        return CaseTable(self.pictures(model) / TABLE, COLUMNS)

    def pictures(self, model: str) -> Path:
        """Folder of the pictures of a model."""
        return self.folder / (quote(model, safe="").replace(".", "%2E") or "_")

    def files(self, model: str, case_id: str) -> list[Path]:
        """The pictures of a case."""
        return [layer_path(self.pictures(model), case_id, layer) for layer in LAYERS]

    def case(self, item: Item) -> Case:
        """The case of an item, with the fingerprint of its files as they are now, or an `error`."""
        if not item.segmentation:
            case = {CASE_ID: item.case_id, SOURCE: item.case_id}
            return with_fingerprint(case, [[Path(item.montage)]], self._settings)
        label_set = self.label_set(item)
        images, labels = [Path(path) for path in item.image], [Path(item.segmentation)]
        context = [*self._settings, str(label_set)]
        case = volume_case(item.case_id, {item.case_id: images}, {item.case_id: labels}, context)
        return case | {"label_set": label_set}

    def made_from(self, item: Item) -> str:
        """Fingerprint of an item's files as they are now, empty if one is gone."""
        return str(self.case(item).get(FINGERPRINT, ""))

    def label_set(self, item: Item) -> LabelSet:
        """How an item's segmentation is numbered.

        Raises:
            LookupError: its model is not shown any more.
        """
        for one in self.sources:
            if one.model == item.model:
                return one.label_set
        raise LookupError("its model is not among those that are shown now")

    @cached_property
    def _settings(self) -> list[str]:
        settings = [self.pixdim, self.roi_size, self.hu_window]
        return [str(one) for one in (*settings, *([self.body_part] if self.body_part else []))]


def _is_drawn(cases: Sequence[Case], rows: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether all pictures are there, but for those of cases that were set aside before."""
    for case in cases:
        row = rows.get(case[CASE_ID], {})
        is_known = row.get("status") == SET_ASIDE and row.get(MADE_FROM) == case.get(FINGERPRINT, "")
        if SKIPPED not in case and not is_known:
            return False
    return True


def leaves_folder(path: str | Path) -> bool:
    """Whether a file is a link to somewhere outside its folder."""
    path = Path(path)
    return not path.resolve().is_relative_to(path.parent.resolve())


def _inside(case: Case) -> Case:
    """Set a montage aside that is a link to somewhere else: its bytes would be sent as they are."""
    if "montage" in case and leaves_folder(case["montage"]):
        return {**case, ERROR: "its file is a link that leaves the folder of montages"}
    return case


def _items(source: Source, cases: Sequence[Case], faults: Mapping[str, str]) -> Iterator[Item]:
    """The cases as items, with what discriminators say of them."""
    scores, doubts = _judged(source.scores)
    for case in cases:
        case_id = case[CASE_ID]
        image = case.get("image", ())
        yield Item(
            case_id=case_id,
            model=source.model,
            image=(image,) if isinstance(image, str) else tuple(image),
            segmentation=str(case.get("segmentation", "")),
            montage=str(case.get("montage", "")),
            made_from=str(case.get(FINGERPRINT, "")),
            score=scores.get(case_id),
            doubt=doubts.get(case_id),
            fault=faults.get(case_id, ""),
        )


def _judged(files: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Score of each case, and how far the score is in doubt: how far two discriminators differ, or its interval."""
    if not files:
        return {}, {}
    first = read_scores(files[0])
    if len(files) > 1:
        second = read_scores(files[1])
        return first, {case_id: abs(first[case_id] - second[case_id]) for case_id in first.keys() & second.keys()}
    try:
        low, high = read_scores(files[0], "low"), read_scores(files[0], "high")
    except ValueError:  # a discriminator without an interval
        return first, {}
    return first, {case_id: high[case_id] - low[case_id] for case_id in low.keys() & high.keys()}
