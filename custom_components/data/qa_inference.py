"""What a scoring run has to do: images with their segmentations, or montages, without those that were done before."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from custom_components.anatomy import LabelSet, label_map
from custom_components.case_ids import CASE_ID, case_id_of, readable
from custom_components.data.case_files import image_files, montage_files, sha256_of, volume_files
from custom_components.data.case_table import Row
from custom_components.data.cases import Case
from custom_components.data.fingerprint import FINGERPRINT, fingerprint
from custom_components.data.layout import ERROR, SKIPPED, SOURCE, montage_png_path, segmentation_path
from custom_components.user_errors import exit_on_user_error

MADE_FROM = "made_from"
"""Column of the fingerprint of what a row was made from."""

Found = Mapping[str, list[Path] | str]
"""For each case its paths, or the reason why it has none."""


def find_montage_cases(
    images: str | Path | None,
    segmentations: str | Path | None,
    *,
    montages: str | Path | None = None,
    label_set: LabelSet = "abdomen12",
    made_with: Sequence[object] = (),
) -> list[Case]:
    """List the cases of two folders whose montages are wanted, or of a folder of montages.

    Args:
        images: folder of CTs, or a list of them, see `custom_components.data.case_files.image_files`.
        segmentations: folder of label maps, `<case>/<case>_seg.nii.gz` or `<case>` with the suffix of a volume, each
            on the grid of its CT.
        montages: folder of `<case>.png`, instead of the two.
        label_set: how the segmentations are numbered, see `custom_components.anatomy.label_map`.
        made_with: files, such as weights, or settings; a result that was made with others is not finished.

    Returns:
        For each case `case_id`, `source`, `fingerprint`, and `image`, `segmentation` and `label_set`, or `montage`. A
        case that lacks one of its files, or has several of a kind, has an `error`.

    Raises:
        ValueError: a folder is missing or has no such files, or the label set is unknown.
    """
    label_map(label_set)
    context = [_content(item) for item in made_with]
    if montages:
        found = montage_files(str(montages))
        return [_montage_case(case_id, paths, context) for case_id, paths in sorted(found.items())]
    for name, folder in (("images", images), ("segmentations", segmentations)):
        if not folder:
            raise ValueError(f"{name} is not given, expected a folder")
    cts, labels = image_files(str(images), skip_dir=segmentations), volume_files(str(segmentations))
    context.append(str(label_set))
    cases = [volume_case(case_id, cts, labels, context) for case_id in sorted(cts.keys() | labels.keys())]
    for case in cases:
        case["label_set"] = label_set
    return cases


montage_cases = exit_on_user_error(find_montage_cases)
"""`find_montage_cases` for use in configs, where a mistake ends the run with one line."""


def skip_finished(cases: Sequence[Case], rows: Mapping[str, Row], png_dir: str | Path | None) -> list[Case]:
    """Mark cases as `skipped` that an earlier run finished with the same files.

    Args:
        cases: as `montage_cases` gives them.
        rows: of the earlier run's table, with `status` and `made_from`.
        png_dir: where the montage of a finished case lies; None if it needs none.
    """
    marked = []
    for case in cases:
        row = rows.get(case[CASE_ID], {})
        done = row.get("status") == "ok" and row.get(MADE_FROM) == case.get(FINGERPRINT) and ERROR not in case
        needs_png = png_dir is not None and "image" in case
        if done and needs_png:
            done = montage_png_path(str(png_dir), case[CASE_ID]).is_file()
        marked.append({**case, SKIPPED: "finished before"} if done else case)
    return marked


def finished_cases(cases: Sequence[Case], output_dir: str | Path) -> list[Case]:
    """List the cases of an inference run that an earlier one finished, with their segmentations; for use in configs.

    Args:
        cases: as `custom_components.data.cases.inference_cases` gives them.
        output_dir: where the segmentations lie.

    Returns:
        For each case `case_id`, `source`, `image` and `segmentation`.
    """
    return [
        {key: case[key] for key in (CASE_ID, SOURCE, "image")}
        | {"segmentation": str(segmentation_path(output_dir, case[CASE_ID]))}
        for case in cases
        if SKIPPED in case
    ]


def _montage_case(case_id: str, paths: list[Path], context: Sequence[str]) -> Case:
    case: Case = {CASE_ID: case_id, SOURCE: " and ".join(path.name for path in paths)}
    if len(paths) > 1:
        return {**case, ERROR: f"{len(paths)} montages: {case[SOURCE]}, expected one"}
    return with_fingerprint({**case, "montage": str(paths[0])}, [paths], context)


def volume_case(case_id: str, cts: Found, labels: Found, context: Sequence[str] = ()) -> Case:
    """Make the case of a CT and its segmentation.

    Args:
        case_id: its id.
        cts: as `custom_components.data.case_files.image_files` gives them.
        labels: as `custom_components.data.case_files.volume_files` gives them.
        context: what else a result is made with.

    Returns:
        As `find_montage_cases`, without `label_set`.
    """
    case: Case = {CASE_ID: case_id, SOURCE: case_id}
    image, segmentation = cts.get(case_id, "no image"), labels.get(case_id, "no segmentation")
    if isinstance(image, list) and case_id_of(image[0]) == case_id:  # a list may have ids that tell nothing of files
        case[SOURCE] = readable(image[0].name)
    for reason in (image, segmentation):
        if isinstance(reason, str):
            return {**case, ERROR: reason}
    assert isinstance(image, list)
    assert isinstance(segmentation, list)
    if len(segmentation) > 1:
        names = " and ".join(path.name for path in segmentation)
        return {**case, ERROR: f"{len(segmentation)} segmentations: {names}, expected one"}
    paths = [str(path) for path in image]
    case |= {"image": paths[0] if len(paths) == 1 else paths, "segmentation": str(segmentation[0])}
    return with_fingerprint(case, [image, segmentation], context)


def with_fingerprint(case: Case, files: Sequence[Sequence[Path]], context: Sequence[str] = ()) -> Case:
    """Note what a case's files and the context are, or why a file cannot be looked at."""
    try:
        prints = [fingerprint(paths) for paths in files]
    except OSError as error:
        return {**case, ERROR: f"{case[SOURCE]}: {error.strerror}"}
    return {**case, FINGERPRINT: hashlib.sha256("\n".join([*prints, *context]).encode()).hexdigest()[:16]}


def _content(item: object) -> str:
    """The content of a file, or a setting as it is."""
    return sha256_of(Path(item)) if isinstance(item, str | Path) and Path(item).is_file() else str(item)
