"""Handler that names the per-organ Dice of a validation."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

from custom_components.anatomy import ORGAN_NAMES


class OrganDice:
    """Add the mean Dice of each organ to an evaluator's metrics, from the details of its mean Dice.

    Args:
        metric: name of the `monai.handlers.MeanDice` (without background) in the evaluator. Its details are
            (cases, 12); an organ that no case has is left out.

    Example::

        evaluator = SupervisedEvaluator(..., key_val_metric={"val_mean_dice": MeanDice(...)},
                                        val_handlers=[OrganDice()])
    """

    def __init__(self, metric: str = "val_mean_dice") -> None:
        self.metric = metric

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI evaluator, before the handlers that print or store its metrics."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Set `engine.state.metrics["dice_<organ>"]`."""
        state: Any = engine.state
        means = state.metric_details[self.metric].nanmean(dim=0)
        for name, value in zip(ORGAN_NAMES, means.tolist(), strict=True):
            if value == value:
                state.metrics[f"dice_{name}"] = value
