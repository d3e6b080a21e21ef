"""Handler that stops a training before a loss of NaN or infinity reaches the weights."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents
from monai.utils import CommonKeys

from custom_components.case_ids import CASE_ID


class NonFiniteError(RuntimeError):
    """The loss, or a weight, became NaN or infinite."""


class StopOnNonFiniteLoss:
    """Raise `NonFiniteError` when the loss is NaN or infinite, before its backward pass.

    Neither the weights nor the optimiser have met the value then, so the last checkpoint is good.
    (`ignite.handlers.TerminateOnNan` looks after the step, and lets the run end as a success.)

    Raises:
        NonFiniteError: (when called) one line with the loss, epoch, iteration, and the batch's `case_id`.

    Example::

        trainer = SupervisedTrainer(..., train_handlers=[StopOnNonFiniteLoss()])
    """

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Look at `engine.state.output["loss"]`."""
        output: Any = engine.state.output
        loss = output[CommonKeys.LOSS]
        if torch.isfinite(loss).all():
            return
        state = engine.state
        raise NonFiniteError(
            f"loss is {loss.item()} at epoch {state.epoch}, iteration {state.iteration} "
            f"(case {_case_ids(state.batch)}), expected a finite number; the weights were not changed by it"
        )


def _case_ids(batch: Any) -> str:
    case_ids = batch.get(CASE_ID) if isinstance(batch, dict) else None
    if case_ids is None:
        return "without name"
    return case_ids if isinstance(case_ids, str) else ", ".join(str(case_id) for case_id in case_ids)
