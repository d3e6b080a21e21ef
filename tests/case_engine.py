from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events

from custom_components.engines import CaseEvents


def case_engine(step: Callable[[Engine, Any], Any]) -> Engine:
    """An engine whose step sets `engine.state.case`, and which tells of it as a `CaseEvaluator` does."""
    engine = Engine(step)
    engine.register_events(*CaseEvents)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: engine.fire_event(CaseEvents.CASE_COMPLETED))
    return engine
