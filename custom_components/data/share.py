"""Which cases of a run are this process's, where several processes do one folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from custom_components.options import check_number
from custom_components.user_errors import exit_on_user_error

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

LONGEST_WAIT = timedelta(days=30)

logger = logging.getLogger(__name__)


class Share(NamedTuple):
    """One process of a run, by its number and how many there are.

    The shares are settled by the list of cases alone, so that processes need not know of each other, nor run at the
    same time.

    Example:
        >>> Share(1, 3).of("abcdefg")
        ['b', 'e']
        >>> Share().of("abc")
        ['a', 'b', 'c']
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether there is one process."""
        return self.world_size == 1

    def of(self, cases: Sequence[T]) -> list[T]:
        """The cases of this process, of a list that is the same in all."""
        mine = list(cases[self.rank :: self.world_size])
        if not self.is_whole:
            logger.info(f"process {self.rank + 1} of {self.world_size}: {len(mine)} of {len(cases)} cases")
        return mine

    def wait_for_the_others(self) -> None:
        """Wait until all processes are done; under torchrun alone.

        Torchrun ends all processes as soon as one fails: one that ends with an error, because a case was set aside, has
        to wait. If another process dies meanwhile, torchrun ends or restarts this one.
        """
        if self.is_whole or "TORCHELASTIC_RESTART_COUNT" not in os.environ:
            return
        import torch.distributed as dist  # here, for the rating page has tables and no torch

        from custom_components.processes import join_processes

        try:
            join_processes("gloo", LONGEST_WAIT)
            dist.barrier()
            dist.destroy_process_group()
        except RuntimeError as error:  # what is written is complete without it
            logger.warning(f"the other processes cannot be waited for: {str(error).splitlines()[0]}")


@exit_on_user_error
def process_share(environment: Mapping[str, str] = os.environ) -> Share:
    """Take this process's share from RANK and WORLD_SIZE, which torchrun sets; for use in configs.

    Raises:
        SystemExit: one of them is missing, or cannot be; one line, and exit code 1.

    Example:
        >>> process_share({"RANK": "0", "WORLD_SIZE": "2"})
        Share(rank=0, world_size=2)
        >>> process_share({})
        Share(rank=0, world_size=1)
    """
    found = {name: environment.get(name, "") for name in ("RANK", "WORLD_SIZE")}
    if not any(found.values()):
        return Share()
    if not all(found.values()):
        given, missing = sorted(found, key=lambda name: not found[name])
        raise ValueError(f"{given} is {found[given]} and {missing} is not set, expected both or none of them")
    rank, world_size = (_number(found[name]) for name in found)
    check_number(world_size, "WORLD_SIZE", 1, whole=True)
    check_number(rank, "RANK", 0, world_size - 1, whole=True)  # type: ignore[operator]
    return Share(int(rank), int(world_size))


def process_device(environment: Mapping[str, str] = os.environ) -> torch.device:
    """The GPU of this process on its machine, by LOCAL_RANK; the CPU where there is none; for use in configs."""
    import torch

    if not torch.cuda.is_available():
        return torch.device("cpu")
    local = environment.get("LOCAL_RANK", "")
    if not local.isdecimal():
        return torch.device("cuda")
    return torch.device("cuda", int(local) % torch.cuda.device_count())


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
