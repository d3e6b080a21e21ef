"""The methods that are compared. Each starts from the same baseline and makes the same number of steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from confidence import most_confident
from workbench import HERE, Bench

from custom_components.data.datalist import copy_datalist
from custom_components.learning.cycle_actions import act
from custom_components.learning.cycle_plan import REFRESH
from custom_components.learning.cycle_settings import LEARNERS
from custom_components.learning.cycle_steps import Remaining

CANDIDATES = 16
LIMIT = 0.8
"""First score above which candidates are tried; chosen on the rated section."""

REFINED = {"refine_outlines": True}
MOVED = {"move_prob": 0.5, "move_absent": 0.5}
GREYS = {
    "labelled_share": 0.35, "appearance_section": "coded", "appearance_prob": 0.5, "appearance_cases": 600,
    "appearance_weights": "1,1.5,2",
}  # fmt: skip

BURSTS = 10
FRESH = 40
FRESH_JUDGE = {**REFRESH, "max_epochs": 2, "fooled_weight": LEARNERS["refreshed"].fooled_weight}
"""Numbers of a judge's training between two bursts, as in a cycle, but for its epochs: there are more codes here."""


@dataclass
class Outcome:
    """What a method leaves.

    Attributes:
        weights: of the network.
        ratings: codes that people gave for it, those of the judge's training included where it needs the judge.
        seconds: of its trainings, without judges, candidates and segmenting.
        inference: options of its inference.
    """

    weights: Path
    ratings: int = 0
    seconds: float = 0.0
    inference: dict[str, Any] = field(default_factory=dict)


def first(bench: Bench) -> tuple[Path, Path]:
    """The baseline's segmentations of the unlabelled cases, and their codes."""
    folder = bench.folder / "first" / "unlabeled"
    return folder, folder.with_name("unlabeled_codes.csv")


def coded(codes: Path) -> int:
    """How many codes there are."""
    return int(pd.read_csv(codes)["code"].notna().sum())


def baseline(bench: Bench) -> Outcome:
    """No training at all."""
    return Outcome(bench.baseline)


def continued(bench: Bench) -> Outcome:
    """Trained on with the labels alone."""
    seconds = bench.tune("continued", pseudo_section="null")
    return Outcome(bench.folder / "continued" / "models" / "model.pt", seconds=seconds)


def continued_refined(bench: Bench) -> Outcome:
    """The same; at inference outlines are refined, which needs no codes."""
    outcome = continued(bench)
    return Outcome(outcome.weights, seconds=outcome.seconds, inference=REFINED)


def continued_moved(bench: Bench) -> Outcome:
    """Labels alone, with organs moved and taken out, and outlines refined: all of the default that needs no codes."""
    seconds = bench.tune("continued_moved", pseudo_section="null", **MOVED)
    return Outcome(bench.folder / "continued_moved" / "models" / "model.pt", seconds=seconds, inference=REFINED)


def oracle_refined(bench: Bench) -> Outcome:
    """True labels, and outlines refined at inference: the upper bound of what is refined."""
    outcome = oracle(bench)
    return Outcome(outcome.weights, seconds=outcome.seconds, inference=REFINED)


def continued_rounds(bench: Bench) -> Outcome:
    """`continued_moved` in two rounds: all of the default, its learning rate that begins anew too, but the codes."""
    return _in_rounds(bench, "continued_rounds", pseudo_section="null", **MOVED)


def oracle_rounds(bench: Bench) -> Outcome:
    """`oracle_refined` in two rounds: the upper bound of the default's learning rate."""
    return _in_rounds(bench, "oracle_rounds", datalist=_true_labels(bench))


def plain_views(bench: Bench) -> Outcome:
    """The same, with the views of the candidates as augmentation of the labelled cases."""
    seconds = bench.tune("plain_views", HERE / "plain_views.yaml", pseudo_section="null")
    return Outcome(bench.folder / "plain_views" / "models" / "model.pt", seconds=seconds)


def published(bench: Bench) -> Outcome:
    """The QA-score loss with one frozen discriminator; watched, but not stopped."""
    seconds = bench.tune("published", "train_published", watcher_paths=bench.watcher, **bench.size.monitor)
    return Outcome(bench.folder / "published" / "models" / "model.pt", coded(first(bench)[1]), seconds)


def refreshed(bench: Bench) -> Outcome:
    """The QA-score loss with a small weight, in bursts; between them the judge learns from what fooled it."""
    sources, judge, weights, ratings, seconds = [first(bench)], bench.judge, bench.baseline, coded(first(bench)[1]), 0.0
    for burst in range(BURSTS):
        name = f"refreshed/burst{burst}"
        seconds += bench.tune(
            name, "train_published", baseline_path=weights, discriminator_paths=judge, qa_weight=0.01,
            max_epochs=bench.size.tuning_epochs // BURSTS, seed=bench.seed + 1000 * burst,
        )  # fmt: skip
        weights = bench.folder / name / "models" / "model.pt"
        if burst + 1 < BURSTS:
            fresh = _sample(bench, name, FRESH, burst)
            folder = bench.segment(name, weights, "unlabeled", fresh, discriminator_path=judge)
            sources.append((folder, bench.rate(folder)))
            ratings += coded(sources[-1][1])
            scores = ["", *(folder / "summary.csv" for folder, _ in sources[1:])]
            judge = bench.discriminator(f"{name}/judge", sources, scores=scores, start_path=judge, **FRESH_JUDGE)
    return Outcome(weights, ratings, seconds)


def mean_teacher(bench: Bench) -> Outcome:
    """Consistency with the average of its own weights on unlabelled cases (Tarvainen and Valpola 2017)."""
    seconds = bench.tune("mean_teacher", HERE / "mean_teacher.yaml", pseudo_section="null")
    return Outcome(bench.folder / "mean_teacher" / "models" / "model.pt", seconds=seconds)


def confidence(bench: Bench) -> Outcome:
    """Pseudo-labels without people: the half of its own segmentations that the network is surest of."""
    output = bench.folder / "confidence" / "dataset.json"
    if not output.is_file():
        copy_datalist(bench.datalist, output, {"pseudo": most_confident(bench, first(bench)[0], 0.5)})
    seconds = bench.tune("confidence", datalist=output)
    return Outcome(bench.folder / "confidence" / "models" / "model.pt", seconds=seconds)


def approved(bench: Bench) -> Outcome:
    """Pseudo-labels by people's codes of the first segmentations."""
    datalist = bench.pseudo_labels("approved", first(bench))
    seconds = bench.tune("approved", datalist=datalist)
    return Outcome(bench.folder / "approved" / "models" / "model.pt", coded(first(bench)[1]), seconds)


def organs_once(bench: Bench) -> Outcome:
    """The same, and of a segmentation that was not coded 0 the organs that the reason does not name are labels too."""
    datalist = bench.pseudo_labels("organs", first(bench), by_organ=True)
    seconds = bench.tune("organs", datalist=datalist)
    return Outcome(bench.folder / "organs" / "models" / "model.pt", coded(first(bench)[1]), seconds)


def organs_appearance(bench: Bench) -> Outcome:
    """Organ by organ, with labelled cases in the greys of failures above all; at inference outlines are refined."""
    datalist = bench.pseudo_labels("organs", first(bench), by_organ=True)
    seconds = bench.tune(
        "organs_appearance", datalist=datalist, labelled_share=0.5,
        appearance_section="coded", appearance_prob=0.8, appearance_cases=600, appearance_weights="1,2,3",
    )  # fmt: skip
    weights = bench.folder / "organs_appearance" / "models" / "model.pt"
    return Outcome(weights, coded(first(bench)[1]), seconds, REFINED)


def organ_rounds(bench: Bench) -> Outcome:
    """The learner `organs`: organs that passed in refined segmentations, absent ones too, moved ones, coded greys."""
    return _organ_rounds(bench, "organ_rounds", rounds=2, leave_out=True, **MOVED, **GREYS)


def refined_rounds(bench: Bench) -> Outcome:
    """The same without absent and moved organs."""
    return _organ_rounds(bench, "refined_rounds", rounds=2, leave_out=False, **GREYS)


def appearance(bench: Bench) -> Outcome:
    """The same, and the labelled cases are shown with the organ greys of all coded ones, failures too."""
    datalist = bench.pseudo_labels("approved", first(bench))
    seconds = bench.tune("appearance", datalist=datalist, appearance_section="coded")
    return Outcome(bench.folder / "appearance" / "models" / "model.pt", coded(first(bench)[1]), seconds)


def views_inference(bench: Bench) -> Outcome:
    """`ranked_inference` among other views of the CT instead of more or less of an organ."""
    outcome = continued(bench)
    options = {"candidates": 12, "candidate_limit": LIMIT, "candidate_sources": "@candidate_views"}
    return Outcome(outcome.weights, coded(first(bench)[1]), outcome.seconds, options)


def measured_inference(bench: Bench) -> Outcome:
    """The network trained on with labels alone; at inference trees that were learnt from measurements pick."""
    return _with_measurements(bench, "measured_inference", continued(bench))


def measured(bench: Bench) -> Outcome:
    """Pseudo-labels and appearance; at inference trees pick among that network, the baseline, and their variants."""
    return _with_measurements(bench, "measured", appearance(bench))


def ranked_inference(bench: Bench) -> Outcome:
    """The network trained on with labels alone; at inference the judge picks among candidates."""
    return _with_candidates(bench, continued(bench), coded(first(bench)[1]))


def ranked(bench: Bench, rounds: int = 2) -> Outcome:
    """Pseudo-labels of the candidates that the judge picked and people coded, in rounds."""
    sources, weights, ratings, seconds = [first(bench)], bench.baseline, coded(first(bench)[1]), 0.0
    pseudo, judge = list(sources), bench.judge
    for number in range(1, rounds + 1):
        name = f"ranked/round{number}"
        if number > 1:
            folder = bench.segment(name, weights, "unlabeled", discriminator_path=judge)
            again = folder, bench.rate(folder)
            ratings += coded(again[1])
            sources.append(again)
            pseudo.append(again)
            judge = bench.discriminator(f"{name}/judge", sources, start_path=judge, max_epochs=4)
        remaining = _remaining(bench, name, pseudo)
        folder = bench.segment(
            f"{name}/ranked", weights, "unlabeled", remaining,
            discriminator_path=judge, candidates=CANDIDATES, candidate_limit=-9,
        )  # fmt: skip
        requests = folder.with_name("requests.csv")
        bench.ours(
            f"{name}/request", "codes", "request", requests, folder, scores=folder / "summary.csv", taken_only=True
        )
        picked = folder, bench.rate(folder, requests=requests)
        ratings += coded(picked[1])
        sources.append(picked)
        pseudo.append(picked)
        datalist = bench.pseudo_labels(name, *pseudo)
        seconds += tune_round(bench, name, number, rounds, datalist=datalist, baseline_path=weights)
        weights = bench.folder / name / "models" / "model.pt"
    return Outcome(weights, ratings, seconds)


def ranked_both(bench: Bench) -> Outcome:
    """The same, and the judge picks among candidates at inference too."""
    outcome = ranked(bench)
    return _with_candidates(bench, outcome, outcome.ratings)


def oracle(bench: Bench) -> Outcome:
    """The true labels of the unlabelled cases: the upper bound."""
    seconds = bench.tune("oracle", datalist=_true_labels(bench))
    return Outcome(bench.folder / "oracle" / "models" / "model.pt", seconds=seconds)


def _true_labels(bench: Bench) -> Path:
    """Write a datalist in which the true labels are the pseudo-labels."""
    output = bench.folder / "oracle" / "dataset.json"
    if not output.is_file():
        content = json.loads(bench.datalist.read_text())
        entries = []
        for entry in content["unlabeled"]:
            image = (bench.cohort / entry["image"]).absolute()
            entries.append({"image": str(image), "label": str((bench.truth / image.name).absolute()), "weight": 1.0})
        copy_datalist(bench.datalist, output, {"pseudo": entries})
    return output


METHODS: dict[str, Callable[[Bench], Outcome]] = {
    one.__name__: one
    for one in (
        baseline, continued, continued_refined, continued_moved, continued_rounds, plain_views, mean_teacher,
        confidence, published, refreshed, approved, ranked_inference, ranked, ranked_both, organ_rounds, oracle,
        oracle_refined, oracle_rounds,
    )
}  # fmt: skip
"""Those of the proof."""

TRIED: dict[str, Callable[[Bench], Outcome]] = {
    one.__name__: one
    for one in (
        organs_once,
        organs_appearance,
        refined_rounds,
        appearance,
        views_inference,
        measured_inference,
        measured,
    )
}
"""What else was tried, on the rated section alone."""

DEFAULT = "organ_rounds"


def _with_candidates(bench: Bench, outcome: Outcome, ratings: int) -> Outcome:
    options = {"candidates": CANDIDATES, "candidate_limit": LIMIT}
    return Outcome(outcome.weights, ratings, outcome.seconds, options)


def _with_measurements(bench: Bench, name: str, outcome: Outcome) -> Outcome:
    """Measure the coded first segmentations, now with both networks: they are the same, and so are their codes."""
    folder = bench.segment(
        f"{name}/coded", bench.baseline, "unlabeled",
        discriminator_path=None, measure=True, committee_paths=outcome.weights,
    )  # fmt: skip
    options = {
        "discriminator_path": None, "committee_paths": bench.baseline, "rated_segmentations": folder,
        "rated_codes": bench.rate(folder), "candidates": CANDIDATES, "candidate_limit": LIMIT,
    }  # fmt: skip
    return Outcome(outcome.weights, coded(first(bench)[1]), outcome.seconds, options)


def _organ_rounds(bench: Bench, name: str, *, rounds: int, leave_out: bool, **options: Any) -> Outcome:
    """Train in rounds on the organs that passed; before all but the first, what lacks one is segmented and coded."""
    refined = bench.segment("first_refined", bench.baseline, "unlabeled", **REFINED)
    sources = [(refined, bench.rate(refined))]
    if leave_out:
        folder = bench.leave_out("first_left_out", *sources[0])
        sources.append((folder, bench.rate(folder)))
    weights, seconds = bench.baseline, 0.0
    for number in range(1, rounds + 1):
        step = f"{name}/round{number}"
        if number > 1:
            remaining = _remaining(bench, step, sources)
            folder = bench.segment(step, weights, "unlabeled", remaining, discriminator_path=None, **REFINED)
            sources.append((folder, bench.rate(folder)))
        datalist = bench.pseudo_labels(step, *sources, by_organ=True)
        seconds += tune_round(
            bench, step, number, rounds, datalist=datalist, baseline_path=weights,
            watcher_paths=bench.watcher, **bench.size.monitor, **options,
        )  # fmt: skip
        weights = bench.folder / step / "models" / "model.pt"
    return Outcome(weights, sum(coded(codes) for _, codes in sources), seconds, REFINED)


def _in_rounds(bench: Bench, name: str, rounds: int = 2, **options: Any) -> Outcome:
    """Train on in rounds that learn from the same, and refine outlines at inference."""
    weights, seconds = bench.baseline, 0.0
    for number in range(1, rounds + 1):
        step = f"{name}/round{number}"
        seconds += tune_round(bench, step, number, rounds, baseline_path=weights, **options)
        weights = bench.folder / step / "models" / "model.pt"
    return Outcome(weights, seconds=seconds, inference=REFINED)


def tune_round(bench: Bench, name: str, number: int, rounds: int, **options: Any) -> float:
    """Train on for one of so many rounds; all together have the steps of one training."""
    return bench.tune(name, max_epochs=bench.size.tuning_epochs // rounds, seed=bench.seed + 1000 * number, **options)


def _sample(bench: Bench, name: str, count: int, seed: int) -> Path:
    """Write a datalist of some of the unlabelled cases."""
    output = bench.folder / name / "fresh.json"
    content = json.loads(bench.datalist.read_text())["unlabeled"]
    chosen = pd.Series(range(len(content))).sample(count, random_state=1000 * bench.seed + seed)
    entries = [{"image": str((bench.cohort / content[place]["image"]).absolute())} for place in sorted(chosen)]
    copy_datalist(bench.datalist, output, {"unlabeled": entries})
    return output


def _remaining(bench: Bench, name: str, sources: list[tuple[Path, Path]]) -> Path:
    """Write a datalist of the unlabelled cases that have no segmentation coded 0 yet, as a cycle does."""
    output = bench.folder / name / "remaining.json"
    act(Remaining(name, bench.datalist, "unlabeled", tuple(codes for _, codes in sources), output))
    return output
