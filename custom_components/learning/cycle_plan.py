"""The steps of a cycle: what is run, in which order, with which files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from custom_components.learning.cycle_commands import Commands
from custom_components.learning.cycle_settings import SIMULATED, CycleSettings
from custom_components.learning.cycle_steps import (
    Codes,
    Configs,
    Guard,
    HoldOut,
    ImageList,
    Keep,
    Mix,
    MixedCodes,
    Remaining,
    Sample,
    Step,
)
from custom_components.options import check_number

ALL = 0
"""As a number of requests: every segmentation."""

RATED = "rated"
"""Section of the cases that are coded after each round."""

PSEUDO, CODED = "pseudo", "coded"
"""Sections of the pseudo-labels, and of all that was coded."""

FIRST = "first"
"""Folder of a round's segmentations of the unlabelled cases."""

LEFT_OUT = "left_out"
"""Folder of what was not coded 0, without an organ."""

RANKED = "ranked"
"""Folder of the segmentations that were taken among candidates."""

USED = {
    "baseline_seg": ("inference",),
    "qa_discriminator": ("train", "watcher"),
    "qa_semi_seg": ("train", "train_published", "inference"),
}
"""Configurations that a cycle runs."""

MONITOR_INTERVAL = 240
"""Iterations between two looks of the fooling monitor, which looks oftener at the beginning."""

LABELS_ALONE: Mapping[str, Any] = dict.fromkeys(
    ("monitor_interval", "monitor_stop", "watcher_paths", "reference_section", "appearance_section")
)
"""Options of a tuning that one without codes does not have, whatever those of the step say."""

REFRESH: Mapping[str, Any] = {"max_epochs": 5, "corruption#prob": 0.4, "corruption#modes#over_painted": 4}
"""Numbers of the discriminator's training between two bursts: short, and with organs painted over the body."""


@dataclass(frozen=True)
class Rated:
    """A folder of segmentations, its images and its codes; and whether its summary has QA scores."""

    segmentations: Path
    images: Path
    codes: Path
    scored: bool


def config_files(settings: CycleSettings) -> tuple[tuple[str, Path], ...]:
    """The configurations that a cycle runs, with the bundle that each is of."""
    files = [
        (bundle, Path(settings.bundles_dir) / bundle / "configs" / f"{config}.yaml")
        for bundle, configs in USED.items()
        for config in configs
    ]
    return (*files, *((bundle, Path(path)) for bundle, paths in settings.overlays.items() for path in paths))


class Plan:
    """The steps of a cycle, in order; iterate over it.

    Args:
        settings: of the cycle.
    """

    def __init__(self, settings: CycleSettings) -> None:
        self.settings = settings
        self._commands = Commands(settings)
        self.out = Path(settings.output_dir)
        self.datalist = Path(settings.datalist)
        self._tunings = 0
        self.learner = settings.learner
        self._rated: list[Rated] = []
        self._pseudo: list[Rated] = []

    def __iter__(self) -> Iterator[Step]:
        """Give the steps from the first to the last."""
        self._rated, self._pseudo, self._tunings = [], [], 0
        settings = self.settings
        weights, bundle = Path(settings.baseline_path), "baseline_seg"
        discriminator: Path | None = None
        rated = yield from self._rated_cases()
        before = yield from self._audit("baseline", weights, bundle, rated, None)
        for number in range(1, settings.rounds + 1):
            name, start, start_bundle = f"round{number}", weights, bundle
            yield self._configs(name)
            has_first = yield from self._first(name, weights, bundle, discriminator)
            if has_first and self.learner.leave_out:
                yield from self._left_out(name)
            discriminator = yield from self._discriminator(name)
            watcher = (yield from self._watcher(name, discriminator)) if settings.monitor else None
            if self.learner.candidates:
                yield from self._candidates(name, weights, bundle, discriminator)
            if self.learner.accept_below is not None and not self._pseudo[0].scored:
                yield self._score_first(weights, bundle, discriminator)
            yield self._pseudo_labels(name)
            for part in self._parts(name):
                yield self._tune(part, weights, discriminator, watcher, start)
                weights, bundle = self.out / part / "models" / "model.pt", "qa_semi_seg"
                if part != self._parts(name)[-1]:
                    yield from self._fresh(part, weights, discriminator)
                    discriminator = yield from self._discriminator(part, discriminator)
            if self.learner.continued_share:
                weights = yield from self._averaged(name, start, weights, discriminator)
            after = yield from self._audit(name, weights, bundle, rated, discriminator)
            if settings.codes != SIMULATED:
                before = yield from self._blind(name, before, after)
            # both by the same discriminator: what is finished is scored from its files
            yield self._segment(
                f"{name}/score_before", start_bundle, start, *rated, before.segmentations, discriminator
            )
            yield self._report(name, before, after)
            verdicts = tuple(self.out / part / "training" / "fooling.json" for part in self._parts(name))
            yield Keep(f"{name}/keep", before.codes, after.codes, start, weights, self.out / "model.pt", verdicts)
            before = after

    def _parts(self, name: str) -> list[str]:
        """Names of the trainings of a round."""
        count = self.learner.bursts
        return [name] if count == 1 else [f"{name}/burst{burst}" for burst in range(1, count + 1)]

    def _seed(self, name: str) -> int:
        """Of a random choice, which is another one in each step."""
        return self.settings.seed + int.from_bytes(hashlib.sha256(name.encode()).digest()[:3], "big")

    def _rated_cases(self) -> Generator[Step, None, tuple[Path, str]]:
        """Choose the cases that are coded after each round."""
        settings, source = self.settings, Path(self.settings.datalist)
        if settings.rated_section:
            self.datalist = source
            return source, settings.rated_section
        self.datalist = self.out / "dataset.json"
        count, seed = settings.rated_cases, settings.seed
        yield HoldOut("rated", source, settings.unlabeled_section, count, seed, self.datalist, RATED)
        return self.datalist, RATED

    def _configs(self, name: str) -> Step:
        return Configs(f"{name}/configs", config_files(self.settings), self.out / name / "configs")

    def _first(self, name: str, weights: Path, bundle: str, discriminator: Path | None) -> Generator[Step, None, bool]:
        """Segment the unlabelled cases, and have some of them coded; say whether there are any.

        Learning organ by organ, later rounds leave out what has a segmentation coded 0: each of its organs has a label.
        """
        folder, datalist = self.out / name / FIRST, self.datalist
        section = self.settings.unlabeled_section
        if self.learner.by_organ and self._pseudo:
            datalist = self.out / name / "first.json"
            if not (yield from self._remaining(f"{name}/unsolved", datalist)):
                return False
        yield self._segment(f"{name}/segment", bundle, weights, datalist, section, folder, discriminator)
        rated = yield from self._coded(
            f"{name}/first", folder, self.settings.requests, datalist, section, discriminator
        )
        self._rated.append(rated)
        self._pseudo.append(rated)
        return True

    def _remaining(self, name: str, output: Path) -> Generator[Step, None, bool]:
        """List the cases of which nothing was coded 0 yet; say whether there are any, once that is known."""
        section = self.settings.unlabeled_section
        yield Remaining(name, self.datalist, section, tuple(one.codes for one in self._pseudo), output)
        return not output.is_file() or bool(json.loads(output.read_text(encoding="utf-8"))[section])

    def _left_out(self, name: str) -> Iterator[Step]:
        """Have what was not coded 0 coded again without the organ that is named, where that may be absent."""
        first, folder = self._pseudo[-1], self.out / name / LEFT_OUT
        yield self._commands.ours(
            f"{name}/leave_out", "leave_out_organs", folder, segmentations=first.segmentations, codes=first.codes
        )
        if folder.is_dir() and not any(folder.iterdir()):
            return  # the step was done and found none
        section = self.settings.unlabeled_section
        rated = yield from self._coded(
            f"{name}/{LEFT_OUT}", folder, self.settings.requests, self.datalist, section, None
        )
        self._rated.append(rated)
        self._pseudo.append(rated)

    def _fresh(self, name: str, weights: Path, discriminator: Path) -> Iterator[Step]:
        """Segment some cases between two bursts, and have them coded: what fools the discriminator now, it learns."""
        folder, section, settings = self.out / name / "fresh", self.settings.unlabeled_section, self.settings
        listed = self.out / name / "fresh.json"
        yield Sample(f"{name}/sample", self.datalist, section, settings.fresh, self._seed(name), listed)
        yield self._segment(f"{name}/segment", "qa_semi_seg", weights, listed, section, folder, discriminator)
        rated = yield from self._coded(f"{name}/fresh", folder, settings.fresh, listed, section, discriminator)
        self._rated.append(rated)

    def _candidates(self, name: str, weights: Path, bundle: str, discriminator: Path) -> Iterator[Step]:
        """Take the best of several segmentations where none was coded 0 yet, and have these coded."""
        folder, section = self.out / name / RANKED, self.settings.unlabeled_section
        remaining = self.out / name / "remaining.json"
        if not (yield from self._remaining(f"{name}/remaining", remaining)):
            return
        yield self._segment(
            f"{name}/rank", bundle, weights, remaining, section, folder, discriminator,
            candidates=self.learner.candidates, candidate_limit=self.learner.candidate_limit,
        )  # fmt: skip
        rated = yield from self._coded(
            f"{name}/ranked", folder, self.settings.requests, remaining, section, discriminator
        )
        self._rated.append(rated)
        self._pseudo.append(rated)

    def _audit(
        self, name: str, weights: Path, bundle: str, rated: tuple[Path, str], discriminator: Path | None
    ) -> Generator[Step, None, Rated]:
        """Segment the rated cases, and have all of them coded: by people later, mixed with those of another network."""
        folder = self.out / name / RATED
        yield self._segment(f"{name}/segment_rated", bundle, weights, *rated, folder, discriminator)
        if self.settings.codes == SIMULATED:
            return (yield from self._coded(f"{name}/rated", folder, ALL, *rated, None))
        images = yield from self._shown(f"{name}/rated", folder, *rated)
        return Rated(folder, images, _beside(folder, "codes.csv"), discriminator is not None)

    def _blind(self, name: str, before: Rated, after: Rated) -> Generator[Step, None, Rated]:
        """Have people code both, mixed under new names; give the former with these codes."""
        mixed, codes = self.out / name / "audit", self.out / name / "before_codes.csv"
        yield Mix(f"{name}/audit", (before.segmentations, after.segmentations), self._seed(f"{name}/audit"), mixed)
        ratings = _beside(mixed, "ratings.csv")
        yield MixedCodes(
            f"{name}/audit/codes", mixed, ratings, self._code_files(), (codes, after.codes), self._page(mixed, ratings)
        )
        return replace(before, codes=codes)

    def _shown(self, name: str, folder: Path, datalist: Path, section: str) -> Generator[Step, None, Path]:
        """Draw the montages of a folder's segmentations; give the list of its images."""
        images = _beside(folder, "images.json")
        yield ImageList(f"{name}/image_list", datalist, section, folder, images)
        yield self._commands.ours(f"{name}/montages", "montage", images, folder, _beside(folder, "montages"))
        return images

    def _page(self, folder: Path, ratings: Path, images: Path | None = None) -> tuple[str, ...]:
        """What opens the rating page with the segmentations, or the montages, that have no code yet."""
        return self._commands.ours(
            "page", "review", folder, images=images, cases=_beside(folder, "missing.csv"), export=ratings,
            state=_beside(folder, "review"), ask_reasons=True if images and self.learner.by_organ else None,
        ).words  # fmt: skip

    def _code_files(self) -> tuple[Path, ...]:
        return tuple(Path(file) for file in self.settings.code_files)

    def _coded(
        self, name: str, folder: Path, count: int, datalist: Path, section: str, discriminator: Path | None
    ) -> Generator[Step, None, Rated]:
        """Have so many segmentations of a folder coded."""
        settings = self.settings
        requests, codes = _beside(folder, "requests.csv"), _beside(folder, "codes.csv")
        images = yield from self._shown(name, folder, datalist, section)
        yield self._commands.ours(
            f"{name}/request", "request", requests, folder, count=count,
            seed=self._seed(name), audit=settings.audit,
            scores=folder / "summary.csv" if discriminator else None,
            taken_only=True if folder.name == RANKED else None,
        )  # fmt: skip
        if settings.codes == SIMULATED:
            yield self._commands.ours(f"{name}/rate", "rate", folder, settings.truth, codes, cases=requests)
        else:
            ratings = _beside(folder, "ratings.csv")
            page = self._page(folder, ratings, images)
            yield Codes(
                f"{name}/codes", folder, requests, ratings, self._code_files(), codes, self.learner.by_organ, page
            )  # fmt: skip
        return Rated(folder, images, codes, discriminator is not None)

    def _discriminator(self, name: str, earlier: Path | None = None) -> Generator[Step, None, Path]:
        """Train the discriminator on all codes so far; give its weights."""
        folder = self.out / name / "discriminator"
        scores = self._scores(self._rated) if self.learner.fooled_weight > 1 else None
        yield self._split(f"{name}/split", folder, self._rated, scores=scores)
        yield self._train_discriminator(f"{name}/discriminator", folder, ("train",), earlier)
        return folder / "models" / "model.pt"

    def _watcher(self, name: str, discriminator: Path) -> Generator[Step, None, Path]:
        """Train a discriminator of another kind on the same codes and on what fools the first; it gives no gradient."""
        folder, rated = self.out / name / "watcher", list(self._rated)
        if self.settings.adversarial:
            fooling = self.out / name / "adversarial"
            first = next(one for one in reversed(rated) if one.segmentations.name == FIRST)
            yield self._commands.ours(
                f"{name}/adversarial", "adversarial", first.images, first.segmentations, fooling,
                codes=first.codes, discriminator_path=discriminator, count=self.settings.adversarial,
            )  # fmt: skip
            codes = fooling / "codes.csv"
            found_none = codes.is_file() and len(codes.read_text(encoding="utf-8").splitlines()) < 2  # once it was done
            if not found_none:
                rated.append(Rated(fooling, first.images, codes, scored=False))
        yield self._split(f"{name}/watcher/split", folder, rated)
        yield self._train_discriminator(f"{name}/watcher", folder, ("train", "watcher"), None)
        return folder / "models" / "model.pt"

    def _split(self, name: str, folder: Path, rated: Sequence[Rated], **options: Any) -> Step:
        return self._commands.ours(
            name, "split", folder / "qa_dataset.json",
            codes=[one.codes for one in rated],
            images=[one.images for one in rated],
            segmentations=[one.segmentations for one in rated],
            seed=self.settings.seed, **options,
        )  # fmt: skip

    def _train_discriminator(self, name: str, folder: Path, configs: Sequence[str], earlier: Path | None) -> Step:
        return self._commands.bundle(
            name, "refresh" if earlier else "discriminator", "training", "qa_discriminator", configs,
            datalist=folder / "qa_dataset.json", ckpt_dir=folder / "models", output_dir=folder / "training",
            seed=self.settings.seed, resume=True, start_path=earlier,
            fooled_weight=self.learner.fooled_weight if self.learner.fooled_weight > 1 else None,
            **(REFRESH if earlier else {}),
        )  # fmt: skip

    @staticmethod
    def _scores(coded: Sequence[Rated]) -> list[Path | str] | None:
        """Tables of the scores of folders; nothing if none has any."""
        tables = [one.segmentations / "summary.csv" if one.scored else "" for one in coded]
        return tables if any(tables) else None

    def _score_first(self, weights: Path, bundle: str, discriminator: Path) -> Step:
        """Score what the first round segmented before it had a discriminator: from the files, as they are finished."""
        first = self._pseudo[0]
        self._pseudo[0] = replace(first, scored=True)
        section = self.settings.unlabeled_section
        return self._segment(
            "round1/score_first", bundle, weights, self.datalist, section, first.segmentations, discriminator
        )

    def _pseudo_labels(self, name: str) -> Step:
        """Make labels of what was coded; a learner without them takes their organ volumes for plausible."""
        learner = self.learner
        return self._commands.ours(
            f"{name}/pseudo_labels", "pseudo_labels", self.out / name / "dataset.json",
            datalist=self.datalist, section=self.settings.unlabeled_section,
            segmentations=[one.segmentations for one in self._pseudo],
            codes=[one.codes for one in self._pseudo],
            weights=learner.weights if learner.pseudo_labels else (1, 1, 1),  # else a cohort of failures had none
            by_organ=learner.by_organ or None,
            scores=None if learner.accept_below is None else self._scores(self._pseudo),
            accept_below=learner.accept_below,
        )  # fmt: skip

    def _tune(self, name: str, weights: Path, discriminator: Path, watcher: Path | None, start: Path) -> Step:
        learner, folder = self.learner, self.out / name
        self._tunings += 1  # each draws other cases and changes
        configs = ("train",) if learner.pseudo_labels else ("train", "train_published")
        command = self._commands.bundle(
            f"{name}/tune", "tune", "training", "qa_semi_seg", configs,
            datalist=self.out / Path(name).parts[0] / "dataset.json",
            unlabeled_section=self.settings.unlabeled_section,
            labelled_share=learner.labelled_share if learner.pseudo_labels else None,
            appearance_section=CODED if learner.appearance else None,
            appearance_cases=learner.appearance_cases if learner.appearance else None,
            appearance_weights=learner.appearance_weights if learner.appearance else None,
            move_prob=learner.move_prob or None,
            baseline_path=weights, discriminator_paths=discriminator, qa_weight=learner.qa_weight,
            ckpt_dir=folder / "models", output_dir=folder / "training", resume=True,
            seed=self.settings.seed + 1000 * self._tunings,
            monitor_interval=MONITOR_INTERVAL if watcher else None, watcher_paths=watcher,
            reference_section=PSEUDO if watcher else None,
            monitor_start_path=self.settings.baseline_path if watcher else None,
            fixed=self._share_of_epochs(configs) if learner.bursts > 1 else None, numbers=learner.training,
        )  # fmt: skip
        return replace(command, guard=Guard(folder / "training" / "fooling.json", start, self.out / "model.pt"))

    def _share_of_epochs(self, configs: Sequence[str]) -> dict[str, int]:
        """Epochs of one burst: all share those of the tuning."""
        configured = self._commands.configured("qa_semi_seg", configs, "max_epochs")
        known = {"max_epochs": configured, **self.learner.training, **self.settings.options.get("tune", {})}
        if known["max_epochs"] is None:
            raise ValueError(f"bundles_dir is {self.settings.bundles_dir}, expected the folder of the bundles")
        check_number(known["max_epochs"], "options: tune: max_epochs", 1, whole=True)
        return {"max_epochs": max(1, known["max_epochs"] // self.learner.bursts)}

    def _averaged(self, name: str, start: Path, weights: Path, discriminator: Path) -> Generator[Step, None, Path]:
        """Average the weights of a round with those of a network that was trained on with labels alone."""
        folder, output = self.out / name / "continued", self.out / name / "averaged" / "model.pt"
        yield self._commands.bundle(
            f"{name}/continue", "tune", "training", "qa_semi_seg", ("train",),
            datalist=self.datalist, pseudo_section="null", baseline_path=start, discriminator_paths=discriminator,
            ckpt_dir=folder / "models", output_dir=folder / "training", resume=True,
            seed=self.settings.seed + 1000 * self._tunings, numbers=self.learner.training,
            fixed=LABELS_ALONE,
        )  # fmt: skip
        yield self._commands.ours(
            f"{name}/average", "average_weights", output, weights, folder / "models" / "model.pt",
            share=self.learner.continued_share,
        )  # fmt: skip
        return output

    def _segment(
        self,
        name: str,
        bundle: str,
        weights: Path,
        datalist: Path,
        section: str,
        folder: Path,
        discriminator: Path | None,
        **options: Any,
    ) -> Step:
        command = self._commands.bundle(
            name, "segment", "inferring", bundle, ("inference",), datalist=datalist, section=section,
            ckpt_path=weights, output_dir=folder, discriminator_path=discriminator,
            refine_outlines=self.learner.refine_outlines or None, **options,
        )  # fmt: skip
        return replace(command, summary=folder / "summary.csv", cases=(datalist, section))

    def _report(self, name: str, before: Rated, after: Rated) -> Step:
        return self._commands.ours(
            f"{name}/report", "report", before.codes, after.codes, self.out / name / "report",
            name_after=name, images=after.images,
            segmentations_before=before.segmentations, segmentations_after=after.segmentations,
            scores_before=before.segmentations / "summary.csv", scores_after=after.segmentations / "summary.csv",
        )  # fmt: skip


def _beside(folder: Path, what: str) -> Path:
    """What belongs to a folder lies beside it and has its name before its own."""
    return folder.with_name(f"{folder.name}_{what}")
