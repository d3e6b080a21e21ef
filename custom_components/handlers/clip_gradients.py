"""Handler that limits the length of the gradient before the optimiser's step, and says how long it was."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import IterationEvents

from custom_components.handlers.gradient_steps import optimizer_steps
from custom_components.handlers.stop_on_nonfinite import NonFiniteError
from custom_components.options import check_number

GRAD_NORM = "grad_norm"

logger = logging.getLogger(__name__)


class ClipGradients:
    """Clip the gradient of all parameters by its norm; for a MONAI `SupervisedTrainer`, after what else adds to it.

    `engine.state.output` gets `grad_norm`, the norm before. With mixed precision the gradient is unscaled first. With
    gradient accumulation it happens once, before the step.

    A gradient that is NaN or infinite is dropped, counted and logged: the optimiser steps without any, and changes
    nothing. With mixed precision the gradient scaler leaves such a step out by itself, which is normal while it looks
    for its scale, and is not counted here.

    Args:
        max_norm: largest Euclidean norm; 0 measures only.
        max_nonfinite: how many gradients may be dropped.

    Raises:
        ValueError: a number is out of range.
        NonFiniteError: (when called) more than `max_nonfinite` gradients had to be dropped.

    Example::

        trainer = SupervisedTrainer(..., train_handlers=[qa_loss, ClipGradients(max_norm=1.0)])
    """

    def __init__(self, max_norm: float = 0.0, *, max_nonfinite: int = 10) -> None:
        check_number(max_norm, "max_norm", 0)
        check_number(max_nonfinite, "max_nonfinite", 0, whole=True)
        self.max_norm = max_norm
        self.max_nonfinite = max_nonfinite
        self._dropped = 0

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)

    def state_dict(self) -> dict[str, int]:
        """Return how many gradients were dropped."""
        return {"dropped": self._dropped}

    def load_state_dict(self, state_dict: Mapping[str, int]) -> None:
        """Go on counting from there."""
        self._dropped = int(state_dict["dropped"])

    def __call__(self, engine: Any) -> None:
        """Measure and clip, if the optimiser steps in this iteration."""
        if not optimizer_steps(engine):
            return
        is_scaled = engine.amp and engine.scaler is not None
        if is_scaled:
            engine.scaler.unscale_(engine.optimizer)
        limit = self.max_norm or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(engine.network.parameters(), limit).detach()
        if torch.isfinite(norm):
            engine.state.output[GRAD_NORM] = norm
        elif not is_scaled:
            self._drop(engine, norm)

    def _drop(self, engine: Any, norm: torch.Tensor) -> None:
        # not zeros: with these an optimiser with momentum would go on
        engine.optimizer.zero_grad(set_to_none=True)
        self._dropped += 1
        where = f"epoch {engine.state.epoch}, iteration {engine.state.iteration}"
        logger.warning("the norm of the gradient is %s at %s: no step with it", norm.item(), where)
        if self._dropped > self.max_nonfinite:
            raise NonFiniteError(
                f"the gradient was not finite in {self._dropped} steps, the last at {where}, expected at most "
                f"{self.max_nonfinite}; none of them changed the weights"
            )
