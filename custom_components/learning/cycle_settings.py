"""Settings of a cycle of learning from QA codes, and its learners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from custom_components.data.code_values import CODES
from custom_components.learning.pseudo_labels import APPROVED
from custom_components.options import check_flag, check_number, check_numbers

SIMULATED = "simulated"
"""Codes come from the simulated rater, which needs the truth of phantoms."""


@dataclass(frozen=True)
class Learner:
    """How a round learns: which parts it uses.

    Attributes:
        pseudo_labels: segmentations that people coded become labels.
        weights: of a pseudo-label, by its code.
        by_organ: a reason that names organs approves the other judged ones, which become labels.
        leave_out: what was not coded 0 is coded again without the organ that its reason names first, see
            `custom_components.learning.absent_organs`.
        refine_outlines: of all segmentations, see `custom_components.transforms.outlines`.
        move_prob: share of the cases in training of which an organ is moved or taken out, see
            `custom_components.transforms.move_organs`.
        candidates: segmentations that the discriminator ranks where the first one was not coded 0; 0: none.
        candidate_limit: first score above which they are made; None: that of the bundle.
        appearance: labelled CTs are also shown with the greys that organs have in the coded ones, good and bad.
        appearance_cases: how many of these are looked at.
        appearance_weights: how often the greys of one are drawn, by its code.
        labelled_share: of the cases that are drawn in training, where there are pseudo-labels.
        accept_below: a segmentation without a code and with a lower QA score counts as coded 0; None: only people say.
        qa_weight: of the QA-score loss; 0: none.
        continued_share: of a network that is trained on with labels alone, from the same weights and as long, in the
            weights of the round, which are averages then; 0: there is no such network.
        bursts: pieces of the training, which share its epochs, between which fresh segmentations are coded and the
            discriminator learns from them; 1: one piece.
        training: numbers of `train.yaml` that the tuning has, where the options of the step `tune` name no others.
        fooled_weight: how much oftener than others the discriminator is shown coded segmentations that fooled it, whose
            score was better than their code by half a code or more.
    """

    pseudo_labels: bool = False
    weights: Sequence[float] = APPROVED
    by_organ: bool = False
    leave_out: bool = False
    refine_outlines: bool = False
    move_prob: float = 0.0
    candidates: int = 0
    candidate_limit: float | None = None
    appearance: bool = False
    appearance_cases: int = 200
    appearance_weights: Sequence[float] = (1, 1, 1)
    labelled_share: float = 0.2
    accept_below: float | None = None
    qa_weight: float = 0.0
    continued_share: float = 0.0
    bursts: int = 1
    training: Mapping[str, Any] = field(default_factory=dict)
    fooled_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("pseudo_labels", "by_organ", "leave_out", "refine_outlines", "appearance"):
            check_flag(getattr(self, name), f"learner: {name}")
        for name in ("weights", "appearance_weights"):
            check_numbers(getattr(self, name), f"learner: {name}", len(CODES), 0)
        if not isinstance(self.training, Mapping):
            raise ValueError(f"learner: training is {self.training!r}, expected numbers by name")
        check_number(self.appearance_cases, "learner: appearance_cases", 1, whole=True)
        check_number(self.labelled_share, "learner: labelled_share", 0, 1)
        check_number(self.fooled_weight, "learner: fooled_weight", 1)
        check_number(self.candidates, "learner: candidates", 0, whole=True)
        check_number(self.move_prob, "learner: move_prob", 0, 1)
        for name in ("accept_below", "candidate_limit"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), f"learner: {name}")
        check_number(self.qa_weight, "learner: qa_weight", 0)
        check_number(self.continued_share, "learner: continued_share", 0, 1)
        check_number(self.bursts, "learner: bursts", 1, whole=True)
        if self.continued_share and self.bursts > 1:
            raise ValueError(
                f"learner: continued_share is {self.continued_share} with {self.bursts} bursts, expected 0"
            )
        for name in ("candidates", "by_organ", "leave_out"):
            if getattr(self, name) and not self.pseudo_labels:
                raise ValueError(f"learner: {name} is {getattr(self, name)} and pseudo_labels false, expected true")
        if self.leave_out and not self.by_organ:
            raise ValueError("learner: leave_out is True and by_organ False, expected True")
        if not (self.pseudo_labels or self.qa_weight):
            raise ValueError("learner: neither pseudo_labels nor qa_weight is on, expected one of them at least")


TRAINING: Mapping[str, Any] = {
    "max_epochs": 200, "epoch_cases": 12, "learning_rate": 1e-3, "lr_power": 0.9, "ema_momentum": 0.005,
    "loss#cross_entropy_weight": 1,
}  # fmt: skip
"""Of a round with pseudo-labels: 2400 steps at a rate that falls, Dice and cross entropy, averaged weights."""

LEARNERS: Mapping[str, Learner] = {
    "published": Learner(qa_weight=1.0),
    "refreshed": Learner(qa_weight=0.01, bursts=8, fooled_weight=3.0),
    "approved": Learner(pseudo_labels=True, training=TRAINING),
    "ranked": Learner(pseudo_labels=True, candidates=16, candidate_limit=-9.0, training=TRAINING),
    "organs": Learner(
        pseudo_labels=True, by_organ=True, leave_out=True, refine_outlines=True, move_prob=0.5, labelled_share=0.35,
        appearance=True, appearance_cases=600, appearance_weights=(1, 1.5, 2), training=TRAINING,
    ),
}  # fmt: skip
"""Learners by name; a configuration may change their numbers, and so combine them. `organs` is the default: see
`benchmarks/learning/README.md`."""

BUNDLES = ("baseline_seg", "qa_discriminator", "qa_semi_seg")
STEPS = (
    "segment", "leave_out_organs", "montage", "request", "rate", "split", "discriminator", "refresh", "adversarial",
    "tune", "report",
)  # fmt: skip


@dataclass(frozen=True)
class CycleSettings:
    """All that a cycle needs to know.

    Attributes:
        datalist: Decathlon `dataset.json` with `training`, `validation` and the sections below.
        output_dir: of all rounds.
        baseline_path: weights that the first round segments with.
        learner: how the rounds learn.
        rounds: how many.
        requests: segmentations that people are asked to code in each round, and again of the candidates and of what
            left an organ out; 0: all.
        fresh: segmentations that they are asked to code after each burst.
        audit: share of the requests that is random, as an audit.
        codes: `simulated`, or nothing: then people write `<folder>_ratings.csv` beside each `<folder>_requests.csv`.
        code_files: further CSVs of codes, or stores of the rating page; of these, the ratings count that name the
            SHA-256 of the segmentation.
        truth: folder of true labels of phantoms, for the simulated rater.
        unlabeled_section: whose cases are segmented, coded and learnt from.
        rated_section: cases that are segmented and coded after each round, to stop when successes get fewer; without
            it so many random ones of the unlabelled cases are held out as `rated_cases` says.
        rated_cases: see there.
        monitor: train a watcher, and let it look at the training; see
            `custom_components.handlers.fooling_monitor.FoolingMonitor`.
        adversarial: segmentations that are changed until the discriminator likes them, for the watcher to learn from.
        seed: of all that is random.
        bundles_dir: where the bundles are.
        overlays: further configurations of each bundle, such as `phantom.yaml`.
        options: numbers of each step by name: segment, leave_out_organs, montage, request, rate, split, discriminator,
            refresh (the discriminator between bursts), adversarial, tune, report.
    """

    datalist: str
    output_dir: str
    baseline_path: str
    learner: Learner = field(default_factory=lambda: LEARNERS["organs"])
    rounds: int = 2
    requests: int = 200
    fresh: int = 40
    audit: float = 0.2
    codes: str = ""
    code_files: Sequence[str] = ()
    truth: str = ""
    unlabeled_section: str = "unlabeled"
    rated_section: str = ""
    rated_cases: int = 50
    monitor: bool = True
    adversarial: int = 40
    seed: int = 0
    bundles_dir: str = "bundles"
    overlays: Mapping[str, Sequence[str]] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, low in (
            ("rounds", 1),
            ("requests", 0),
            ("fresh", 1),
            ("rated_cases", 1),
            ("adversarial", 0),
            ("seed", 0),
        ):
            check_number(getattr(self, name), name, low, whole=True)
        check_number(self.audit, "audit", 0, 1)
        check_flag(self.monitor, "monitor")
        _check_paths("code_files", self.code_files)
        if self.codes not in ("", SIMULATED):
            raise ValueError(f"codes is {self.codes!r}, expected {SIMULATED} or nothing; files go into code_files")
        if self.codes == SIMULATED and not self.truth:
            raise ValueError("codes is simulated and truth is empty, expected the folder of true labels")
        if self.rated_section and self.rated_section == self.unlabeled_section:
            raise ValueError(f"rated_section is {self.rated_section!r} as unlabeled_section, expected another one")
        _check_names("overlays", self.overlays, BUNDLES)
        for bundle, paths in self.overlays.items():
            _check_paths(f"overlays: {bundle}", paths)
        _check_names("options", self.options, STEPS)
        for step, values in self.options.items():
            if not isinstance(values, Mapping):
                raise ValueError(f"options: {step} is {values!r}, expected names with values")


def read_settings(path: str | Path, **changes: Any) -> CycleSettings:
    """Read the settings of a cycle from YAML; relative paths in it are relative to the current directory.

    `learner` is the name of one, or a mapping with `name` and the numbers that differ, or all numbers.

    Args:
        path: the file.
        **changes: settings of the command line, which count more than the file's.

    Raises:
        ValueError: the file cannot be read, a setting is unknown or missing, or has another form; one line.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: {reason}") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected settings by name")
    given = {**content, **{name: value for name, value in changes.items() if value is not None}}
    try:
        _check_names("settings", given, [one.name for one in fields(CycleSettings)])
        for name in ("datalist", "output_dir", "baseline_path"):
            if not isinstance(given.get(name), str) or not given[name]:
                raise ValueError(f"{name} is {given.get(name)!r}, expected a path")
        if "learner" in given:
            given["learner"] = _learner(given["learner"])
        return CycleSettings(**given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def _learner(given: Any) -> Learner:
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping):
        raise ValueError(f"learner is {given!r}, expected a name or settings by name")
    _check_names("learner", given, ["name", *(one.name for one in fields(Learner))])
    numbers = {name: value for name, value in given.items() if name != "name"}
    if "name" not in given:
        return Learner(**numbers)
    if given["name"] not in LEARNERS:
        raise ValueError(f"learner is {given['name']!r}, expected one of {', '.join(LEARNERS)}")
    return replace(LEARNERS[given["name"]], **numbers)


def _check_names(what: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    if not isinstance(given, Mapping):
        raise ValueError(f"{what} is {given!r}, expected names with values")
    if unknown := [name for name in given if name not in known]:
        raise ValueError(f"{what}: {unknown[0]!r} is unknown, expected some of {', '.join(known)}")


def _check_paths(name: str, value: object) -> None:
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ValueError(f"{name} is {value!r}, expected a list of paths")
