"""Candidate sources that ask for more or less of one organ, in the network's own result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from custom_components.anatomy import INDEX, JUDGED_ORGANS, ORGAN_NAMES
from custom_components.learning.candidates import Segment
from custom_components.options import check_number
from custom_components.user_errors import exit_on_user_error


@dataclass(frozen=True)
class OrganLogit:
    """The network's result with another logit of one organ: where that was a close second, it comes first.

    An organ that a network finds in part, because its contrast is new, or that it sees where there is none, is often
    right a little below or above the usual limit. It costs no run of the network: the first result is there.

    Args:
        organ: its name, see `custom_components.anatomy`.
        shift: added to its logit; above 0 the organ grows.

    Raises:
        ValueError: there is no such organ, or the shift is no number.

    Example:
        >>> import torch
        >>> logits = torch.zeros(1, 13, 2, 2, 2)
        >>> logits[:, 0] = 1.0
        >>> taken = OrganLogit("spleen", 1.5)(logits[:, :1], lambda image: logits)
        >>> logits.argmax(1).unique(), taken.argmax(1).unique()
        (tensor([0]), tensor([1]))
    """

    organ: str
    shift: float

    def __post_init__(self) -> None:
        if self.organ not in INDEX:
            raise ValueError(f"organ is {self.organ!r}, expected one of {', '.join(ORGAN_NAMES)}")
        check_number(self.shift, "shift")

    @property
    def name(self) -> str:
        return f"{self.organ}_{self.shift:+g}"

    def __call__(self, image: Tensor, segment: Segment) -> Tensor:
        logits = segment(image).clone()
        logits[:, INDEX[self.organ]] += self.shift
        return logits


@exit_on_user_error
def organ_logits(shifts: Sequence[float], organs: Sequence[str] = JUDGED_ORGANS) -> list[OrganLogit]:
    """Make a source of each organ with each shift; for use in configs.

    Args:
        shifts: see `OrganLogit`; the sources of the first come first.
        organs: by default those that people judge.

    Raises:
        SystemExit: as `OrganLogit`; one line, and exit code 1.

    Example:
        >>> [source.name for source in organ_logits([-1.5, 1.5], ["liver", "spleen"])]
        ['liver_-1.5', 'spleen_-1.5', 'liver_+1.5', 'spleen_+1.5']
    """
    return [OrganLogit(organ, shift) for shift in shifts for organ in organs]
