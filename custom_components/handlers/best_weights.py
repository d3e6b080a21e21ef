"""Handler that keeps the weights of the best epoch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from ignite.engine import Engine, Events

from custom_components.checkpoints import is_finite, keep_previous, save_state, unwrapped

logger = logging.getLogger(__name__)


class BestWeights:
    """Keep the weights of the epoch with the best key metric, as a plain state dict.

    Those of an earlier training at the same place are renamed, see `keep_previous`, and weights that are NaN or
    infinite never kept.

    Several processes all validate the network of the first one, whose weights are written: the statistics of its batch
    normalisation are those of its own share of the batches.

    Args:
        network: whose weights to keep (the averaged one, where there is one).
        path: file to write.

    Example::

        evaluator = SupervisedEvaluator(..., val_handlers=[BestWeights(network, "models/model.pt")])
    """

    def __init__(self, network: torch.nn.Module, path: str | Path) -> None:
        self.network = network
        self.path = Path(path)
        self._engine: Engine | None = None
        self._is_new_run = True

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI evaluator with a key metric."""
        self._engine = engine
        engine.add_event_handler(Events.STARTED, self._take_buffers_of_the_first)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the weights if this epoch's key metric is the best so far."""
        state: Any = engine.state
        if state.best_metric_epoch != state.epoch or not is_finite(self.network):
            return
        if self._is_new_run:
            keep_previous(self.path)
            self._is_new_run = False
        save_state(unwrapped(self.network).state_dict(), self.path)
        logger.info(
            "best %s so far %.4f in epoch %d: saved %s",
            state.key_metric_name, state.best_metric, state.epoch, self.path,
        )  # fmt: skip

    def state_dict(self) -> dict[str, float | int]:
        """The best metric and its epoch."""
        state = self._engine_state()
        return {"best_metric": float(state.best_metric), "best_metric_epoch": int(state.best_metric_epoch)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Let the evaluator know the best metric of the run that goes on."""
        engine_state = self._engine_state()
        engine_state.best_metric = state["best_metric"]
        engine_state.best_metric_epoch = state["best_metric_epoch"]
        self._is_new_run = state["best_metric_epoch"] < 1  # none was kept before the run ended

    def _take_buffers_of_the_first(self) -> None:
        if dist.is_available() and dist.is_initialized():
            for buffer in self.network.buffers():
                dist.broadcast(buffer, src=0)

    def _engine_state(self) -> Any:
        if self._engine is None:
            raise RuntimeError("BestWeights is not attached, expected it among the val_handlers of an evaluator")
        return self._engine.state
