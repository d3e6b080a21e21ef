"""Handler that makes the random numbers of an epoch depend on its number alone."""

from __future__ import annotations

import torch
from ignite.engine import Engine, Events

from custom_components.data.seeded_dataset import SeededCacheDataset


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
