"""Command line: `python -m custom_components COMMAND`."""

from __future__ import annotations

import functools
import inspect
import logging
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import fire

from custom_components.codes_command import CODES_COMMANDS
from custom_components.cycle_command import cycle
from custom_components.intake_command import intake
from custom_components.learning_command import adversarial, average_weights, leave_out_organs, pseudo_labels
from custom_components.report_command import report
from custom_components.review_command import review
from custom_components.user_errors import root_cause

Command: TypeAlias = Callable[..., Any] | Mapping[str, "Command"]
"""A function, or a group of commands by name."""


def phantom(
    output_dir: str,
    *,
    training: int = 12,
    validation: int = 4,
    unlabeled: int = 0,
    test: int = 40,
    seed: int = 0,
    shift: float = 1.0,
    least_shift: float = 0.0,
    training_shift: float = 0.0,
    grid: str = "small",
    workers: int | None = None,
) -> str:
    """Write a cohort of phantom CTs with organ labels; print the path of its dataset.json.

    Args:
        output_dir: folder to write to; finished cases of an interrupted run are kept.
        training: number of labelled training cases.
        validation: number of labelled validation cases.
        unlabeled: number of cases without labels.
        test: number of test cases.
        seed: decides every case.
        shift: unlabeled and test cases vary from least_shift (0: like a labelled set) to this (1: a hospital archive).
        least_shift: above 0 the cohort has no easy cases.
        training_shift: the same limit for training and validation cases.
        grid: small (64 x 64 x 32), paper (168 x 168 x 64), raw (512 x 512 x N, hospital form), trunk (the same with
            128 x 128 pixels, to learn body parts from) or long (as trunk, with more of chest and thighs).
        workers: processes; default one for each processor.
    """
    from custom_components.data.phantom import write_cohort

    dataset = write_cohort(
        str(output_dir),
        training=training,
        validation=validation,
        unlabeled=unlabeled,
        test=test,
        seed=seed,
        shift=shift,
        least_shift=least_shift,
        training_shift=training_shift,
        grid=grid,
        workers=workers,
    )
    return str(dataset)


def rate(
    segmentations: str,
    truth: str,
    output: str,
    *,
    cases: str = "",
    noise: float = 0.0,
    seed: int = 0,
    rater: str = "simulated",
) -> str:
    """Code segmentations of phantoms 0, 1 or 2 as a rater would, from their truth; print the shares.

    A case that cannot be read or lies on another grid than its truth is set aside with a warning; the exit code is 1.

    Args:
        segmentations: folder that an inference wrote to.
        truth: folder `truth` of the cohort, or another folder of segmentations to compare with.
        output: CSV of codes to write.
        cases: CSV with case_id, such as `codes request` writes: only these are rated.
        noise: standard deviation of the rater's error in judging an organ's quality (0 to 1).
        seed: of that error.
        rater: name in the codes.
    """
    from custom_components.data.simulated_codes import rate_cohort, write_no_codes
    from custom_components.learning.code_requests import read_requests

    only = [one.case_id for one in read_requests(cases)] if cases else None
    if only == []:
        write_no_codes(output)
        return f"0 cases, as {cases} lists none; see {output}"
    counts, set_aside = rate_cohort(segmentations, truth, output, noise=noise, seed=seed, rater=rater, only=only)
    total = sum(counts.values())
    shares = ", ".join(f"code {code}: {counts[code]} ({counts[code] / max(total, 1):.0%})" for code in (0, 1, 2))
    line = f"{total} cases; {shares}; see {output}"
    if set_aside:
        print(line)
        raise SystemExit(f"error: {len(set_aside)} of {total + len(set_aside)} cases set aside: {', '.join(set_aside)}")
    return line


def planes(image: str, segmentation: str, output: str, *, label_set: str = "abdomen12") -> str:
    """Draw the axial, coronal and sagittal plane of a CT with its organs in colour; print the picture's path.

    Args:
        image: CT in HU.
        segmentation: label map on the same grid.
        output: PNG to write.
        label_set: numbering of the segmentation: abdomen12 (ours), btcv, amos, flare22 or totalsegmentator.
    """
    from custom_components.report.planes import draw_planes

    return str(draw_planes(str(image), str(segmentation), str(output), label_set=label_set))


def montage(
    images: str,
    segmentations: str,
    output: str,
    *,
    label_set: str = "abdomen12",
    pixdim: tuple[float, ...] = (2.0, 2.0, 6.0),
    roi_size: tuple[int, ...] = (168, 168, 64),
    hu_window: tuple[float, float] = (-175.0, 275.0),
    body_part_path: str = "auto",
    body_part_scores: tuple[float, float] = (-6.0, 6.0),
    body_part_repair: bool = False,
    workers: int | None = None,
    overwrite: bool = False,
) -> str:
    """Draw the montage of every case, all axial slices with the organs in colour; print how many.

    A case that cannot be done is set aside with its reason in montages.csv; the exit code is 1.

    Args:
        images: folder of CTs: NIfTI, NRRD, MHA, DICOM series; or a dataset.json, such as that of intake.
        segmentations: folder of <case>/<case>_seg.nii.gz, or <case>.nii.gz.
        output: folder to write <case>.png and montages.csv to; finished cases of an interrupted run are kept.
        label_set: numbering of the segmentations: abdomen12 (ours), btcv, amos, flare22 or totalsegmentator.
        pixdim: voxel size in mm; 5.25,5.25,12 for phantoms of the small grid.
        roi_size: voxels of a slice, and number of slices; 64,64,32 for phantoms of the small grid.
        hu_window: HU that are black and white.
        body_part_path: weights of a body-part regressor, for the crop to the abdomen; auto: those that a bundle
            has, if any; none: no crop, as for phantoms of the small grid.
        body_part_scores: slice scores of the uppermost and of the lowest slice that are kept.
        body_part_repair: turn slices that are in reverse order, instead of setting the case aside.
        workers: processes; default one for each processor.
        overwrite: do finished cases again.
    """
    from custom_components.body_part.body_part_crop import chosen_crop
    from custom_components.options import flag
    from custom_components.report.montages import write_montages

    # MONAI says of an optional decoder that it is absent
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "NvImgCodecPydicomReader")
    counts, table = write_montages(
        images,
        segmentations,
        output,
        label_set=label_set,
        pixdim=pixdim,
        roi_size=roi_size,
        hu_window=hu_window,
        body_part=chosen_crop(body_part_path, body_part_scores, flag(body_part_repair, "body_part_repair")),
        workers=workers,
        overwrite=flag(overwrite, "overwrite"),
    )
    parts = [f"{counts['ok']} montages"]
    parts += [f"{counts['skipped']} skipped (finished before)"] if counts["skipped"] else []
    line = f"{', '.join(parts)}; see {table}"
    if counts["set_aside"]:
        print(line)
        raise SystemExit(f"error: {counts['set_aside']} of {sum(counts.values())} cases set aside; see {table}")
    return line


COMMANDS: Mapping[str, Command] = {
    "intake": intake,
    "phantom": phantom,
    "rate": rate,
    "planes": planes,
    "montage": montage,
    "codes": CODES_COMMANDS,
    "pseudo_labels": pseudo_labels,
    "leave_out_organs": leave_out_organs,
    "average_weights": average_weights,
    "adversarial": adversarial,
    "report": report,
    "cycle": cycle,
    "review": review,
}


class _Call:
    """A command that is parsed and not yet run: fire finds unknown options only after its call."""

    def __init__(self, run: Callable[[], Any]) -> None:
        self._run = run

    def __dir__(self) -> list[str]:
        return []


def _deferred(command: Command) -> Command:
    """Make a command return a `_Call`; of a group, all its commands."""
    if isinstance(command, Mapping):
        return {name: _deferred(one) for name, one in command.items()}

    @functools.wraps(command)
    def parse(*args: Any, **kwargs: Any) -> _Call:
        return _Call(lambda: command(*args, **kwargs))

    return parse


def main() -> None:
    """Run a command; a user's mistake becomes one line on stderr and exit code 2."""
    commands, arguments = _deferred(COMMANDS), _arguments(sys.argv[1:])
    parsed = fire.Fire(commands, arguments, name="python -m custom_components", serialize=lambda _: None)
    if not isinstance(parsed, _Call):
        return
    try:
        result = parsed._run()
    except Exception as error:
        mistake = _mistake(error)
        if mistake is None:
            raise
        print(f"error: {mistake}", file=sys.stderr)
        sys.exit(2)
    if result is not None:
        print(result)


def _arguments(words: Sequence[str]) -> list[str]:
    """Give fire the words of the command line, with help for a group of which no command is named."""
    command: Command = COMMANDS
    for number, word in enumerate(words):
        if not isinstance(command, Mapping):
            return [*words[:number], *_quoted(words[number:], command)]
        if word not in command:
            return [*words]
        command = command[word]
    return [*words, "--help"] if isinstance(command, Mapping) else [*words]


def _quoted(words: Sequence[str], command: Callable[..., Any]) -> list[str]:
    """Put quotation marks around texts: fire would take 2024_05 or 1.10 for a number, and a,b for a list."""
    parameters = inspect.signature(command).parameters.values()
    texts = {parameter.name for parameter in parameters if "str" in str(parameter.annotation)}
    quoted, is_text = [], True  # all that has no flag before it is a text
    for word in words:
        if not re.match("--|-[a-zA-Z]", word):
            quoted.append(repr(word) if is_text else word)
            is_text = True
            continue
        flag, sign, value = word.partition("=")
        name = flag.lstrip("-").replace("-", "_")
        is_text = name in texts or (len(name) == 1 and any(text.startswith(name) for text in texts))
        quoted.append(f"{flag}={value!r}" if sign and is_text else word)
        is_text = is_text or bool(sign)
    return quoted


def _mistake(error: Exception) -> str | None:
    """One line that tells a user what is wrong with the arguments or a file, or None: then the program is at fault."""
    from nibabel.filebasedimages import ImageFileError

    cause = root_cause(error)
    if isinstance(cause, OSError) and cause.strerror and cause.filename:
        return f"{cause.filename}: {cause.strerror}"
    return " ".join(str(cause).split()) if isinstance(cause, ValueError | OSError | ImageFileError) else None


if __name__ == "__main__":
    main()
