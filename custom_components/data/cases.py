"""The cases of an inference run: from a folder or a list, without those that were finished before."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from custom_components.case_ids import CASE_ID, VOLUME_SUFFIXES, case_id_of, check_case_id, readable
from custom_components.data.datalist import datalist_entries, datalist_sections
from custom_components.data.dicom import list_series
from custom_components.data.dicom_kinds import has_dicom_magic, is_dicom_name
from custom_components.data.fingerprint import FINGERPRINT, fingerprint, is_of_another_image
from custom_components.data.layout import ERROR, SKIPPED, SOURCE, dicom_seg_path, segmentation_path
from custom_components.data.listed_images import default_case_id, image_paths
from custom_components.data.share import Share
from custom_components.files import partial_path
from custom_components.user_errors import exit_on_user_error

ACCEPTED = f"{', '.join(VOLUME_SUFFIXES)} and folders of DICOM slices"

LEFT_OUT = "left_out"
"""Section of the images of a datalist that cannot be used."""

WHOLE = Share()

logger = logging.getLogger(__name__)

Case = dict[str, Any]
"""`case_id`, `image` (path, or paths of the slices of one DICOM series), `source` (its name for people: that of its
file or folder, or the case id where a list gives one);
`error` if the case cannot be done, `skipped` if it need not be."""


@exit_on_user_error
def inference_cases(
    dataset_dir: str | Path | None = None,
    *,
    output_dir: str | Path,
    datalist: str | Path | None = None,
    section: str = "test",
    overwrite: bool = False,
    body_part: object = None,
    share: Share = WHOLE,
) -> list[Case]:
    """List what an inference run has to do; for use in configs, where a mistake ends the run with one line.

    Args:
        dataset_dir: folder to search, see `find_cases`; not looked at where there is a `datalist`.
        output_dir: where the segmentations go; made if absent. Inside `dataset_dir` it is not searched.
        datalist: a list of cases instead of a search, see `read_datalist`.
        section: the part of a JSON datalist.
        overwrite: do the cases again that were finished before; without it they get `skipped`, unless their image was
            replaced meanwhile or cropped in another way. The old result stays until the new one is complete, or the
            case is set aside.
        body_part: the crop to the abdomen; as a text it tells all that decides it. None: no crop.
        share: which of several processes this is; only its cases are listed, and only their files touched.

    Raises:
        SystemExit: no cases, an unreadable list, or an `output_dir` that cannot be.
    """
    if datalist:
        cases = read_datalist(datalist, section=section)
    elif dataset_dir:
        cases = find_cases(dataset_dir, skip_dir=output_dir)
    else:
        raise ValueError("neither dataset_dir nor datalist is given, expected one of them")
    try:
        Path(output_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"output_dir is {output_dir}: {error.strerror}") from error
    cases = share.of(cases)
    for case in cases:
        if ERROR not in case:
            try:
                _prepare(case, segmentation_path(output_dir, case[CASE_ID]), overwrite, body_part)
            except OSError as error:
                case[ERROR] = f"{case[SOURCE]}: {error.strerror}"
    return cases


def _prepare(case: Case, output: Path, overwrite: bool, body_part: object) -> None:
    """Note what the image is, and whether its segmentation is there already."""
    for path in (output, dicom_seg_path(output.parent.parent, case[CASE_ID])):
        partial_path(path).unlink(missing_ok=True)
    case[FINGERPRINT] = fingerprint(case["image"], *([] if body_part is None else [str(body_part)]))
    if not output.is_file() or overwrite:
        return
    if is_of_another_image(output, case[FINGERPRINT]):
        logger.warning(f"{case[CASE_ID]}: its image, or its crop, is not the one that was segmented before: done again")
    else:
        case[SKIPPED] = "finished before"


def find_cases(dataset_dir: str | Path, *, skip_dir: str | Path | None = None) -> list[Case]:
    """Search a folder and its subfolders for volumes.

    Files are NIfTI, NRRD or MHA by their suffix; a folder with DICOM slices (with any suffix or none) gives
    one case for each CT series of several slices. Hidden files and folders are left out, and so are results of
    earlier runs (`<case>/<case>_seg.nii.gz` and `.dcm`); links to folders are not followed. The case id is the name
    without suffix, for DICOM that of the folder, with the series number if there are several.

    Args:
        dataset_dir: the folder.
        skip_dir: a folder inside it to leave out, because results go there.

    Returns:
        Cases sorted by id. A case id that several images share is one case with an `error` that names them.

    Raises:
        ValueError: it is no folder, holds no volume, or is itself `skip_dir`.
    """
    root = Path(dataset_dir)
    if not root.is_dir():
        raise ValueError(f"dataset_dir is {root}, found {'a file' if root.exists() else 'nothing'}, expected a folder")
    skip = Path(skip_dir).resolve() if skip_dir else None
    if skip == root.resolve():
        raise ValueError(f"output_dir is {skip_dir}, the same as dataset_dir, expected another folder")
    cases: list[Case] = []
    ignored = 0
    closed: list[OSError] = []
    for folder, subfolders, names in os.walk(root, onerror=closed.append):
        subfolders[:] = sorted(
            name for name in subfolders if name[0] != "." and (skip is None or Path(folder, name).resolve() != skip)
        )
        results = [path_of("", Path(folder).name).name for path_of in (segmentation_path, dicom_seg_path)]
        names = sorted(name for name in names if name[0] != "." and name not in results)
        images = [name for name in names if name.lower().endswith(VOLUME_SUFFIXES)]
        files = [Path(folder, name) for name in images]
        cases += [_case(path, case_id_of(path), _source(root, path)) for path in files]
        volumes = set(images)
        slices = [name for name in names if name not in volumes and is_dicom_name(name)]
        if any(name.lower().endswith(".dcm") or has_dicom_magic(Path(folder, name)) for name in slices):
            path = Path(folder)
            cases += _dicom_cases(path, readable(path.resolve().name), _source(root, path))
        else:
            ignored += len(slices)
        ignored += len(names) - len(images) - len(slices)
    cases += [_closed_folder(root, error) for error in closed]
    if not cases:
        found = f"{ignored} files, none of them a volume" if ignored else "no files"
        raise ValueError(f"dataset_dir is {root}, found {found}, expected {ACCEPTED}")
    if ignored:
        logger.info(f"{root}: {ignored} files that are no volumes by their names are left out")
    return _one_image_each(cases)


def _closed_folder(root: Path, error: OSError) -> Case:
    folder = Path(error.filename)
    source = _source(root, folder)
    return {CASE_ID: case_id_of(folder), SOURCE: source, ERROR: f"{source}: folder cannot be read: {error.strerror}"}


def read_datalist(path: str | Path, *, section: str = "test", base_dir: str | Path | None = None) -> list[Case]:
    """Read a list of cases: Decathlon JSON, or CSV with the column `image` and optionally `case_id`.

    Args:
        path: the list. In JSON an entry is a path or `{"image": path, "case_id": id}`. A DICOM folder with several
            CT series gives a case for each, with the series number after the id; the paths of the slices of one, in
            place of a path, give one case, by default with the id of their folder.
        section: the part of the JSON, such as `test` or `unlabeled`.
        base_dir: what relative paths start from; the folder of the list if not given.

    Returns:
        As `find_cases`. An image that does not exist gives a case with an `error`.

    Raises:
        ValueError: the list is absent, has another form, or a `case_id` that cannot be a folder's name.
    """
    path = Path(path)
    root = Path(base_dir) if base_dir else path.parent
    entries = datalist_entries(path, section)
    cases: list[Case] = []
    for number, entry in enumerate(entries, start=1):
        try:
            image = image_paths(entry.get("image"), root)
        except ValueError as error:
            raise ValueError(f"{path}: entry {number} {error}") from None
        try:
            cases += _listed_cases(root, image, entry.get(CASE_ID))
        except ValueError as error:
            raise ValueError(f"{path}: entry {number}: {error}") from None
    if not cases:
        raise ValueError(f"{path}: found no entries, expected at least one")
    return _one_image_each(cases)


def read_all_lists(path: str | Path) -> list[Case]:
    """Read the cases of all lists of a Decathlon JSON, but for `left_out`, where intake puts what cannot be used.

    An image that is in several lists is one case. A CSV, and JSON without sections, is one list.

    Raises:
        ValueError: as `read_datalist`.
    """
    path = Path(path)
    sections = datalist_sections(path)
    if sections is None:
        return read_datalist(path)
    cases = {}
    for section in sections:
        for case in [] if section == LEFT_OUT else read_datalist(path, section=section):
            cases[case[CASE_ID], str(case.get("image")), case.get(ERROR)] = case
    if not cases:
        raise ValueError(f"{path}: found no entries outside of {LEFT_OUT}, expected at least one")
    return _one_image_each(cases.values())


def _listed_cases(root: Path, image: str | list[str], case_id: Any) -> list[Case]:
    path = Path(image) if isinstance(image, str) else Path(image[0]).parent
    if case_id in (None, ""):
        checked, source = check_case_id(default_case_id(image)), _source(root, path)
    else:  # perhaps so that no name of a file, often a patient's, gets into tables and logs
        source = checked = check_case_id(str(case_id))
    if isinstance(image, list):
        return [{CASE_ID: checked, "image": image, SOURCE: source}]
    return _dicom_cases(path, checked, source) if path.is_dir() else [_case(path, checked, source)]


def _case(path: Path, case_id: str, source: str) -> Case:
    return {CASE_ID: case_id, "image": str(path), SOURCE: source}


def _source(root: Path, path: Path) -> str:
    try:
        return readable(path.relative_to(root).as_posix() if path != root else path.resolve().name)
    except ValueError:
        return readable(path.name)  # outside of the folder: nothing of where it lies


def _dicom_cases(folder: Path, case_id: str, source: str) -> list[Case]:
    try:
        series = list_series(folder)
    except ValueError as error:
        return [{**_case(folder, case_id, source), ERROR: str(error).replace(str(folder), source)}]
    if len(series) == 1:
        return [_case(folder, case_id, source)]
    return [
        {
            CASE_ID: f"{case_id}_{one.number}",
            "image": list(one.files),
            SOURCE: f"{source} (series {one.number})",
        }
        for one in series
    ]


def _one_image_each(cases: Iterable[Case]) -> list[Case]:
    """Sort by case id, and set aside those of several images: better no result than another patient's."""
    by_id: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        by_id[case[CASE_ID]].append(case)
    unique = []
    for case_id, same in sorted(by_id.items()):
        if len(same) > 1:
            sources = ", ".join(sorted({case[SOURCE] for case in same}))
            names = "" if sources == case_id else f": {sources}"
            reason = f"case id {case_id!r} belongs to {len(same)} images{names}; name them apart in a datalist"
            unique.append({CASE_ID: case_id, SOURCE: sources, ERROR: reason})
        else:
            unique.append(same[0])
    return unique
