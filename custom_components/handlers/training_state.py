"""Handlers that make a training go on after a kill as if nothing had happened."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint, DiskSaver
from torch.optim.lr_scheduler import LambdaLR

from custom_components.data.seeded_dataset import SeededCacheDataset

logger = logging.getLogger(__name__)


def _save(state: Mapping[str, Any], path: Path) -> None:
    """Write on rank 0 under a temporary name, then rename: a kill never leaves half a file."""
    DiskSaver(str(path.parent), atomic=True, require_empty=False)(state, path.name)


class ResumeError(ValueError):
    """The saved state of a training does not fit the run that is to go on from it."""


def unwrapped(item: Any) -> Any:
    """Return the network inside of a `DistributedDataParallel`; everything else as it is."""
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
        _save(unwrapped(self.network).state_dict(), self.path)
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

    The number of epochs may change between the two runs: the learning rate of a `LambdaLR` goes on as the schedule of
    the new run has it, for more epochs or fewer.

    Args:
        path: file to write.
        objects: named things with `state_dict` and `load_state_dict`: network, optimiser, scheduler, handlers.
        resume: load `path` before the first epoch; if it does not exist, training starts from the beginning.
        settings: named numbers, texts or lists of them that must be the same in a run that resumes.

    Raises:
        ResumeError: (when the training starts) the saved state belongs to another number of training cases or to
            other settings, lacks one of `objects` or does not fit it, or cannot be read.

    Example::

        state = TrainingState("models/last.pt", {"network": network, "optimizer": optimizer}, resume=True)
        trainer = SupervisedTrainer(..., train_handlers=[..., state])
    """

    def __init__(
        self,
        path: str | Path,
        objects: Mapping[str, Any],
        resume: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.resume = resume
        self.settings = {name: _plain(value) for name, value in (settings or {}).items()}

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
            state = {name: unwrapped(item).state_dict() for name, item in self._all(engine).items()}
            _save({**state, "settings": self.settings}, self.path)

    def load(self, engine: Engine) -> None:
        """Read the state; the number of epochs stays that of this run."""
        if not self.path.exists():
            logger.warning("nothing to resume at %s: training starts from the beginning", self.path)
            return
        objects, max_epochs = self._all(engine), engine.state.max_epochs
        state = self._read()
        self._check(state, objects, engine)
        try:
            Checkpoint.load_objects(objects, state)
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ResumeError(f"{self.path} does not fit this configuration: {reason}") from error
        engine.state.max_epochs = max_epochs
        for item in objects.values():
            if isinstance(item, LambdaLR):
                _follow_schedule(item)
        logger.info("resumed after epoch %d from %s", engine.state.epoch, self.path)

    def _read(self) -> dict[str, Any]:
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except (RuntimeError, UnpicklingError, EOFError, OSError) as error:
            raise ResumeError(f"{self.path} cannot be read: {' '.join(str(error).split())[:200]}") from error

    def _check(self, state: Mapping[str, Any], objects: Mapping[str, Any], engine: Engine) -> None:
        missing = sorted(set(objects) - set(state))
        if missing:
            raise ResumeError(f"{self.path} holds no {', '.join(missing)}: it was saved by another configuration")
        saved = state.get("settings", {})
        for name, value in self.settings.items():
            if saved.get(name) != value:
                raise ResumeError(
                    f"{self.path} was saved with {name} {saved.get(name)}, this run has {value}: resume with the same"
                )
        length, expected = state["trainer"]["epoch_length"], engine.state.epoch_length
        if length != expected:
            raise ResumeError(
                f"{self.path} was saved with {length} iterations an epoch, "
                f"this run has {expected}: resume with the same training cases"
            )


def _plain(value: Any) -> Any:
    """Lists for what a configuration may hold as tuple or list."""
    return list(value) if isinstance(value, list | tuple) else value


def _follow_schedule(scheduler: LambdaLR) -> None:
    """Set the learning rates that the schedule of this run has where it goes on."""
    groups = scheduler.optimizer.param_groups
    for group, base, factor in zip(groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True):
        group["lr"] = base * factor(scheduler.last_epoch)
