"""Handler that limits the length of the gradient before the optimiser's step, and says how long it was."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents

from custom_components.handlers.qa_score_loss import optimizer_steps

GRAD_NORM = "grad_norm"


class ClipGradients:
    """Clip the gradient of all parameters by its norm; for a MONAI `SupervisedTrainer`, after what else adds to it.

    `engine.state.output` gets `grad_norm`, the norm before. With mixed precision the gradient is unscaled first. With
    gradient accumulation it happens once, before the step.

    Args:
        max_norm: largest Euclidean norm; 0 measures only.

    Raises:
        ValueError: `max_norm` is negative.

    Example::

        trainer = SupervisedTrainer(..., train_handlers=[qa_loss, ClipGradients(max_norm=1.0)])
    """

    def __init__(self, max_norm: float = 0.0) -> None:
        if not max_norm >= 0:
            raise ValueError(f"max_norm is {max_norm}, expected 0 or more")
        self.max_norm = max_norm

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Measure and clip, if the optimiser steps in this iteration."""
        if not optimizer_steps(engine):
            return
        if engine.amp and engine.scaler is not None:
            engine.scaler.unscale_(engine.optimizer)
        limit = self.max_norm or float("inf")
        engine.state.output[GRAD_NORM] = torch.nn.utils.clip_grad_norm_(engine.network.parameters(), limit).detach()
