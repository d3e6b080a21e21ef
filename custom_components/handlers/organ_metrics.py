"""Handler that measures every organ of every case of an evaluation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import ignite.distributed as idist
import pandas as pd
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.engines import IterationEvents
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice
from monai.transforms import Orientation
from monai.utils import CommonKeys, convert_to_tensor
from rich.console import Console
from scipy.ndimage import find_objects

from custom_components.anatomy import INDEX, NUM_CLASSES, ORGAN_NAMES, ORGANS
from custom_components.case_ids import CASE_ID, case_name
from custom_components.engines import SET_ASIDE
from custom_components.files import complete_file
from custom_components.report.organ_dice import draw_dice_boxes, summarise, summary_table
from custom_components.transforms.same_grid import check_same_grid

COLUMNS = [CASE_ID, "organ", "dice", "hd95_mm", "surface_dice", "volume_ml_truth", "volume_ml_pred"]
TABLE, PICTURE, SET_ASIDE_TABLE = "organ_metrics.csv", "organ_metrics.png", "set_aside.csv"


class OrganMetrics:
    """Write `organ_metrics.csv` and `organ_metrics.png`, and print a summary, at the end of an evaluation.

    One row a case and organ, with the columns of `COLUMNS`; `hd95_mm` is the 95th percentile of the Hausdorff
    distance.

    An organ that is in neither the label nor the result has no Dice and no distances (empty cells). One that
    is in one of them only has Dice 0, surface Dice 0 and distance `inf`. One that the case's label set does
    not annotate (item `annotated`) has only `volume_ml_pred`.

    Cases that a `CaseEvaluator` sets aside have no rows; `set_aside.csv` lists them with the reason, where there
    are any. A result that cannot be measured is such a case too.

    Args:
        output_dir: folder of the files; made if missing.
        surface_tolerance_mm: distance up to which a surface counts as right, in mm: one number, or one for
            each organ by name.
        show: whether to print the summary.

    Raises:
        ValueError: a tolerance is missing, or (when called) a result is no label map on the label's grid, in
            whatever order of storage.

    Example::

        metrics = OrganMetrics("eval", surface_tolerance_mm=4.0)
        CaseEvaluator(..., postprocessing=segmentation_postprocessing(), val_handlers=[metrics]).run()
        metrics.raise_for_set_aside()
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        surface_tolerance_mm: float | Mapping[str, float] = 3.0,
        show: bool = True,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.tolerances = _tolerances(surface_tolerance_mm)
        self.show = show
        self._rows: list[dict[str, Any]] = []
        self._set_aside: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Attach to a MONAI evaluator that decollates its output."""
        engine.add_event_handler(Events.STARTED, self._start)
        # After the postprocessing, and where `CaseEvaluator` still sets a case aside that fails.
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self._measure)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note_set_aside)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def raise_for_set_aside(self) -> None:
        """End the program with exit code 1 and one line if the last run set a case aside.

        Raises:
            SystemExit: at least one case was set aside.
        """
        if self._set_aside:
            cases = len(self._rows) // len(ORGANS) + len(self._set_aside)
            where = self.output_dir / SET_ASIDE_TABLE
            raise SystemExit(f"error: {len(self._set_aside)} of {cases} cases set aside; see {where}")

    def _start(self) -> None:
        self._rows, self._set_aside = [], []

    def _measure(self, engine: Engine) -> None:
        items: Any = engine.state.batch
        outputs: Any = engine.state.output
        if not isinstance(items, list) or not isinstance(outputs, list):
            raise ValueError("the evaluator's output is not decollated, expected decollate=True")
        for item, output in zip(items, outputs, strict=True):
            case_id = case_name({**output, **item}, CommonKeys.LABEL, CommonKeys.IMAGE)
            annotated = item.get("annotated", [True] * NUM_CLASSES)
            try:
                measures = measure_organs(output[CommonKeys.PRED], output[CommonKeys.LABEL], self.tolerances)
            except ValueError as error:
                raise ValueError(f"case {case_id}: {error}") from None
            for organ, row in zip(ORGANS, measures, strict=True):
                if not annotated[organ.index]:
                    row = {"volume_ml_pred": row["volume_ml_pred"]}
                self._rows.append({CASE_ID: case_id, "organ": organ.name, **row})

    def _note_set_aside(self, engine: Engine) -> None:
        case = getattr(engine.state, "case", None)
        if case is not None and case.status == SET_ASIDE:
            self._set_aside.append({CASE_ID: case.case_id, "reason": case.reason})

    def _write(self) -> None:
        self._rows, self._set_aside = _gathered(self._rows, "organ"), _gathered(self._set_aside)
        if idist.get_rank() != 0:
            return
        table = pd.DataFrame(self._rows, columns=COLUMNS)
        _write_table(table, self.output_dir / TABLE)
        with complete_file(self.output_dir / PICTURE) as partial:
            draw_dice_boxes(table).savefig(partial)
        if self._set_aside:
            _write_table(pd.DataFrame(self._set_aside), self.output_dir / SET_ASIDE_TABLE)
        else:
            (self.output_dir / SET_ASIDE_TABLE).unlink(missing_ok=True)
        if self.show and self._rows:
            Console().print(summary_table(summarise(table)))


def _gathered(rows: list[dict[str, Any]], *keys: str) -> list[dict[str, Any]]:
    """The rows of all processes; a distributed sampler repeats cases to give every process as many."""
    if idist.get_world_size() == 1:
        return rows
    parts: Any = idist.all_gather(rows)
    return list({tuple(row[key] for key in (CASE_ID, *keys)): row for part in parts for row in part}.values())


def _write_table(table: pd.DataFrame, path: Path) -> None:
    with complete_file(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6g")


def measure_organs(pred: torch.Tensor, label: torch.Tensor, tolerances: Sequence[float]) -> list[dict[str, float]]:
    """Measure the 12 organs of one case.

    Args:
        pred: label map of 0 to 12, `(1, X, Y, Z)`.
        label: the true one, a MetaTensor on the same grid.
        tolerances: of the surface Dice, in mm, one an organ.

    Returns:
        For each organ the numbers of `OrganMetrics`; NaN or infinite as said there.

    Raises:
        ValueError: the two are not on one grid, or the label has no affine.
    """
    pred, label = _on_one_grid(pred, label)
    spacing = [float(size) for size in label.pixdim]  # type: ignore[attr-defined]
    found, truth = (
        convert_to_tensor(image[0], dtype=torch.uint8, device="cpu", track_meta=False) for image in (pred, label)
    )
    boxes = zip(*(find_objects(image.numpy(), max_label=len(ORGANS)) for image in (found, truth)), strict=True)
    rows = []
    for organ, two_boxes, tolerance in zip(ORGANS, boxes, tolerances, strict=True):
        box = _common_box(two_boxes)
        found_mask, true_mask = (image[box][None, None] == organ.index for image in (found, truth))
        rows.append(_measure_organ(found_mask, true_mask, spacing, tolerance))
    return rows


def _tolerances(tolerance: float | Mapping[str, float]) -> list[float]:
    by_name = tolerance if isinstance(tolerance, Mapping) else dict.fromkeys(ORGAN_NAMES, tolerance)
    wrong = sorted(set(by_name) ^ set(INDEX))
    if wrong or not all(value >= 0 for value in by_name.values()):
        raise ValueError(f"surface_tolerance_mm is {tolerance}, expected 0 or more, for all or for each organ")
    return [float(by_name[name]) for name in ORGAN_NAMES]


def _on_one_grid(pred: torch.Tensor, label: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both in one order of storage, and checked; a result without affine counts as stored like the label."""
    if not isinstance(label, MetaTensor):
        raise ValueError(f"label is a {type(label).__name__} without affine, expected a MetaTensor")
    if label.ndim != 4 or label.shape[0] != 1:
        raise ValueError(f"label has shape {tuple(label.shape)}, expected (1, X, Y, Z)")
    if pred.ndim != 4 or pred.shape[0] != 1:
        raise ValueError(f"pred has shape {tuple(pred.shape)}, expected (1, X, Y, Z)")
    if isinstance(pred, MetaTensor) and not torch.equal(pred.affine.cpu(), label.affine.cpu()):
        to_ras = Orientation("RAS", labels=None)
        pred, label = cast(MetaTensor, to_ras(pred)), cast(MetaTensor, to_ras(label))
    affine = (pred if isinstance(pred, MetaTensor) else label).affine.cpu()
    check_same_grid("label", label.shape[1:], label.affine.cpu(), "pred", pred.shape[1:], affine)
    return pred, label


def _common_box(boxes: Iterable[tuple[slice, ...] | None]) -> tuple[slice, ...]:
    """The box around both boxes, or an empty one; measuring inside it is many times faster."""
    sides = zip(*(box for box in boxes if box is not None), strict=True)
    box = tuple(slice(min(s.start for s in side), max(s.stop for s in side)) for side in sides)
    return box or (slice(0),)


def _measure_organ(
    found: torch.Tensor, truth: torch.Tensor, spacing: Sequence[float], tolerance: float
) -> dict[str, float]:
    millilitres = math.prod(spacing) / 1000
    volumes = {
        "volume_ml_truth": int(truth.sum()) * millilitres,
        "volume_ml_pred": int(found.sum()) * millilitres,
    }
    if not any(volumes.values()):
        return {"dice": math.nan, "hd95_mm": math.nan, "surface_dice": math.nan, **volumes}
    if not all(volumes.values()):
        return {"dice": 0.0, "hd95_mm": math.inf, "surface_dice": 0.0, **volumes}
    with warnings.catch_warnings():
        # MONAI 1.6 calls its own get_mask_edges with an argument that it deprecates.
        warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
        dice = compute_dice(found, truth)
        distance = compute_hausdorff_distance(found, truth, True, percentile=95, spacing=spacing)
        surface = compute_surface_dice(found, truth, [tolerance], include_background=True, spacing=spacing)
    return {"dice": dice.item(), "hd95_mm": distance.item(), "surface_dice": surface.item(), **volumes}
