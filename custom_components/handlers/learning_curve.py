"""Handler that writes the course of a training as a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import pandas as pd
import torch
from ignite.engine import Engine, Events
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from monai.utils import CommonKeys, is_scalar

from custom_components.files import complete_file

TABLE, PICTURE = "learning_curve.csv", "learning_curve.png"
TRAIN, EPOCH = "train_", "epoch_"


class LearningCurve:
    """Write `learning_curve.csv` and `learning_curve.png`, after every validation and at the end.

    One row an epoch: `epoch`, `train_loss` (mean over its iterations) and what else is asked for of the
    trainer's output, `learning_rate` (at its start), and the scalar metrics of the validation after it. The picture
    shows the losses, the key metric with its best epoch, and in thin lines the others. With several processes the
    first one writes, and the losses are the means over all; while an epoch runs, its own.

    What logs an engine's metrics finds the means of an epoch among those of the trainer: `epoch_loss` and so on.

    Its state is the history and the key metric, so that a resumed training keeps them: save it after the validation of
    the epoch.

    Args:
        output_dir: folder of the two files; made if missing.
        evaluator: MONAI evaluator that a `ValidationHandler` of the same trainer runs.
        key_metric: metric whose best epoch is marked; the evaluator's own key metric if not given.
        lower_is_better: whether the best value is the lowest, as for a distance.
        outputs: names of further numbers in the trainer's output, such as `qa_loss`; an iteration may lack them.

    Example::

        curve = LearningCurve("eval", evaluator=evaluator)
        trainer = SupervisedTrainer(..., train_handlers=[ValidationHandler(1, evaluator), curve])
    """

    def __init__(
        self,
        output_dir: str | Path,
        evaluator: Engine | None = None,
        *,
        key_metric: str | None = None,
        lower_is_better: bool = False,
        outputs: Sequence[str] = (),
    ) -> None:
        self.output_dir = Path(output_dir)
        self.evaluator = evaluator
        self.key_metric = key_metric
        self.lower_is_better = lower_is_better
        self._rows: dict[int, dict[str, float]] = {}
        self.outputs = (CommonKeys.LOSS.value, *outputs)
        self._sums: dict[str, tuple[float, int]] = {}
        self._trainer: Engine | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to the trainer, and to the evaluator."""
        self._trainer = engine
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add_losses)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._end_epoch)
        engine.add_event_handler(Events.COMPLETED, self._write)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.COMPLETED, self._add_validation)

    def history(self) -> pd.DataFrame:
        """Return the table, a row an epoch."""
        rows = [{"epoch": epoch, **row} for epoch, row in sorted(self._rows.items())]
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["epoch"])

    def state_dict(self) -> dict[str, Any]:
        """Return the history in plain numbers and text, as a checkpoint with `weights_only=True` wants it."""
        rows = [{"epoch": epoch, **row} for epoch, row in sorted(self._rows.items())]
        return {"rows": rows, "key_metric": self.key_metric}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from the history that `state_dict` returned."""
        rows = [dict(row) for row in state_dict["rows"]]
        self._rows = {int(row.pop("epoch")): row for row in rows}
        self.key_metric = self.key_metric or state_dict["key_metric"]

    def _row(self, epoch: int) -> dict[str, float]:
        return self._rows.setdefault(epoch, {})

    def _start_epoch(self, engine: Engine) -> None:
        self._sums = {}
        self._rows.pop(engine.state.epoch, None)
        optimizer = getattr(engine, "optimizer", None)
        if optimizer is not None:
            self._row(engine.state.epoch)["learning_rate"] = float(optimizer.param_groups[0]["lr"])

    def _add_losses(self, engine: Engine) -> None:
        output: Any = engine.state.output
        found = output[0] if isinstance(output, list) else output
        for name in self.outputs:
            if name in found:
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = total + torch.as_tensor(found[name]).item(), count + 1
        # Kept up to date, because the validation may come before this handler's end of the epoch.
        self._row(engine.state.epoch).update(_means(self._sums))

    def _end_epoch(self, engine: Engine) -> None:
        sums = torch.tensor([self._sums.get(name, (0.0, 0)) for name in self.outputs], dtype=torch.float64)
        totals = idist.all_reduce(sums).tolist()  # type: ignore[union-attr]
        sums_of_all = dict(zip(self.outputs, totals, strict=True))
        self._row(engine.state.epoch).update(_means(sums_of_all))
        engine.state.metrics.update(_means(sums_of_all, prefix=EPOCH))
        self._write_table()

    def _add_validation(self, evaluator: Engine) -> None:
        assert self._trainer is not None
        self.key_metric = self.key_metric or getattr(evaluator.state, "key_metric_name", None)
        row = self._row(self._trainer.state.epoch)
        row.update({name: float(value) for name, value in evaluator.state.metrics.items() if is_scalar(value)})
        self._write()

    def _write_table(self) -> None:
        if idist.get_rank() == 0:
            with complete_file(self.output_dir / TABLE) as partial:
                self.history().to_csv(partial, index=False)

    def _write(self) -> None:
        self._write_table()
        if idist.get_rank() == 0:
            with complete_file(self.output_dir / PICTURE) as partial:
                draw_learning_curve(self.history(), self.key_metric, self.lower_is_better).savefig(partial)


def _means(sums: Mapping[str, tuple[float, float]], prefix: str = TRAIN) -> dict[str, float]:
    return {f"{prefix}{name}": total / count for name, (total, count) in sums.items() if count}


def draw_learning_curve(history: pd.DataFrame, key_metric: str | None, lower_is_better: bool = False) -> Figure:
    """Draw the losses of the training over the validation metrics.

    Args:
        history: table of `LearningCurve`.
        key_metric: column to stress, with its best epoch marked.
        lower_is_better: whether the best value is the lowest.
    """
    figure = Figure(figsize=(10, 7), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    loss_axes, metric_axes = figure.subplots(2, sharex=True)
    metric_axes.set_prop_cycle(color=[colormaps["tab20"](i) for i in range(20)])
    trained = [name for name in history.columns if name.startswith(TRAIN)]
    for name in trained:
        loss_axes.plot(*_known(history, name), marker=".", markersize=3, label=_readable(name.removeprefix(TRAIN)))
    loss_axes.set_ylabel("training" if len(trained) > 1 else "training loss")
    if len(trained) > 1:
        loss_axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    for name in history.columns.drop(["epoch", *trained, "learning_rate", key_metric], errors="ignore"):
        metric_axes.plot(*_known(history, name), linewidth=0.8, label=_readable(name))
    if key_metric in history:
        _draw_key_metric(metric_axes, history, str(key_metric), lower_is_better)
    metric_axes.set_ylabel("validation")
    metric_axes.set_xlabel("epoch")
    if metric_axes.lines:
        metric_axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    for axes in (loss_axes, metric_axes):
        axes.grid(alpha=0.3)
    return figure


def _draw_key_metric(axes: Axes, history: pd.DataFrame, key_metric: str, lower_is_better: bool) -> None:
    epochs, values = _known(history, key_metric)
    axes.plot(epochs, values, color="black", marker=".", label=_readable(key_metric))
    if len(values):
        best = values.idxmin() if lower_is_better else values.idxmax()
        label = f"best {values[best]:.4f}, epoch {epochs[best]}"
        axes.plot(epochs[best], values[best], "*", color="tab:red", markersize=14, label=label)


def _known(history: pd.DataFrame, name: str) -> tuple[pd.Series, pd.Series]:
    known = history.dropna(subset=name)
    return known["epoch"], known[name]


def _readable(name: str) -> str:
    return name.replace("_", " ")
