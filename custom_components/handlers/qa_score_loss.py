"""Handler that adds the QA score of unlabelled cases to the loss of a supervised training."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from custom_components.case_ids import CASE_ID
from custom_components.data.unlabeled import EndlessBatches
from custom_components.handlers.stop_on_nonfinite import NonFiniteError
from custom_components.handlers.training_state import ResumeError
from custom_components.options import check_number
from custom_components.segmentation_gradients import AnchorGradient, QAScoreGradient, SegmentationGradient

QA_LOSS, QA_SCORE, ANCHOR_LOSS = "qa_loss", "qa_score", "anchor_loss"

logger = logging.getLogger(__name__)


class QAScoreLoss:
    """Segment an unlabelled batch after the labelled one, and push its QA score to the target code.

    Lee et al. 2020, section 2: quality assurance as a loss. For a stock MONAI `SupervisedTrainer`: after its backward
    pass (`BACKWARD_COMPLETED`) the network segments a batch without labels, the discriminators score the montage, and
    the gradient adds to that of the labelled batch before the optimiser's one step. The trainer's graph is gone by
    then, so that one graph is alive at a time.

    It follows the trainer in what that does: autocast and gradient scaler, gradient accumulation, `compile`, and
    `DistributedDataParallel`, whose processes exchange gradients once a step, with the sum of both.
    `engine.state.output` gets `qa_loss`, `qa_score` (the batch's mean) and `anchor_loss`, not weighted.

    A gradient that is NaN or infinite is left out, counted and logged. At the end the discriminators must be what they
    were at the start, weights and buffers.

    Args:
        batches: of unlabelled cases; each process draws its own.
        gradient: of the QA score.
        weight: of its loss beside the labelled one, which counts 1.
        ramp: unlabelled batches over which the weight grows from 0, linearly; 0: none.
        interval: iterations from one unlabelled batch to the next.
        anchor: gradient towards a teacher, or None.
        anchor_weight: of its loss; there is no ramp for it.
        max_nonfinite: how many batches may be left out.

    Raises:
        ValueError: a number is out of range.
        NonFiniteError: (when called) more than `max_nonfinite` batches had to be left out.
        RuntimeError: (at the end) a discriminator has changed.

    Example::

        pull = QAScoreGradient([discriminator])
        qa_loss = QAScoreLoss(EndlessBatches(dataset), pull, weight=0.1)
        trainer = SupervisedTrainer(..., train_handlers=[qa_loss])
    """

    def __init__(
        self,
        batches: EndlessBatches,
        gradient: QAScoreGradient,
        *,
        weight: float,
        ramp: int = 0,
        interval: int = 1,
        anchor: AnchorGradient | None = None,
        anchor_weight: float = 1.0,
        max_nonfinite: int = 10,
    ) -> None:
        check_number(weight, "weight", 0)
        check_number(ramp, "ramp", 0, whole=True)
        check_number(interval, "interval", 1, whole=True)
        check_number(anchor_weight, "anchor_weight", 0)
        check_number(max_nonfinite, "max_nonfinite", 0, whole=True)
        self.batches = batches
        self.gradient = gradient
        self.weight = weight
        self.ramp = ramp
        self.interval = interval
        self.anchor = anchor
        self.anchor_weight = anchor_weight
        self.max_nonfinite = max_nonfinite
        self._done = 0
        self._left_out = 0
        self._hashes = [state_hash(network) for network in gradient.discriminators]

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_STARTED, self._hold_back)
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._check_discriminators)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs: the place in the unlabelled cases and in the ramp, and the count.

        With it goes what must be the same then: the number of cases, and the SHA-256 of the discriminators.
        """
        return {"done": self._done, "left_out": self._left_out, **self.batches.state_dict(), **self._inputs()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from there.

        Raises:
            ResumeError: the state is of other discriminators, or of another number of unlabelled cases.
        """
        for name, value in self._inputs().items():
            if state_dict.get(name) != value:
                shown = (f"{name.replace('_', ' ')} {one}" for one in (state_dict.get(name), value))
                raise ResumeError("saved with {}, this run has {}: resume with the same".format(*shown))
        self._done, self._left_out = int(state_dict["done"]), int(state_dict["left_out"])
        self.batches.load_state_dict(state_dict)

    def __call__(self, engine: Any) -> None:
        """Add the gradient of one unlabelled batch."""
        network, is_step = _distributed(engine.network), optimizer_steps(engine)
        if network is not None:
            network.require_backward_grad_sync = is_step
        if not self._is_due(engine):
            return
        batch = next(self.batches)
        # plain, as the trainer does it for a compiled network
        image = batch["image"].as_subclass(Tensor).to(engine.state.device, non_blocking=engine.non_blocking)
        with _autocast(engine):
            logits = engine.inferer(image, engine.network)
            pulls = {QA_LOSS: (self.gradient(image, logits), self._ramped_weight())}
            if self.anchor is not None:
                pulls[ANCHOR_LOSS] = (self.anchor(image, logits), self.anchor_weight)
        gradient, *others = (pull.gradient.mul_(weight / engine.accumulation_steps) for pull, weight in pulls.values())
        for other in others:
            gradient.add_(other)
        if _everywhere_finite(gradient, engine):
            scaler = engine.scaler if engine.amp else None
            logits.backward((gradient if scaler is None else scaler.scale(gradient)).to(logits.dtype))
            self._done += 1
            _note(engine, {name: pull for name, (pull, _) in pulls.items()})
        else:
            self._leave_out(engine, batch)
            if network is not None and is_step:
                _exchange_gradients(network)

    def _inputs(self) -> dict[str, Any]:
        return {"unlabeled_cases": len(self.batches.dataset), "discriminators": self._hashes}  # type: ignore[arg-type]

    def _ramped_weight(self) -> float:
        return self.weight * min(1.0, (self._done + 1) / self.ramp if self.ramp else 1.0)

    def _is_due(self, engine: Engine) -> bool:
        return engine.state.iteration % self.interval == 0

    def _hold_back(self, engine: Any) -> None:
        """Let the labelled backward pass exchange gradients between processes only if no other one follows it."""
        network = _distributed(engine.network)
        if network is not None:
            network.require_backward_grad_sync = optimizer_steps(engine) and not self._is_due(engine)

    def _leave_out(self, engine: Engine, batch: Mapping[str, Any]) -> None:
        self._left_out += 1
        where = f"epoch {engine.state.epoch}, iteration {engine.state.iteration}"
        cases = ", ".join(str(case_id) for case_id in batch.get(CASE_ID, []))
        logger.warning("the gradient of the QA score is not finite at %s (case %s): left out", where, cases)
        if self._left_out > self.max_nonfinite:
            raise NonFiniteError(
                f"the gradient of the QA score was not finite for {self._left_out} unlabelled batches, the last at "
                f"{where} (case {cases}), expected at most {self.max_nonfinite}; none of them changed the weights"
            )

    def _start(self, engine: Any) -> None:
        for network in self.gradient.discriminators:
            network.to(engine.state.device)

    def _check_discriminators(self) -> None:
        for number, (network, before) in enumerate(zip(self.gradient.discriminators, self._hashes, strict=True)):
            if state_hash(network) != before:
                raise RuntimeError(f"discriminator {number} was changed by the training, expected it to stay as it was")
        if self._left_out:
            logger.warning("%d unlabelled batches were left out, as their gradient was not finite", self._left_out)


def state_hash(network: nn.Module) -> str:
    """SHA-256 of all weights and buffers."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _autocast(engine: Any) -> AbstractContextManager:
    """The precision in which MONAI's trainer runs the network."""
    return torch.autocast("cuda", **engine.amp_kwargs) if engine.amp else nullcontext()


def optimizer_steps(engine: Any) -> bool:
    """Whether the trainer's optimiser steps in this iteration, as `SupervisedTrainer` decides it."""
    every, length = engine.accumulation_steps, engine.state.epoch_length
    number = engine.state.iteration if length is None else (engine.state.iteration - 1) % length + 1
    return number % every == 0 or number == length


def _distributed(network: nn.Module) -> DistributedDataParallel | None:
    inner = getattr(network, "_orig_mod", network)  # of a compiled network
    return inner if isinstance(inner, DistributedDataParallel) else None


def _everywhere_finite(gradient: Tensor, engine: Any) -> bool:
    """Whether it is finite in all processes: they must go the same way, or wait for each other without end."""
    finite = torch.isfinite(gradient).all()
    if _distributed(engine.network) is None:
        return bool(finite)
    return bool(idist.all_reduce(finite.float(), op="MIN"))


def _exchange_gradients(network: DistributedDataParallel) -> None:
    """What the backward pass would have done that was left out."""
    for parameter in network.parameters():
        if parameter.grad is not None:
            parameter.grad = idist.all_reduce(parameter.grad) / idist.get_world_size()  # type: ignore[assignment]


def _note(engine: Any, pulls: Mapping[str, SegmentationGradient]) -> None:
    for name, pull in pulls.items():
        engine.state.output[name] = pull.loss
        if pull.score is not None:
            engine.state.output[QA_SCORE] = pull.score.mean()
