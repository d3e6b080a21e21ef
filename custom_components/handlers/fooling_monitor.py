"""Handler that watches whether a network pleases its discriminator or gets better."""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import ignite.distributed as idist
import numpy as np
import pandas as pd
import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch.utils.tensorboard import SummaryWriter

from custom_components.anatomy import JUDGED_ORGANS
from custom_components.checkpoints import unwrapped
from custom_components.data.layout import ERROR
from custom_components.files import complete_file
from custom_components.inferers import AutocastInferer
from custom_components.learning.fooling import (
    FoolingRule,
    Labels,
    Look,
    Plausible,
    annotated_findings,
    judged_dice,
    organ_findings,
    volume_bias,
)
from custom_components.options import check_number
from custom_components.report.fooling_plot import draw_looks
from custom_components.transforms.montage import AXIAL, DISCRIMINATOR_SIZE, View, in_view, montage

logger = logging.getLogger(__name__)


class FooledError(ValueError):
    """The QA score of a training falls while its segmentations do not get better."""


class Watcher(NamedTuple):
    """A discriminator and the plane of the slices that it sees."""

    network: nn.Module
    view: View = AXIAL


class FoolingMonitor:
    """Segment fixed cases now and then, and flag a training whose score falls while nothing else gets better.

    At the start, after every so many iterations and at the end the kept network segments the cases. A network may be
    fooling its discriminator after a few steps, so before the first interval is over there are looks after 1, 2, 4, 8,
    ... iterations. Noted are the score of the discriminators that give the gradient, that of watchers, which give none,
    what the segmentations look like, and how far the weights have gone: `fooling.csv`, `fooling.png`, TensorBoard, and
    `fooling.json` with the rule and its verdict. The training itself goes on as without it, bit for bit. What logs an
    engine's metrics finds the last look among those of the trainer: `fooling_score`, `fooling_watcher_score` and so on.

    Its state is what it has noted: save it, and a resumed training keeps the start. One with more epochs than before
    leaves out a look that there was only because the earlier one ended there, so that it has those of a training that
    was never interrupted; a flag stays.

    Args:
        cases: items with `image` (1, X, Y, Z), without labels; one with `error` is left out.
        network: the kept one.
        start: what it is compared with, such as the first network of several trainings; default a copy of it as it is.
        output_dir: of the files.
        discriminators: those that give the gradient, or rank.
        watchers: of another kind, see `bundles/qa_discriminator/configs/watcher.yaml`.
        plausible: what good segmentations look like; without it no case is implausible.
        good: items with `image` and a `label` (1, X, Y, Z) that is known to be good, such as segmentations coded 0;
            where there is `annotated` (13,) bool, only those organs count.
        voxel_ml: volume of a voxel.
        interval: iterations between two looks.
        rule: when the run is flagged.
        stop: end the run when it is flagged.
        size: rows and columns of a montage.
        inferer: runs the networks; default `AutocastInferer()`.

    Raises:
        ValueError: there are no cases, or a number is out of range.
        FooledError: (while training, with `stop`) the run is flagged.

    Example::

        monitor = FoolingMonitor(cases, network, output_dir="eval", discriminators=[qa], watchers=[Watcher(other)],
                                 voxel_ml=0.024)
        trainer = SupervisedTrainer(..., network=network, train_handlers=[QAScoreLoss(...), monitor])
    """

    def __init__(
        self,
        cases: Dataset | Sequence[Mapping[str, Any]],
        network: nn.Module,
        *,
        output_dir: str | Path,
        discriminators: Sequence[nn.Module],
        voxel_ml: float,
        start: nn.Module | None = None,
        watchers: Sequence[Watcher] = (),
        plausible: Plausible | None = None,
        good: Sequence[Mapping[str, Any]] = (),
        interval: int = 50,
        rule: FoolingRule | None = None,
        stop: bool = False,
        size: Sequence[int] = DISCRIMINATOR_SIZE,
        inferer: Callable[..., Tensor] | None = None,
    ) -> None:
        check_number(interval, "interval", 1, whole=True)
        items = [cases[number] for number in range(len(cases))]  # type: ignore[arg-type]
        self.images = [torch.as_tensor(item["image"])[None] for item in items if ERROR not in item]
        if not self.images:
            raise ValueError("cases holds no case that can be loaded, expected at least one to look at")
        self.network = network
        self.start = copy.deepcopy(unwrapped(start or network)).eval().requires_grad_(False)
        self.output_dir = Path(output_dir)
        self.discriminators = [Watcher(one.eval()) for one in discriminators]
        self.watchers = [Watcher(one.network.eval(), one.view) for one in watchers]
        self.plausible = plausible
        self.voxel_ml = voxel_ml
        self.good_images = [torch.as_tensor(item["image"])[None] for item in good]
        self.good_findings = [
            annotated_findings(np.asarray(item["label"])[0], item.get("annotated"), voxel_ml) for item in good
        ]
        self.interval = interval
        self.rule = rule or FoolingRule()
        self.stop = stop
        self.size = (int(size[0]), int(size[1]))
        self.inferer = AutocastInferer() if inferer is None else inferer
        self.looks: list[Look] = []
        self.flagged = ""
        self._first: list[Labels] = []
        self._writer: SummaryWriter | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer; after the handler that averages its weights, and before the one that saves its state."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._begin)  # a state to go on from is loaded when it starts
        engine.add_event_handler(Events.ITERATION_COMPLETED(event_filter=lambda _, number: self.is_due(number)), self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)
        engine.add_event_handler(Events.COMPLETED, self._end)

    def is_due(self, iteration: int) -> bool:
        """Whether there is a look after so many iterations."""
        is_power_of_two = iteration & (iteration - 1) == 0
        return iteration % self.interval == 0 or (iteration < self.interval and is_power_of_two)

    def close(self) -> None:
        """Close the file for TensorBoard; a further look begins another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def state_dict(self) -> dict[str, Any]:
        """Return what was noted, in plain numbers."""
        looks = [{**look._asdict(), "volumes_ml": dict(look.volumes_ml)} for look in self.looks]
        return {"looks": looks, "flagged": self.flagged}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.looks = [Look(**look) for look in state_dict["looks"]]
        self.flagged = str(state_dict["flagged"])

    def _begin(self, engine: Engine) -> None:
        iteration = engine.state.iteration
        if iteration and self._has_looked(engine) and not self.is_due(iteration):
            self.looks.pop()
        if not self.looks:
            self._note(engine, self.start)

    def _end_epoch(self, engine: Engine) -> None:
        """Look once more in the last epoch while it can still be logged and saved."""
        if engine.state.epoch == engine.state.max_epochs and not self._has_looked(engine):
            self(engine)

    def _end(self, engine: Engine) -> None:
        if not self._has_looked(engine):
            self(engine)
        self.close()

    def _has_looked(self, engine: Engine) -> bool:
        return bool(self.looks) and self.looks[-1].iteration == engine.state.iteration

    def __call__(self, engine: Engine) -> None:
        """Look at the cases; flag the run if the rule says so."""
        self._note(engine, self.network)

    def _note(self, engine: Engine, network: nn.Module) -> None:
        self.looks.append(self.look(engine.state.iteration, engine.state.device, network))  # type: ignore[attr-defined]
        engine.state.metrics.update({f"fooling_{name}": value for name, value in _numbers(self.looks[-1]).items()})
        reason = self.rule.reason(self.looks)
        if reason and not self.flagged:
            self.flagged = reason
            logger.warning("flagged, %s: the network may be fooling its discriminator; have the cases coded", reason)
        if idist.get_rank() == 0:
            self._write(stopped=bool(reason) and self.stop)
        if reason and self.stop:
            self.close()
            raise FooledError(f"stopped, {reason}; {self.output_dir / 'fooling.png'} shows it")

    @torch.no_grad()
    def look(self, iteration: int, device: torch.device | str, network: nn.Module) -> Look:
        """Segment the cases with a network as it is now, and measure."""
        network = unwrapped(network)
        was_training = network.training
        self.start.to(device)
        network.eval()
        for watcher in (*self.discriminators, *self.watchers):
            watcher.network.to(device)
        scores, watched, findings, overlaps = [], [], [], []
        for number, image in enumerate(self.images):
            image = image.to(device)
            labels = self.inferer(image, network).argmax(1, keepdim=True)
            scores.append(self._score(self.discriminators, image, labels))
            watched.append(self._score(self.watchers, image, labels))
            array = _array(labels)
            findings.append(organ_findings(array, self.voxel_ml))
            overlaps.append(judged_dice(array, self._first_labels(number, image)))
        good = [
            organ_findings(_array(self.inferer(image.to(device), network).argmax(1, keepdim=True)), self.voxel_ml)
            for image in self.good_images
        ]
        network.train(was_training)
        implausible = [self.plausible.is_implausible(one) for one in findings] if self.plausible else [False]
        return Look(
            iteration,
            float(np.mean(scores)),
            float(np.mean(watched)),
            float(np.mean(implausible)),
            float(np.mean([one.pieces for found in findings for one in found.values()])),
            float(np.mean(overlaps)),
            volume_bias(good, self.good_findings),
            self._drift(network),
            {name: float(np.mean([found[name].volume_ml for found in findings])) for name in JUDGED_ORGANS},
        )

    def _score(self, watchers: Sequence[Watcher], image: Tensor, labels: Tensor) -> float:
        if not watchers:
            return math.nan
        pictures = {
            view: montage(in_view(image, view), in_view(labels, view), size=self.size)
            for view in {watcher.view for watcher in watchers}
        }
        return float(np.mean([float(self.inferer(pictures[one.view], one.network)) for one in watchers]))

    def _first_labels(self, number: int, image: Tensor) -> Labels:
        """The segmentation of the start, which is made once."""
        if len(self._first) <= number:
            self._first.append(_array(self.inferer(image, self.start).argmax(1, keepdim=True)))
        return self._first[number]

    def _drift(self, network: nn.Module) -> float:
        pairs = list(zip(network.parameters(), self.start.parameters(), strict=True))
        moved = sum(float((now.detach() - before).square().sum()) for now, before in pairs)
        return math.sqrt(moved / sum(float(before.square().sum()) for _, before in pairs))

    def _write(self, *, stopped: bool) -> None:
        table = pd.DataFrame([_row(look) for look in self.looks])
        with complete_file(self.output_dir / "fooling.csv") as partial:
            table.to_csv(partial, index=False)
        verdict = {
            "flagged": self.flagged or None,
            "stopped": stopped,
            "rule": vars(self.rule),
            "cases": len(self.images),
        }
        with complete_file(self.output_dir / "fooling.json") as partial:
            partial.write_text(json.dumps(verdict, indent=2) + "\n", encoding="utf-8")
        with complete_file(self.output_dir / "fooling.png") as partial:
            draw_looks(table, self.flagged).savefig(partial)
        self._writer = self._writer or SummaryWriter(str(self.output_dir))
        for name, value in _numbers(self.looks[-1]).items():
            self._writer.add_scalar(f"fooling/{name}", value, self.looks[-1].iteration)
        self._writer.flush()


def _array(labels: Tensor) -> Labels:
    """From (1, 1, X, Y, Z) to (X, Y, Z)."""
    return labels[0, 0].to(torch.uint8).cpu().numpy()


def _row(look: Look) -> dict[str, float]:
    row = look._asdict()
    volumes = row.pop("volumes_ml")
    return {**row, **{f"{name}_ml": value for name, value in volumes.items()}}


def _numbers(look: Look) -> dict[str, float]:
    """What is plotted of a look: all that was measured."""
    return {name: value for name, value in _row(look).items() if name != "iteration" and not math.isnan(value)}
