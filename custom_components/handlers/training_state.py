"""Handler that makes a training go on after a kill as if nothing had happened."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from torch.optim.lr_scheduler import LambdaLR

from custom_components.checkpoints import is_finite, keep_previous, save_state, unwrapped
from custom_components.handlers.stop_on_nonfinite import NonFiniteError

TEXTS = {"null": None, "none": None, "true": True, "false": False}

logger = logging.getLogger(__name__)


class ResumeError(ValueError):
    """The saved state of a training does not fit the run that is to go on from it."""


class TrainingState:
    """Save after every epoch all that a training needs to go on, and load it when told to resume.

    Saved are the trainer itself (epoch, iteration), its gradient scaler if there is one, and `objects`. Put it last
    among the handlers, so that it sees what the others did. There is no random state to save: see `SeedEpoch`.

    Without `resume` the state of an earlier training is kept under another name, see `keep_previous`.

    The number of epochs may change between the two runs: the learning rate of a `LambdaLR` goes on as the schedule of
    the new run has it, for more epochs or fewer.

    Args:
        path: file to write.
        objects: named things with `state_dict` and `load_state_dict`: network, optimiser, scheduler, handlers. One that
            is None, as what a configuration has switched off, is left out.
        resume: load `path` before the first epoch; if it does not exist, training starts from the beginning.
        settings: named numbers, texts or lists of them that must be the same in a run that resumes. `null`, `true` and
            `false`, which the command line of `monai.bundle` leaves texts, are what they say.

    Raises:
        NonFiniteError: (after an epoch) a weight became NaN or infinite.
        ResumeError: (when the training starts) the saved state belongs to another number of training cases or of
            processes, or to other settings, lacks one of `objects` or does not fit it, or cannot be read.

    Example::

        state = TrainingState("models/training_state.pt", {"network": network, "optimizer": optimizer}, resume=True)
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
        self.objects = {name: item for name, item in objects.items() if item is not None}
        self.resume = resume
        self._is_new_run = not resume
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
        """Write the state, unless a weight is NaN or infinite: then the last good state stays."""
        objects = self._all(engine)
        for name, item in objects.items():
            if isinstance(item, torch.nn.Module) and not is_finite(item):
                raise NonFiniteError(
                    f"{name} holds weights that are NaN or infinite after epoch {engine.state.epoch}, "
                    f"expected finite ones; {self.path} is left as it was"
                )
        if self._is_new_run:
            keep_previous(self.path)
            self._is_new_run = False
        state = {name: unwrapped(item).state_dict() for name, item in objects.items()}
        save_state({**state, "settings": self.settings, "processes": idist.get_world_size()}, self.path)

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
        self._check_settings(state.get("settings", {}))
        now = idist.get_world_size()
        if (processes := state.get("processes", now)) != now:
            raise ResumeError(
                f"{self.path} was saved by {processes} processes, this run has {now}: resume with as many"
            )
        length, expected = state["trainer"]["epoch_length"], engine.state.epoch_length
        if length != expected:
            raise ResumeError(
                f"{self.path} was saved with {length} iterations an epoch, "
                f"this run has {expected}: resume with the same training cases"
            )

    def _check_settings(self, saved: Mapping[str, Any]) -> None:
        for name, value in self.settings.items():
            if saved.get(name) != value:
                raise ResumeError(
                    f"{self.path} was saved with {name} {saved.get(name)}, this run has {value}: resume with the same"
                )


def _plain(value: Any) -> Any:
    """The one form of what a configuration and a command line may spell in several."""
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return TEXTS.get(value.lower(), value) if isinstance(value, str) else value


def _follow_schedule(scheduler: LambdaLR) -> None:
    """Set the learning rates that the schedule of this run has where it goes on."""
    groups = scheduler.optimizer.param_groups
    for group, base, factor in zip(groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True):
        group["lr"] = base * factor(scheduler.last_epoch)
