"""The multi-sourced Dice loss: Dice over the organs that a case's label set annotates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset, MetaTensor
from monai.engines.utils import default_prepare_batch
from torch import nn
from torch.nn import functional as F

from custom_components.anatomy import INDEX, NUM_CLASSES, ORGAN_NAMES
from custom_components.user_errors import exit_on_user_error

Target = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
"""A label map, or a label map and which of the channels its source annotated."""


class MultiSourcedDiceLoss(nn.Module):
    """Soft Dice loss, averaged over the organs that the source of a case annotated.

    `mean_a w_a * (1 - (2 sum(p_a g_a) + eps) / (sum(p_a) + sum(g_a) + eps))`, the mean over the annotated
    organs `a` of a case, then over the cases of a batch. Organs that the source did not annotate are merged
    into the background: finding them is neither rewarded nor punished. With every organ annotated it equals
    `monai.losses.DiceLoss(softmax=True, to_onehot_y=True, include_background=False)`.

    It is computed in float32 whatever the autocast state.

    Args:
        weights: the weight of each organ, by name or as 12 numbers in the order of the channels; 1 if not
            given. See `inverse_size_weights`.
        cross_entropy_weight: factor of an added cross entropy over the merged probabilities; 0 in the paper,
            1 for the Dice + cross entropy that usually converges faster.
        smooth: the epsilon of numerator and denominator. An annotated organ that the image does not show has
            a loss of nearly 1 if it is predicted somewhere, and of 0 if it is not.

    Raises:
        ValueError: a weight is missing, negative or of no known organ.

    Source:
        Lee et al. 2020, section 2.4 (arXiv 1911.05113); merged background: the marginal loss of Shi et al.
        2021 (arXiv 2007.03868).

    Example:
        >>> loss = MultiSourcedDiceLoss()
        >>> label = torch.randint(0, 13, (1, 1, 8, 8, 8))
        >>> confident = 100.0 * F.one_hot(label[:, 0], 13).movedim(-1, 1).float()
        >>> round(loss(confident, label).item(), 4)
        0.0
    """

    weights: torch.Tensor

    def __init__(
        self,
        *,
        weights: Mapping[str, float] | Sequence[float] | None = None,
        cross_entropy_weight: float = 0.0,
        smooth: float = 1e-5,
    ) -> None:
        super().__init__()
        if cross_entropy_weight < 0:
            raise ValueError(f"cross_entropy_weight is {cross_entropy_weight}, expected 0 or more")
        self.cross_entropy_weight = cross_entropy_weight
        self.smooth = smooth
        # The configuration gives the weights, so a checkpoint does not.
        self.register_buffer("weights", _organ_weights(weights), persistent=False)

    def forward(self, pred: torch.Tensor, target: Target) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            pred: logits, `(B, 13, X, Y, Z)`.
            target: label map of 0 to 12, `(B, 1, X, Y, Z)` (every organ annotated), or a pair of that and a
                boolean `(B, 13)`: the annotated channels of each case.

        Raises:
            ValueError: a shape, or a label value, is not as said above, or a case annotates no organ.
        """
        label, annotated = target if isinstance(target, (tuple, list)) else (target, None)
        logits, label = _as_tensor(pred), _as_tensor(label)
        _check_shapes(logits, label, annotated)
        label = _checked_index(label)
        organs = _annotated_organs(annotated, logits)
        if not organs[:, 1:].all():
            channels = torch.arange(NUM_CLASSES, device=label.device) * organs
            label = channels.gather(1, label.flatten(1)).view(label.shape)
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.float()
            if not self.cross_entropy_weight:
                return self._dice_loss(logits.softmax(dim=1), label, organs)
            log_probability = logits.log_softmax(dim=1)
            cross_entropy = _marginal_cross_entropy(log_probability, label, organs)
            return self._dice_loss(log_probability.exp(), label, organs) + self.cross_entropy_weight * cross_entropy

    def _dice_loss(self, probability: torch.Tensor, label: torch.Tensor, organs: torch.Tensor) -> torch.Tensor:
        # Sums by label value instead of a one-hot label: less time and memory.
        index = label.flatten(1)
        right = probability.gather(1, label).flatten(1)
        # Float32 loses small terms when millions are added one after the other.
        overlap = right.new_zeros(organs.shape, dtype=torch.float64).scatter_add(1, index, right.double())
        truth = torch.stack([torch.bincount(case, minlength=NUM_CLASSES) for case in index])
        size = probability.flatten(2).sum(2) + truth
        loss = 1 - (2 * overlap.float() + self.smooth) / (size + self.smooth)
        terms = torch.where(organs[:, 1:], self.weights.to(loss.device) * loss[:, 1:], 0.0)
        return (terms.sum(1) / organs.sum(1)).mean()


def _marginal_cross_entropy(log_probability: torch.Tensor, label: torch.Tensor, organs: torch.Tensor) -> torch.Tensor:
    if organs[:, 1:].all():
        return F.nll_loss(log_probability, label[:, 0])
    pairs = zip(log_probability, organs, strict=True)
    background = torch.stack([case[~kept].logsumexp(0) for case, kept in pairs])
    right = log_probability.gather(1, label)[:, 0]
    return -torch.where(label[:, 0] == 0, background, right).mean()


def prepare_batch(
    batchdata: dict[str, Any],
    device: str | torch.device | None = None,
    non_blocking: bool = False,
    **kwargs: Any,
) -> tuple[torch.Tensor, Target | None]:
    """Give `monai.engines.SupervisedTrainer` the image and what `MultiSourcedDiceLoss` takes as target.

    For training only: an evaluator's metrics want the plain label of MONAI's default.

    Args:
        batchdata: a batch with `image`, and where there are some `label` and `annotated` (`MapLabelSetd`).
        device: where the tensors go.
        non_blocking: see `torch.Tensor.to`.
        kwargs: further arguments of `torch.Tensor.to` for image and label.

    Returns:
        The image, and the label with its annotated channels, the label alone, or None.
    """
    image, label = default_prepare_batch(batchdata, device, non_blocking, **kwargs)
    if label is None or not isinstance(batchdata, dict) or "annotated" not in batchdata:
        return image, label
    return image, (label, batchdata["annotated"].to(device=device, non_blocking=non_blocking))


def organ_volumes(
    labels: Iterable[torch.Tensor | np.ndarray], annotated: Iterable[Sequence[bool]] | None = None
) -> np.ndarray:
    """Count the voxels of each organ in label maps of one spacing.

    Args:
        labels: label maps of 0 to 12, of any shape.
        annotated: for each label map the annotated channels (13 booleans, see
            `custom_components.anatomy.annotated_channels`); all if not given.

    Returns:
        Voxels, `(N, 12)`; NaN where the organ was not annotated.
    """
    flat = (np.asarray(label).astype(np.int64).ravel() for label in labels)
    volumes = np.stack([np.bincount(voxels, minlength=NUM_CLASSES)[1:] for voxels in flat]).astype(float)
    if annotated is not None:
        volumes[~np.asarray(list(annotated), dtype=bool)[:, 1:]] = np.nan
    return volumes


def inverse_size_weights(volumes: Any, *, power: float = 1.0) -> list[float]:
    """Compute organ weights inverse to the mean size of each organ, of mean 1.

    Args:
        volumes: organ sizes in any one unit, `(N, 12)`: an array, or a table with organ names as columns; NaN
            where a case does not tell.
        power: 0 for equal weights, 1 for inverse to the size, 2 for the inverse squared size of the
            generalised Dice loss (Sudre et al. 2017, arXiv 1707.03237), which leaves little but the adrenal
            glands.

    Returns:
        12 weights in the order of the channels, for `MultiSourcedDiceLoss(weights=...)`.

    Raises:
        ValueError: the shape is wrong, or an organ has no voxel in any case.

    Example:
        >>> weights = inverse_size_weights([[100.0] * 6 + [50.0] * 6])
        >>> [round(weight, 3) for weight in (weights[0], weights[-1])]
        [0.667, 1.333]
    """
    if hasattr(volumes, "columns"):
        volumes = volumes[list(ORGAN_NAMES)].to_numpy()
    sizes = np.asarray(volumes, dtype=float)
    if sizes.ndim != 2 or sizes.shape[1] != len(ORGAN_NAMES):
        raise ValueError(f"volumes has shape {sizes.shape}, expected (N, {len(ORGAN_NAMES)})")
    told = np.isfinite(sizes)
    mean = np.where(told, sizes, 0).sum(0) / np.maximum(told.sum(0), 1)
    if not np.all(mean > 0):
        missing = [name for name, size in zip(ORGAN_NAMES, mean, strict=True) if not size > 0]
        raise ValueError(f"volumes has no voxel of {', '.join(missing)}, expected some of every organ")
    weights = mean**-power
    return (weights / weights.mean()).tolist()


@exit_on_user_error
def organ_weights(
    spec: str | Sequence[float] | Mapping[str, float], dataset: CacheDataset
) -> Sequence[float] | Mapping[str, float] | None:
    """Give `MultiSourcedDiceLoss` the weights that a configuration asks for.

    Args:
        spec: `equal`; `inverse_size`, for `inverse_size_weights` of the training labels; or 12 numbers, in the order of
            the channels or by name.
        dataset: the training data with cached `label` (1, X, Y, Z) and `annotated` (13,) of each case; looked at
            for `inverse_size` only.

    Returns:
        The weights, or None for equal ones.

    Raises:
        SystemExit: the text is another one, a number is missing or negative, or an organ is in no label; one line, and
            exit code 1.
    """
    if spec == "equal":
        return None
    if not isinstance(spec, str):
        _organ_weights(spec)  # raises what is wrong with them
        return spec
    if spec != "inverse_size":
        raise ValueError(f"organ_weights is {spec!r}, expected equal, inverse_size or 12 numbers")
    items = dataset._cache
    return inverse_size_weights(organ_volumes((item["label"] for item in items), (item["annotated"] for item in items)))


def _organ_weights(weights: Mapping[str, float] | Sequence[float] | None) -> torch.Tensor:
    if weights is None:
        return torch.ones(len(ORGAN_NAMES))
    if isinstance(weights, Mapping):
        wrong = sorted(set(weights) ^ set(INDEX))
        if wrong:
            raise ValueError(f"weights lacks or does not know {wrong}, expected one for each organ")
        weights = [weights[name] for name in ORGAN_NAMES]
    if len(weights) != len(ORGAN_NAMES):
        raise ValueError(f"weights has {len(weights)} numbers, expected {len(ORGAN_NAMES)}")
    if not all(weight >= 0 for weight in weights):
        raise ValueError(f"weights is {list(weights)}, expected numbers of 0 or more")
    return torch.tensor(list(weights), dtype=torch.float32)


def _as_tensor(value: torch.Tensor) -> torch.Tensor:
    return value.as_tensor() if isinstance(value, MetaTensor) else value


def _check_shapes(logits: torch.Tensor, label: torch.Tensor, annotated: torch.Tensor | None) -> None:
    batch, *spatial = logits.shape[:1] + logits.shape[2:]
    if logits.ndim < 3 or logits.shape[1] != NUM_CLASSES:
        raise ValueError(f"pred has shape {tuple(logits.shape)}, expected (B, {NUM_CLASSES}, ...)")
    if tuple(label.shape) != (batch, 1, *spatial):
        raise ValueError(f"label has shape {tuple(label.shape)}, expected {(batch, 1, *spatial)}")
    if annotated is not None and tuple(annotated.shape) != (batch, NUM_CLASSES):
        raise ValueError(f"annotated has shape {tuple(annotated.shape)}, expected {(batch, NUM_CLASSES)}")


def _checked_index(label: torch.Tensor) -> torch.Tensor:
    low, high = (value.item() for value in label.aminmax())
    if not 0 <= low <= high < NUM_CLASSES:
        raise ValueError(f"label holds {low:g} to {high:g}, expected 0 to {NUM_CLASSES - 1}")
    index = label.long()
    if label.is_floating_point() and not torch.equal(index.to(label.dtype), label):
        raise ValueError("label holds fractions, expected whole numbers: was it interpolated?")
    return index


def _annotated_organs(annotated: torch.Tensor | None, logits: torch.Tensor) -> torch.Tensor:
    if annotated is None:
        organs = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
    else:
        organs = _as_tensor(annotated).to(logits.device, torch.bool, copy=True)
    organs[:, 0] = False
    if not organs.any(1).all():
        raise ValueError("annotated names no organ for a case of the batch, expected at least one")
    return organs
