"""The commands `python -m custom_components codes ...`: count, compare, merge, split, request, choose limits."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom_components.learning_command import accept, limit, request

if TYPE_CHECKING:
    from custom_components.data.code_problems import Codes, Problem


def summary(codes: str, *, segmentations: str = "", montages: str = "", columns: str = "", values: str = "") -> str:
    """Count the codes: of all, of each rater, of each model; problems are listed line by line on standard error.

    The exit code is 1 if a row was rejected.

    Args:
        codes: CSV or text of codes, several with commas between them.
        segmentations: folder of segmentations; a rating of one that is not there, or has changed since, is rejected.
        montages: folder of <case>.png; a rating of a case that is not there is rejected.
        columns: names of the file's columns by ours, such as case_id=Scan,code=Grade.
        values: codes by what the file has for them, such as good=0,fair=1,bad=2,later=unrated.
    """
    from custom_components.case_ids import CASE_ID
    from custom_components.data.case_files import volume_files
    from custom_components.report.code_tables import count_codes, text_of

    table, problems = _loaded(_listed(codes), segmentations, montages, columns, values)
    text = text_of(count_codes(table))
    if segmentations:
        without = sorted(volume_files(segmentations).keys() - set(table[CASE_ID]))
        names = f": {', '.join(without[:5])}{', ...' if len(without) > 5 else ''}" if without else ""
        text += f"\n{len(without)} segmentations without a row{names}"
    return _finish(text, problems)


def agreement(
    codes: str,
    *,
    segmentations: str = "",
    montages: str = "",
    columns: str = "",
    values: str = "",
    disagreements: str = "",
    show: int = 20,
    seed: int = 0,
) -> str:
    """Say how far raters agree: percent, Cohen's and Fleiss' kappa, with bootstrap intervals; and where they do not.

    Args:
        codes: files of codes with commas between them; one that names no rater is of a rater with the file's name.
        segmentations: folder of segmentations; a rating of one that is not there, or has changed since, is rejected.
        montages: folder of <case>.png; a rating of a case that is not there is rejected.
        columns: names of the files' columns by ours, such as case_id=Scan,code=Grade.
        values: codes by what the files have for them, such as good=0,fair=1,bad=2.
        disagreements: CSV to write the whole list of disagreements to, the worst first.
        show: how many of them to print.
        seed: of the bootstrap.
    """
    from custom_components.data import agreement as measures
    from custom_components.files import complete_file
    from custom_components.report.code_tables import agreement_text, disagreement_text

    _refuse_to_replace("disagreements", disagreements, _listed(codes))
    table, problems = _loaded(_listed(codes), segmentations, montages, columns, values)
    ratings = measures.ratings_by_rater(table)
    if len(ratings.columns) < 2:
        found = ", ".join(repr(rater) for rater in ratings.columns) or "none"
        raise ValueError(f"{codes}: raters are {found}, expected two or more")
    text = agreement_text(measures.pair_agreements(ratings, seed=seed), measures.group_agreement(ratings, seed=seed))
    apart = measures.disagreements(ratings)
    text += f"\n\n{len(apart)} of {len(ratings)} segmentations with different codes"
    if show and len(apart):
        text += f", the worst first\n{disagreement_text(apart.head(show))}"
    if disagreements:
        with complete_file(disagreements) as partial:
            apart.to_csv(partial, index=False, lineterminator="\n")
    return _finish(text, problems)


def merge(
    output: str,
    *codes: str,
    consensus: str = "none",
    segmentations: str = "",
    montages: str = "",
    columns: str = "",
    values: str = "",
) -> str:
    """Merge files of codes into one; what is wrong with rows goes to OUTPUT with the suffix .problems.csv.

    The exit code is 1 if a row was rejected.

    Args:
        output: CSV to write; with the suffix .txt, two columns of text, `case_id code`, for which a case has one row.
        codes: files of codes; of several, one that names no rater is of a rater with the file's name.
        consensus: none keeps all ratings; majority gives each segmentation the most frequent code, of several the worse
            one; mean gives it a soft code.
        segmentations: folder of segmentations; a rating of one that is not there, or has changed since, is rejected.
        montages: folder of <case>.png; a rating of a case that is not there is rejected.
        columns: names of the files' columns by ours, such as case_id=Scan,code=Grade.
        values: codes by what the files have for them, such as good=0,fair=1,bad=2.
    """
    from custom_components.case_ids import CASE_ID
    from custom_components.data import consensus as consensuses
    from custom_components.data.code_problems import write_problems
    from custom_components.data.codes import write_codes, write_text_codes

    files = [path for one in codes for path in _listed(one)]
    report = Path(output).with_suffix(".problems.csv")
    for path in (output, report):
        _refuse_to_replace("output", path, files)
    if consensus not in ("none", "majority", "mean"):
        raise ValueError(f"consensus is {consensus!r}, expected majority, mean or none")
    table, problems = _loaded(files, segmentations, montages, columns, values)
    report.unlink(missing_ok=True)
    if problems:
        write_problems(problems, report)
    if consensus != "none":
        table = consensuses.consensus(table, consensus)  # type: ignore[arg-type]
    write = write_text_codes if Path(output).suffix == ".txt" else write_codes
    write(table, output)
    unrated = int(table["code"].isna().sum())
    text = f"{len(table)} rows, {unrated} of them unrated, of {table[CASE_ID].nunique()} cases; see {output}"
    return _finish(f"{text} and {report}" if problems else text, problems)


def split(
    output: str,
    *,
    codes: str,
    images: str = "",
    segmentations: str = "",
    montages: str = "",
    truth: str = "",
    label_set: str = "",
    scores: str = "",
    columns: str = "",
    values: str = "",
    consensus: str = "majority",
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> str:
    """Write the datalist of the discriminator: rated cases in training, validation and test, each code in its share.

    Several sources, such as the segmentations of several models, are lists of one length with commas; one folder of
    images or of truth serves all. A case is in one section, with all its segmentations. The exit code is 1 if a row was
    rejected.

    Args:
        output: JSON to write.
        codes: files of codes.
        images: folders of CTs, or a dataset.json, such as that of intake.
        segmentations: folders of segmentations, one for each file of codes.
        montages: folders of <case>.png instead, one for each file of codes.
        truth: folders of true labels.
        label_set: numbering of the segmentations: abdomen12 (ours), btcv, amos, flare22 or totalsegmentator.
        scores: CSVs with the QA score of each case, one for each file of codes or nothing between two commas; the
            training can show oftener what fooled the discriminator (fooled_weight).
        columns: names of the files' columns by ours, such as case_id=Scan,code=Grade.
        values: codes by what the files have for them, such as good=0,fair=1,bad=2,later=unrated.
        consensus: the code of several raters: majority, or mean for a soft code.
        validation: share of the cases.
        test: share of the cases.
        seed: of the split.
    """
    from custom_components.data.qa_datalist import write_qa_datalist
    from custom_components.data.qa_sources import QASource, joined_entries

    files = _listed(codes)
    _refuse_to_replace("output", output, files)
    lists = {
        "images": _one_each("images", images, files, shared=True),
        "segmentations": _one_each("segmentations", segmentations, files),
        "montages": _one_each("montages", montages, files),
        "truth": _one_each("truth", truth, files, shared=True),
        "label_set": _one_each("label_set", label_set, files, shared=True),
        "scores": _one_each("scores", scores, files, gaps=True),
    }
    reading = {"columns": _pairs("columns", columns), "values": _values(values)}
    sources = [
        QASource(file, **{name: entries[number] for name, entries in lists.items()}, **reading)  # type: ignore[arg-type]
        for number, file in enumerate(files)
    ]
    found = joined_entries(sources, how=consensus)  # type: ignore[arg-type]
    _tell(found.problems)
    counts_of = write_qa_datalist(output, found, validation=validation, test=test, seed=seed)
    lines = [
        f"{section}: {sum(counts.values())} ({', '.join(f'code {code}: {n}' for code, n in counts.items())})"
        for section, counts in counts_of.items()
    ]
    return _finish("\n".join([*lines, f"unrated: {found.unrated}, in no section", f"see {output}"]), found.problems)


CODES_COMMANDS: dict[str, Callable[..., Any]] = {
    "summary": summary,
    "agreement": agreement,
    "merge": merge,
    "split": split,
    "request": request,
    "limit": limit,
    "accept": accept,
}


def _loaded(files: Sequence[str], segmentations: str, montages: str, columns: str, values: str) -> Codes:
    """Load codes as the arguments of a command say, and tell their problems at once: what follows may fail."""
    from custom_components.data.case_files import montage_files
    from custom_components.data.codes import load_codes

    codes = load_codes(
        files,
        columns=_pairs("columns", columns),
        values=_values(values),
        known=montage_files(montages) if montages else None,
        segmentations=segmentations or None,
    )
    _tell(codes.problems)
    return codes


def _tell(problems: Sequence[Problem]) -> None:
    for problem in problems:
        print(problem, file=sys.stderr)


def _refuse_to_replace(name: str, output: str | Path, files: Sequence[str]) -> None:
    if output and Path(output).resolve() in [Path(path).resolve() for path in files]:
        raise ValueError(f"{name} is {output}, which is read too, expected another file")


def _finish(text: str, problems: Sequence[Problem]) -> str:
    """Give the text to print; end the program with it if a problem is a rejected row."""
    if rejected := sum(problem.action == "rejected" for problem in problems):
        print(text)
        raise SystemExit(f"error: {rejected} {'row' if rejected == 1 else 'rows'} rejected")
    return text


def _listed(words: str) -> list[str]:
    return [word for word in words.split(",") if word]


def _one_each(
    name: str, words: str, files: Sequence[str], *, shared: bool = False, gaps: bool = False
) -> list[str | None]:
    """One folder for each file of codes, or None for each if there are none; with gaps some may have none."""
    folders: list[str | None] = [*_listed(words)]
    if gaps and words:
        folders = [word.strip() or None for word in words.split(",")]
    if not folders or (shared and len(folders) == 1):
        return (folders or [None]) * len(files)
    if len(folders) != len(files):
        raise ValueError(f"{name} has {len(folders)} entries, expected {len(files)}, one for each file of codes")
    return folders


def _pairs(name: str, words: str) -> dict[str, str]:
    """Read `a=b,c=d`, or a dictionary in the words of Python."""
    if words.strip().startswith("{"):
        try:
            return {str(key): str(value) for key, value in ast.literal_eval(words).items()}
        except (ValueError, SyntaxError):
            raise ValueError(f"{name} is {words!r}, expected NAME=VALUE,NAME=VALUE") from None
    pairs = [pair.partition("=") for pair in _listed(words)]
    if any(not (key and sign and value) for key, sign, value in pairs):
        raise ValueError(f"{name} is {words!r}, expected NAME=VALUE,NAME=VALUE")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _values(words: str) -> Mapping[str, int | None]:
    codes: dict[str, int | None] = {"0": 0, "1": 1, "2": 2, "unrated": None, "None": None}
    pairs = _pairs("values", words)
    for cell, code in pairs.items():
        if code not in codes:
            raise ValueError(f"values has {code!r} for {cell!r}, expected 0, 1, 2 or unrated")
    return {cell: codes[code] for cell, code in pairs.items()}
