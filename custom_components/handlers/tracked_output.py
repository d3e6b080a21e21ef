"""Handler that gives a trainer's output the form in which MONAI's experiment tracking looks for it."""

from __future__ import annotations

from ignite.engine import Engine, Events


class TrackedOutput:
    """Turn the output of an iteration, a dictionary, into a list of it, when all that reads it has read it.

    `--tracking mlflow` of `monai.bundle` appends a handler that reads the loss as in a decollated output. A trainer
    with `decollate: false`, which does not spend time on taking its batch apart, gives a dictionary.

    Put it last among the handlers of the configuration; what tracks comes after it.

    Example::

        trainer = SupervisedTrainer(..., decollate=False, train_handlers=[..., TrackedOutput(), MLFlowHandler(...)])
    """

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Put the output into a list."""
        if isinstance(engine.state.output, dict):
            engine.state.output = [engine.state.output]
