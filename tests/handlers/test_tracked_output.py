from __future__ import annotations

import torch
from ignite.engine import Engine, Events
from monai.handlers import from_engine

from custom_components.handlers.tracked_output import TrackedOutput


def test_what_comes_before_sees_a_dictionary_and_what_tracks_finds_the_loss():
    engine = Engine(lambda *_: {"loss": torch.tensor(0.5)})
    seen = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(engine.state.output["loss"].item()))
    TrackedOutput().attach(engine)
    loss = from_engine(["loss"], first=True)  # of MONAI's default tracking
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(loss(engine.state.output).item()))
    engine.run([0, 1])
    assert seen == [0.5] * 4
