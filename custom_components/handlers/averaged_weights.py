"""Handler that keeps an exponential moving average of a network's weights."""

from __future__ import annotations

from typing import Any, Literal

from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler
from torch import nn

from custom_components.checkpoints import unwrapped


class AveragedWeights(EMAHandler):
    """Ignite's `EMAHandler`, with a start at which the average follows the weights quickly.

    With one small momentum throughout, a short training would end near its random initialisation. Here the newest
    weights count `max(momentum, 9 / (10 + iteration))`: a function of the iteration alone, so that a resumed training
    goes on as if nothing had happened.

    Args:
        model: the network; `ema_model` is the averaged copy of it.
        momentum: share of the newest weights after the start, in (0, 1).
        handle_buffers: what becomes of buffers, such as the statistics of batch normalisation: `copy` takes the newest,
            `update` averages them too.

    Raises:
        ValueError: the momentum is out of range.

    Source:
        The warm-up is that of TensorFlow's `ExponentialMovingAverage(num_updates=...)`.

    Example::

        averaged = AveragedWeights(network, momentum=0.005)
        trainer = SupervisedTrainer(..., network=network, train_handlers=[averaged])
        evaluator = SupervisedEvaluator(..., network=averaged.ema_model)
    """

    def __init__(
        self, model: nn.Module, momentum: float, *, handle_buffers: Literal["copy", "update"] = "copy"
    ) -> None:
        super().__init__(model, momentum=momentum, handle_buffers=handle_buffers)

    def attach(self, engine: Engine, name: str = "ema_momentum", *args: Any, **kwargs: Any) -> None:
        """Attach to a trainer, whose state shows the momentum of the iteration as `ema_momentum`."""

        def set_momentum(engine: Engine) -> None:
            setattr(engine.state, name, max(self.momentum, 9 / (10 + engine.state.iteration)))

        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, set_momentum)
        super().attach(engine, name, *args, **kwargs)

    def _start(self, engine: Engine) -> None:
        """Begin with what the network holds now, perhaps from a `CheckpointLoader`, not with what it held before."""
        if engine.state.iteration == 0:
            self.ema_model.load_state_dict(unwrapped(self.model).state_dict())
