"""Handler that adds the QA score of unlabelled cases to the loss of a supervised training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from torch import Tensor

from custom_components.case_ids import CASE_ID
from custom_components.checkpoints import state_hash
from custom_components.data.unlabeled import EndlessBatches
from custom_components.handlers.gradient_steps import (
    everywhere_finite,
    exchange_gradients,
    optimizer_steps,
    scaled,
    set_grad_sync,
    trainer_autocast,
)
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

        gradient = QAScoreGradient([discriminator])
        qa_loss = QAScoreLoss(EndlessBatches(dataset), gradient, weight=0.1)
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
        engine.add_event_handler(Events.ITERATION_STARTED, self._set_grad_sync)
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
        set_grad_sync(engine, optimizer_steps(engine))
        if not self._is_due(engine):
            return
        batch = next(self.batches)
        # plain, as the trainer does it for a compiled network
        image = batch["image"].as_subclass(Tensor).to(engine.state.device, non_blocking=engine.non_blocking)
        with trainer_autocast(engine):
            logits = engine.inferer(image, engine.network)
            terms = self._terms(image, logits)
        gradient = _weighted_sum(terms, 1 / engine.accumulation_steps)
        if not everywhere_finite(gradient, engine):
            self._leave_out(engine, batch)
            if optimizer_steps(engine):
                exchange_gradients(engine)
            return
        logits.backward(scaled(gradient, engine).to(logits.dtype))
        self._done += 1
        _write_output(engine, terms)

    def _terms(self, image: Tensor, logits: Tensor) -> dict[str, tuple[SegmentationGradient, float]]:
        """The gradients and their weights, by the names that their losses have in the output."""
        terms = {QA_LOSS: (self.gradient(image, logits), self._ramped_weight())}
        if self.anchor is not None:
            terms[ANCHOR_LOSS] = (self.anchor(image, logits), self.anchor_weight)
        return terms

    def _inputs(self) -> dict[str, Any]:
        return {"unlabeled_cases": len(self.batches.dataset), "discriminators": self._hashes}  # type: ignore[arg-type]

    def _ramped_weight(self) -> float:
        return self.weight * min(1.0, (self._done + 1) / self.ramp if self.ramp else 1.0)

    def _is_due(self, engine: Engine) -> bool:
        return engine.state.iteration % self.interval == 0

    def _set_grad_sync(self, engine: Any) -> None:
        """Let the labelled backward pass exchange gradients between processes only if no other one follows it."""
        set_grad_sync(engine, optimizer_steps(engine) and not self._is_due(engine))

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


def _weighted_sum(terms: Mapping[str, tuple[SegmentationGradient, float]], factor: float) -> Tensor:
    """The sum of the gradients, in the memory of the first."""
    gradient, *others = (one.gradient.mul_(weight * factor) for one, weight in terms.values())
    for other in others:
        gradient.add_(other)
    return gradient


def _write_output(engine: Any, terms: Mapping[str, tuple[SegmentationGradient, float]]) -> None:
    for name, (one, _) in terms.items():
        engine.state.output[name] = one.loss
        if one.score is not None:
            engine.state.output[QA_SCORE] = one.score.mean()
