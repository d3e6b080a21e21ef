"""How the processes that torchrun has started meet."""

from __future__ import annotations

import os
from datetime import timedelta

import torch.distributed as dist

from custom_components.user_errors import exit_on_user_error

STORE_TIMEOUT = timedelta(minutes=5)
"""Torch's own."""

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@exit_on_user_error
def join_processes(backend: str, timeout: timedelta | None = None) -> None:
    """Make the process group of what torchrun has started, unless there is one; for use in configs.

    A restart of torchrun's (`--max-restarts`) on one machine keeps the store in which the processes leave their
    addresses, and gloo would wait for those of the killed ones. So each start has a part of the store for itself. On
    several machines the starts are counted differently: there torchrun must make a new store each time, which it does
    with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1.

    Args:
        backend: `nccl` or `gloo`.
        timeout: how long the processes wait for each other, also in the group; default that of the backend.

    Raises:
        SystemExit: a variable that torchrun sets is missing; one line, and exit code 1.
    """
    if dist.is_initialized():
        return
    environment = os.environ
    if missing := [name for name in VARIABLES if not environment.get(name)]:
        raise ValueError(f"{', '.join(missing)} not set: start several processes with torchrun, see docs/README.md")
    is_shared = environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if not is_shared or environment.get("GROUP_WORLD_SIZE") != "1":
        dist.init_process_group(backend, timeout=timeout)
        return
    address, port = environment["MASTER_ADDR"], int(environment["MASTER_PORT"])
    patience = timeout or STORE_TIMEOUT
    store = dist.TCPStore(address, port, None, is_master=False, timeout=patience, wait_for_workers=False)
    own = dist.PrefixStore(f"start_{environment['TORCHELASTIC_RESTART_COUNT']}", store)
    rank, world_size = (int(environment[name]) for name in ("RANK", "WORLD_SIZE"))
    dist.init_process_group(backend, store=own, rank=rank, world_size=world_size, timeout=timeout)
