"""Handlers that make a training go on after a kill as if nothing had happened."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver

from custom_components.data.seeded_dataset import SeededCacheDataset

logger = logging.getLogger(__name__)


def _save(state: Mapping[str, Any], path: Path) -> None:
    """Write on rank 0 under a temporary name, then rename: a kill never leaves half a file."""
    DiskSaver(str(path.parent), atomic=True, require_empty=False)(state, path.name)


def _unwrapped(item: Any) -> Any:
    return item.module if isinstance(item, torch.nn.parallel.DistributedDataParallel) else item


class SeedEpoch:
    """Seed torch and the dataset by the number of the epoch, so that an epoch needs no random state of the one before.

    Args:
        dataset: the training data.
        seed: base of the seeds.

    Example::

        trainer = SupervisedTrainer(..., train_handlers=[SeedEpoch(dataset, seed=0), ...])
    """

    def __init__(self, dataset: SeededCacheDataset, seed: int = 0) -> None:
        self.dataset = dataset
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed for `engine.state.epoch`."""
        torch.manual_seed((self.seed << 20) + engine.state.epoch)
        self.dataset.set_epoch(engine.state.epoch)


class BestWeights:
    """Keep the weights of the epoch with the best key metric, as a plain state dict.

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

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI evaluator with a key metric."""
        self._engine = engine
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the weights if this epoch's key metric is the best so far."""
        state: Any = engine.state
        if state.best_metric_epoch != state.epoch:
            return
        _save(_unwrapped(self.network).state_dict(), self.path)
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

    def _engine_state(self) -> Any:
        if self._engine is None:
            raise RuntimeError("BestWeights is not attached, expected it among the val_handlers of an evaluator")
        return self._engine.state


class TrainingState:
    """Save after every epoch all that a training needs to go on, and load it when told to resume.

    Saved are the trainer itself (epoch, iteration), its gradient scaler if there is one, and `objects`. Put it last
    among the handlers, so that it sees what the others did. There is no random state to save: see `SeedEpoch`.

    Args:
        path: file to write.
        objects: named things with `state_dict` and `load_state_dict`: network, optimiser, scheduler, handlers.
        resume: load `path` before the first epoch; if it does not exist, training starts from the beginning.

    Raises:
        ValueError: (when the training starts) the saved state belongs to another number of training cases, or lacks
            one of `objects`.

    Example::

        state = TrainingState("models/last.pt", {"network": network, "optimizer": optimizer}, resume=True)
        trainer = SupervisedTrainer(..., train_handlers=[..., state])
    """

    def __init__(self, path: str | Path, objects: Mapping[str, Any], resume: bool = False) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.resume = resume

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI trainer."""
        if self.resume:
            engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def _all(self, engine: Engine) -> dict[str, Any]:
        scaler = getattr(engine, "scaler", None)
        return {**self.objects, "trainer": engine, **({"scaler": scaler} if scaler is not None else {})}

    def save(self, engine: Engine) -> None:
        """Write the state."""
        if idist.get_rank() == 0:
            _save({name: _unwrapped(item).state_dict() for name, item in self._all(engine).items()}, self.path)

    def load(self, engine: Engine) -> None:
        """Read the state; the number of epochs stays that of this run."""
        if not self.path.exists():
            logger.warning("nothing to resume at %s: training starts from the beginning", self.path)
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        objects, max_epochs, epoch_length = (
            self._all(engine),
            engine.state.max_epochs,
            engine.state.epoch_length,
        )
        missing = sorted(set(objects) - set(state))
        if missing:
            raise ValueError(f"{self.path} holds no {', '.join(missing)}: it was saved by another configuration")
        if state["trainer"]["epoch_length"] != epoch_length:
            raise ValueError(
                f"{self.path} was saved with {state['trainer']['epoch_length']} iterations an epoch, "
                f"this run has {epoch_length}: resume with the same training cases"
            )
        Checkpoint.load_objects(objects, state)
        engine.state.max_epochs = max_epochs
        logger.info("resumed after epoch %d from %s", engine.state.epoch, self.path)
