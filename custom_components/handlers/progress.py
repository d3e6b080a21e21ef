"""Progress bar of a training."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar


class EpochProgress(ProgressBar):
    """Ignite's progress bar that counts epochs and shows the loss, with the `attach` that MONAI's engines call.

    Args:
        **kwargs: of `ignite.handlers.ProgressBar`, which hands them to tqdm.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"desc": "training", "persist": True, "mininterval": 1.0, **kwargs})

    def attach(self, engine: Engine, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Attach to a MONAI trainer."""
        super().attach(
            engine,
            output_transform=_loss,
            event_name=Events.EPOCH_COMPLETED,
            closing_event_name=Events.COMPLETED,
        )


def _loss(output: Any) -> dict[str, float]:
    """The loss of a plain output, or of one in a list, as decollating and `TrackedOutput` make it."""
    first = output[0] if isinstance(output, list) else output
    return {"loss": first["loss"].item()}
