"""The command `python -m custom_components review`: the page on which people code a cohort."""

from __future__ import annotations

import builtins
import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from custom_components.review.cohort import Source
    from custom_components.review.review import Review
    from custom_components.review.scan import Found
    from custom_components.review.store import Store


def review(
    cohort: str,
    *,
    images: str = "",
    segmentations: str = "",
    montages: str = "",
    models: str = "",
    scores: str = "",
    second_scores: str = "",
    codes: str = "",
    cases: str = "",
    export: str = "",
    label_set: str = "abdomen12",
    pixdim: tuple[float, ...] = (2.0, 2.0, 6.0),
    roi_size: tuple[int, ...] = (168, 168, 64),
    hu_window: tuple[float, float] = (-175.0, 275.0),
    body_part_path: str = "auto",
    body_part_scores: tuple[float, float] = (-6.0, 6.0),
    body_part_repair: bool = False,
    order: str = "shuffled",
    repeats: float = 0.05,
    seed: int = 0,
    paired: bool = False,
    adjudicate: bool = False,
    ask_reasons: bool = False,
    page_export: bool | None = None,
    show_ids: bool = False,
    show_scores: bool = False,
    state: str = "",
    workers: int | None = None,
    host: str = "127.0.0.1",
    port: int = 8765,
    tls_cert: str = "",
    tls_key: str = "",
    insecure: bool = False,
    open: bool = True,
) -> str:
    """Open a page on which people code the segmentations of a cohort 0, 1 or 2.

    Draws the montages that are missing, starts a server, prints the address that opens the page, and runs until it is
    stopped with Ctrl-C. Codes are stored at once; the same command goes on where it was.

    Args:
        cohort: folder with the folders images (or imagesTs) and segmentations; or of segmentations as an inference
            writes them, with --images; or of ready montages <case>.png.
        images: folder of CTs, or a dataset.json, such as that of intake.
        segmentations: folder of label maps; several with commas between them, one for each model.
        montages: folder of <case>.png instead of images and segmentations; several with commas.
        models: a name for each folder; if not given, the folders' names where there are several.
        scores: qa_scores.csv of each folder, for --order worst and uncertain.
        second_scores: those of another discriminator; then uncertain is where the two differ.
        codes: CSV of codes that were given before, to take over; several with commas.
        cases: CSV with case_id, such as codes request writes: only these are shown.
        export: CSV to write the codes to when the server ends; what else it holds stays in it. "Results" on the page
            exports them at any time.
        label_set: numbering of the segmentations: abdomen12 (ours), btcv, amos, flare22 or totalsegmentator.
        pixdim: voxel size in mm; 5.25,5.25,12 for phantoms of the small grid.
        roi_size: voxels of a slice, and number of slices; 64,64,32 for phantoms of the small grid.
        hu_window: HU that are black and white.
        body_part_path: weights of a body-part regressor, for the crop to the abdomen; auto: those that a bundle
            has, if any; none: no crop, as for phantoms of the small grid.
        body_part_scores: slice scores of the uppermost and of the lowest slice that are kept.
        body_part_repair: turn slices that are in reverse order, instead of setting the case aside.
        order: shuffled (for each rater in another way), worst, uncertain, or unrated by others first.
        repeats: share of the montages that are shown a second time, to see how consistent a rater is.
        seed: of all that is random.
        paired: of several models: their segmentations of a case come far apart, in random order.
        adjudicate: let any disagreement of raters be decided by a further look, not only that of 0 and 2.
        ask_reasons: ask which organs are wrong where a code is 1 or 2; learning organ by organ needs that.
        page_export: let raters export codes on the page, with case ids, models and repeats; if paired only when given.
        show_ids: show case ids and models.
        show_scores: show QA scores.
        state: folder for montages and codes; COHORT/review if not given.
        workers: processes that draw; default one for each processor.
        host: address to listen at; another one than 127.0.0.1 needs TLS files or --insecure.
        port: to listen at.
        tls_cert: certificate (PEM).
        tls_key: its key (PEM).
        insecure: allow another host without TLS: whoever is in the network can then read along.
        open: open the page in a browser.
    """
    from custom_components.body_part.body_part_crop import chosen_crop
    from custom_components.options import flag
    from custom_components.review.cohort import Cohort
    from custom_components.review.helper import Helper
    from custom_components.review.review import Review, Rules
    from custom_components.review.serve import Address, serve
    from custom_components.review.store import Store
    from custom_components.review.turns import Plan

    address = Address(host, int(port), tls_cert, tls_key, flag(insecure, "insecure"))
    plan = Plan(order, int(seed), float(repeats), flag(paired, "paired"))  # type: ignore[arg-type]
    rules = Rules(
        flag(show_ids, "show_ids"),
        flag(show_scores, "show_scores"),
        flag(adjudicate, "adjudicate"),
        flag(ask_reasons, "ask_reasons"),
        not plan.paired if page_export is None else flag(page_export, "page_export"),
    )
    sources = find_sources(cohort, images, segmentations, montages, models, scores, second_scores, label_set)
    if plan.paired and len(sources) < 2:
        raise ValueError(f"paired is given with {len(sources)} folder, expected two or more in segmentations")
    if plan.order in ("worst", "uncertain") and not any(source.scores for source in sources):
        raise ValueError(f"order is {plan.order}, expected scores with it")
    folder = Path(state or Path(cohort) / "review")
    folder.mkdir(parents=True, exist_ok=True)
    crop = chosen_crop(body_part_path, body_part_scores, flag(body_part_repair, "body_part_repair"))
    only = _case_ids(cases) if cases else None
    shown = Cohort(sources, folder / "montages", pixdim, roi_size, hu_window, crop, only)
    store = Store(folder / "review.sqlite")
    with Helper() as helper:
        _tell(helper.run("scan:scan", shown, store.path, workers), store.path)
        if column := {"worst": "score", "uncertain": "doubt"}.get(plan.order):
            _check_order(store, plan.order, column)
        opened = Review(store, shown, plan, rules, helper)
        opened.settle()
        for path in _listed(codes):
            _import(opened, path)
        if export:
            opened.write_export(export)  # so that a mistake is told now
        serve(opened, address, open_browser=flag(open, "open"))
        if export:
            opened.write_export(export)
    coded = store.number("SELECT count(*) FROM code WHERE code IS NOT NULL")
    store.close()
    return f"{coded} codes are in {store.path}{f' and {export}' if export else ''}"


def _tell(found: Found, path: Path) -> None:
    """Say how much there is to be coded, and what cannot be shown."""
    from custom_components.review.texts import printable

    for case_id, fault in found.faults:
        print(f"set aside: {printable(case_id)}: {printable(fault)}", file=sys.stderr)
    good = found.cases - len(found.faults)
    if not good:
        aside = f"all {found.cases} are set aside" if found.cases else "there are none of those that cases lists"
        raise ValueError(f"cases that can be shown: {aside}, expected some")
    print(f"{good} montages; codes are stored in {path}")


def _check_order(store: Store, order: str, column: str) -> None:
    if not store.number(f"SELECT count(*) FROM item WHERE is_there AND {column} IS NOT NULL"):
        needed = "scores of them" if column == "score" else "scores with columns low and high, or second_scores"
        raise ValueError(f"order is {order}, and no case has a {column}, expected {needed}")


def _case_ids(path: str) -> frozenset[str]:
    """The cases that a CSV lists."""
    with builtins.open(path, newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or "case_id" not in rows[0]:
        found = ", ".join(map(str, rows[0])) if rows else "none"
        raise ValueError(f"cases is {path}: columns are {found}, expected case_id and a row for each case")
    return frozenset(row["case_id"] for row in rows)


def _import(review: Review, path: str) -> None:
    from custom_components.review.imports import import_codes, in_words

    print(f"{path}: {in_words(import_codes(review, path))}")


def find_sources(
    cohort: str,
    images: str = "",
    segmentations: str = "",
    montages: str = "",
    models: str = "",
    scores: str = "",
    second_scores: str = "",
    label_set: str = "abdomen12",
) -> list[Source]:
    """Find what is to be coded, from the words of the command.

    Raises:
        ValueError: there is nothing to be coded, or lists have different lengths.
    """
    from custom_components.data.layout import names_apart
    from custom_components.review.cohort import Source

    root = Path(cohort)
    if not root.is_dir():
        raise ValueError(f"cohort is {cohort}, found {'a file' if root.exists() else 'nothing'}, expected a folder")
    if montages and segmentations:
        raise ValueError(f"montages is {montages} and segmentations {segmentations}, expected one of the two")
    if not montages and not segmentations:
        images, segmentations, montages = _found(root, images)
    elif segmentations and not images:
        images = _images(root)
    folders = _listed(segmentations or montages)
    count = len(folders)
    names = _listed(models) or (names_apart(folders) if count > 1 else [""])
    columns = [_one_each("models", names, count)]
    for name, words in (("scores", scores), ("second_scores", second_scores)):
        columns.append(_one_each(name, _listed(words) or [""] * count, count))
    return [
        Source(
            model,
            images=images,
            segmentations=one if segmentations else "",
            montages="" if segmentations else one,
            scores=tuple(filter(None, (first, second))),
            label_set=label_set,
        )
        for one, model, first, second in zip(folders, *columns, strict=True)
    ]


def _found(root: Path, images: str) -> tuple[str, str, str]:
    """Images, segmentations and montages of a cohort of which only the folder is named."""
    if (root / "segmentations").is_dir():
        return images or _images(root), str(root / "segmentations"), ""
    if images:
        return images, str(root), ""
    if any(path.suffix.lower() == ".png" for path in root.iterdir()):
        return "", "", str(root)
    raise ValueError(
        f"cohort is {root}, found neither a folder segmentations nor montages <case>.png, "
        "expected one of them, or --images with a folder of CTs or a dataset.json"
    )


def _images(root: Path) -> str:
    for name in ("images", "imagesTs", "imagesTr"):
        if (root / name).is_dir():
            return str(root / name)
    raise ValueError(f"images is not given, and {root} has no folder images or imagesTs, expected one of them")


def _one_each(name: str, words: list[str], count: int) -> list[str]:
    if len(words) != count:
        raise ValueError(f"{name} has {len(words)} entries, expected {count}, one for each folder of segmentations")
    return words


def _listed(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]
