"""Commands around people's codes: what to code next, pseudo-labels, and segmentations that fool a discriminator."""

from __future__ import annotations

import sys
from pathlib import Path


def request(
    output: str,
    segmentations: str,
    *,
    count: int = 0,
    codes: str = "",
    scores: str = "",
    other_scores: str = "",
    taken_only: bool = False,
    audit: float = 0.2,
    uncertain: float | None = None,
    seed: int = 0,
) -> str:
    """Choose the segmentations that people should code next: worst, most uncertain, and a random audit.

    Args:
        output: CSV to write: case_id, choice (audit, uncertain or worst).
        segmentations: folder of <case>/<case>_seg.nii.gz or <case>.nii.gz.
        count: how many to choose; 0: all.
        codes: CSVs of codes with commas between them; what has a code is not chosen.
        scores: CSV with case_id and score, such as qa_scores.csv or summary.csv; without it all are chosen at random.
        other_scores: the same of a second discriminator; then cases are uncertain where both disagree.
        taken_only: only segmentations for which an inference with candidates took another than the network's first, as
            the CSV of scores says.
        audit: share of the chosen that is random among all cases.
        uncertain: share of the chosen that is uncertain, default 0.4; the rest has the worst scores.
        seed: of the random choice.
    """
    from custom_components.data.case_files import volume_files
    from custom_components.data.codes import load_codes
    from custom_components.data.score_files import read_scores, taken_candidates
    from custom_components.learning.code_requests import request_codes, write_requests
    from custom_components.options import flag

    if flag(taken_only, "taken_only") and not scores:
        raise ValueError("taken_only is true and scores is empty, expected the summary.csv of the inference")
    cases, coded = set(volume_files(segmentations)), set()
    if codes:
        table, problems = load_codes([path for path in codes.split(",") if path], segmentations=segmentations)
        for problem in problems:
            print(problem, file=sys.stderr)
        coded = set(table.loc[table["code"].notna(), "case_id"])
    if flag(taken_only, "taken_only"):
        cases &= set(taken_candidates(scores))
    chosen = request_codes(
        cases - coded,
        count,
        scores=read_scores(scores) if scores else None,
        others=read_scores(other_scores) if other_scores else None,
        audit=audit,
        uncertain=uncertain,
        seed=seed,
    )
    write_requests(output, chosen)
    choices = [one.choice for one in chosen]
    parts = ", ".join(f"{choices.count(choice)} {choice}" for choice in ("audit", "uncertain", "worst"))
    return f"{len(chosen)} of {len(cases - coded)} segmentations without a code ({parts}); see {output}"


def limit(scores: str, *, first_codes: str, taken_codes: str) -> str:
    """Choose candidate_limit: what each limit would have given on cases that were coded with and without candidates.

    Segment rated cases twice, as always and with --candidates N --candidate_limit -9, and have both coded.

    Args:
        scores: summary.csv of the inference with candidates, with first_score.
        first_codes: CSV of codes of the first segmentations.
        taken_codes: CSV of codes of those that were taken.
    """
    from custom_components.data.score_files import FIRST_SCORE, read_scores
    from custom_components.learning.candidate_limit import best_limit, limits

    first, before, after = read_scores(scores, FIRST_SCORE), _mean_codes(first_codes), _mean_codes(taken_codes)
    try:
        found = limits(first, before, after)
    except ValueError as error:
        raise ValueError(f"{scores}, {first_codes}, {taken_codes}: {error}") from None
    best = best_limit(found)
    rows = [
        f"{one.limit:.1f}    {'/'.join(map(str, one.counts)):<12} {one.tried:4.0%}" + ("  <" if one is best else "")
        for one in found
    ]
    chosen = f"fewest failures, and no fewer successes: candidate_limit {best.limit:.1f}"
    return "\n".join(["limit  codes 0/1/2  tried", *rows, chosen])


def accept(scores: str, *, codes: str, successes: float = 0.95) -> str:
    """Choose accept_below: what each limit would have accepted of cases that have a score and a code.

    Args:
        scores: summary.csv of an inference with a discriminator.
        codes: CSV of codes of the same segmentations.
        successes: share of what is accepted that must have the code 0.
    """
    from custom_components.data.score_files import read_scores
    from custom_components.learning.accept_limit import acceptances, best_acceptance
    from custom_components.options import check_number

    check_number(successes, "successes", 0, 1)
    scored, coded = read_scores(scores), _mean_codes(codes)
    try:
        found = acceptances(scored, coded)
    except ValueError as error:
        raise ValueError(f"{scores}, {codes}: {error}") from None
    best = best_acceptance(found, successes)
    rows = [
        f"{one.limit:5.2f}  {'/'.join(map(str, one.counts)):<12} {one.share:8.0%}" + ("  <" if one is best else "")
        for one in found
    ]
    choice = (
        f"most accepted with {successes:.0%} successes among them: accept_below {best.limit:g}"
        if best
        else f"no limit accepts {successes:.0%} successes: leave accept_below out"
    )
    return "\n".join(["limit  codes 0/1/2  accepted", *rows, choice])


def _mean_codes(path: str) -> dict[str, float]:
    """The mean code of each case; what does not count is told."""
    from custom_components.data.codes import load_codes

    table, problems = load_codes(path)
    for problem in problems:
        print(problem, file=sys.stderr)
    means: dict[str, float] = table[table["code"].notna()].groupby("case_id")["code"].mean().to_dict()
    return means


def pseudo_labels(
    output: str,
    *,
    datalist: str,
    segmentations: str,
    codes: str,
    weights: tuple[float, ...] = (1.0, 0.3, 0.0),
    scores: str = "",
    accept_below: float | None = None,
    by_organ: bool = False,
    section: str = "unlabeled",
    pseudo_section: str = "pseudo",
) -> str:
    """Write a datalist in which coded segmentations are labels of a training, weighted by their code; print how many.

    The list `coded` is added too: all coded cases with their best segmentation, failures among them.

    Args:
        output: JSON to write, for --datalist of qa_semi_seg.
        datalist: dataset.json whose unlabelled cases were segmented and coded.
        segmentations: folder of <case>/<case>_seg.nii.gz or <case>.nii.gz; several, with commas between them, are
            rounds: of a case the best coded segmentation counts, of several such the last.
        codes: CSV of codes, one for each folder.
        weights: of the codes 0, 1 and 2.
        scores: CSV with case_id and score, one for each folder, or nothing between two commas.
        accept_below: a segmentation without a code and with a lower score counts as coded 0.
        by_organ: where the reason of a code 1 or 2 names organs, the segmentation is a label of the other judged ones.
        section: whose cases get pseudo-labels.
        pseudo_section: name of the list that is added.
    """
    from custom_components.data.codes import load_codes
    from custom_components.data.score_files import read_scores
    from custom_components.learning.pseudo_labels import Coded, write_pseudo_labels
    from custom_components.options import check_number, flag

    if accept_below is not None:
        check_number(accept_below, "accept_below")
        if not scores:
            raise ValueError(f"accept_below is {accept_below} and scores is empty, expected a CSV of scores")
    folders, files = ([word for word in words.split(",") if word] for words in (segmentations, codes))
    if len(folders) != len(files):
        raise ValueError(f"codes has {len(files)} entries, expected {len(folders)}, one for each folder")
    tables = scores.split(",") if scores else [""] * len(folders)
    if len(tables) != len(folders):
        raise ValueError(f"scores has {len(tables)} entries, expected {len(folders)}, one for each folder")
    coded, rejected = [], 0
    for folder, file, scored in zip(folders, files, tables, strict=True):
        table, problems = load_codes(file, segmentations=folder)
        for problem in problems:
            print(problem, file=sys.stderr)
        rejected += sum(problem.action == "rejected" for problem in problems)
        coded.append(Coded(Path(folder), table, read_scores(scored) if scored else {}))
    found = write_pseudo_labels(
        output,
        datalist,
        coded,
        weights=weights,
        accept_below=accept_below,
        by_organ=flag(by_organ, "by_organ"),
        section=section,
        pseudo_section=pseudo_section,
    )
    parts = ", ".join(f"{found.counts[code]} of code {code:g}" for code in sorted(found.counts))
    line = f"{sum(found.counts.values())} pseudo-labels ({parts}), {len(found.left_out)} cases without; see {output}"
    if rejected:
        print(line)
        raise SystemExit(f"error: {rejected} {'row' if rejected == 1 else 'rows'} of codes rejected")
    return line


def leave_out_organs(output: str, *, segmentations: str, codes: str, largest: float = 0.75) -> str:
    """Write what was coded 1 or 2 again without the spleen or kidney that its reason names first, for people to code.

    Where the organ is not in the body, the new segmentation passes, and pseudo_labels --by_organ learns from it.

    Args:
        output: folder to write <case>/<case>_seg.nii.gz to; what is there already stays.
        segmentations: folder of <case>/<case>_seg.nii.gz or <case>.nii.gz.
        codes: CSV of their codes.
        largest: only an organ smaller than this share of its median in segmentations coded 0 is left out.
    """
    from custom_components.data.codes import load_codes
    from custom_components.learning.absent_organs import leave_out_organs as write

    table, problems = load_codes(codes, segmentations=segmentations)
    for problem in problems:
        print(problem, file=sys.stderr)
    found = list(write(segmentations, table, output, largest=largest).values())
    parts = ", ".join(f"{found.count(name)} {name}" for name in sorted(set(found)))
    said = f" ({parts})" if parts else ""
    return f"{len(found)} of {(table['code'] > 0).sum()} bad segmentations written without an organ{said}; see {output}"


def average_weights(output: str, first: str, second: str, *, share: float = 0.5) -> str:
    """Write weights between those of two networks that were trained on from the same one.

    Args:
        output: file to write.
        first: weights that a training made.
        second: the same of another training.
        share: of the second, from 0 to 1.
    """
    from custom_components.learning.average_weights import average_weights as average

    average(first, second, output, share=share)
    return f"{1 - share:g} of {first} and {share:g} of {second}; see {output}"


def adversarial(
    images: str,
    segmentations: str,
    output: str,
    *,
    discriminator_path: str,
    codes: str = "",
    truth: str = "",
    count: int = 100,
    steps: int = 20,
    pixdim: tuple[float, ...] = (2.0, 2.0, 6.0),
    roi_size: tuple[int, ...] = (168, 168, 64),
    hu_window: tuple[float, float] = (-175.0, 275.0),
    body_part_path: str = "auto",
    body_part_scores: tuple[float, float] = (-6.0, 6.0),
    body_part_repair: bool = False,
    montage_size: tuple[int, int] = (256, 256),
) -> str:
    """Change segmentations until a discriminator likes them; with their codes a watcher learns not to be fooled so.

    OUTPUT gets <case>/<case>_seg.nii.gz and codes.csv, for `codes split`. Codes are those that leave no choice, or, of
    phantoms, those of the simulated rater.

    Args:
        images: folder of CTs, or a dataset.json, such as that of intake.
        segmentations: folder of <case>/<case>_seg.nii.gz or <case>.nii.gz.
        output: folder to write to.
        discriminator_path: weights of the discriminator that is fooled.
        codes: CSV of the segmentations' codes; those coded 0 or 1 are changed.
        truth: folder of true labels of phantoms, instead of codes.
        count: how many to change at most, evenly spaced among the cases.
        steps: of the gradient, at most.
        pixdim: voxel size in mm of the discriminator's grid.
        roi_size: voxels of its grid.
        hu_window: HU that are black and white.
        body_part_path: weights of a body-part regressor, for the crop to the abdomen; auto: those that a bundle
            has, if any; none: no crop, as for phantoms of the small grid.
        body_part_scores: slice scores of the uppermost and of the lowest slice that are kept.
        body_part_repair: turn slices that are in reverse order, instead of setting the case aside.
        montage_size: rows and columns of its montage.
    """
    import pandas as pd

    from custom_components.body_part.body_part_crop import chosen_crop
    from custom_components.bundle import load_discriminators
    from custom_components.data.case_files import volume_files
    from custom_components.data.codes import load_codes, write_codes
    from custom_components.data.simulated_codes import rate_cohort
    from custom_components.learning.adversarial import fool_cohort, write_certain_codes
    from custom_components.options import check_number, flag
    from custom_components.preprocessing import qa_preprocessing
    from custom_components.segmentation_gradients import QAScoreGradient

    check_number(count, "count", 1, whole=True)
    if bool(codes) == bool(truth):
        raise ValueError(f"codes is {codes!r} and truth is {truth!r}, expected one of them")
    cases, table = sorted(volume_files(segmentations)), None
    if codes:
        table, problems = load_codes([path for path in codes.split(",") if path], segmentations=segmentations)
        for problem in problems:
            print(problem, file=sys.stderr)
        worst = table.loc[table["code"].notna()].groupby("case_id")["code"].max()
        cases = sorted(set(worst.index[worst < 2]) & set(cases))  # of a failure no code is certain
    gradient = QAScoreGradient(load_discriminators(discriminator_path, option="discriminator_path"), size=montage_size)
    found = fool_cohort(
        images,
        segmentations,
        output,
        gradient,
        qa_preprocessing(
            pixdim=pixdim,
            roi_size=roi_size,
            hu_window=hu_window,
            body_part=chosen_crop(body_part_path, body_part_scores, flag(body_part_repair, "body_part_repair")),
            size=montage_size,
        ),
        cases=cases[:: -(-len(cases) // count)] if cases else [],
        steps=steps,
    )
    path = Path(output) / "codes.csv"
    if not found:
        write_codes(pd.DataFrame(columns=["case_id", "code"]), path)
        return f"none of {len(cases)} segmentations could be changed so that the score falls; see {path}"
    counts = (
        rate_cohort(output, truth, path).counts
        if table is None
        else write_certain_codes(segmentations, output, table, path)
    )
    fall = sum(one.before - one.after for one in found.values()) / len(found)
    parts = ", ".join(f"code {code}: {counts[code]}" for code in sorted(counts))
    return (
        f"{len(found)} segmentations, score lower by {fall:.2f} on average; with a code {parts or 'none'}; see {path}"
    )
