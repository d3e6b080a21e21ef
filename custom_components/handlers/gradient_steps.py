"""What a handler that adds to the gradient must know of a MONAI trainer: its steps, its precision, its processes."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import ignite.distributed as idist
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


def optimizer_steps(engine: Any) -> bool:
    """Whether the trainer's optimiser steps in this iteration, as `SupervisedTrainer` decides it."""
    every, length = engine.accumulation_steps, engine.state.epoch_length
    number = engine.state.iteration if length is None else (engine.state.iteration - 1) % length + 1
    return number % every == 0 or number == length


def trainer_autocast(engine: Any) -> AbstractContextManager:
    """The precision in which the trainer runs the network."""
    return torch.autocast("cuda", **engine.amp_kwargs) if engine.amp else nullcontext()


def scaled(gradient: Tensor, engine: Any) -> Tensor:
    """Scale a gradient as the trainer scales its loss: not, unless there is a gradient scaler."""
    scaler = engine.scaler if engine.amp else None
    return gradient if scaler is None else scaler.scale(gradient)


def set_grad_sync(engine: Any, wanted: bool) -> None:
    """Say whether the next backward pass exchanges gradients between processes; before the forward pass of it."""
    network = _distributed(engine.network)
    if network is not None:
        network.require_backward_grad_sync = wanted


def exchange_gradients(engine: Any) -> None:
    """Average the gradients over the processes, as a backward pass does that exchanges them."""
    network = _distributed(engine.network)
    if network is None:
        return
    for parameter in network.parameters():
        if parameter.grad is not None:
            parameter.grad = idist.all_reduce(parameter.grad) / idist.get_world_size()  # type: ignore[assignment]


def everywhere_finite(gradient: Tensor, engine: Any) -> bool:
    """Whether it is finite in all processes: they must go the same way, or wait for each other without end."""
    finite = torch.isfinite(gradient).all()
    if _distributed(engine.network) is None:
        return bool(finite)
    return bool(idist.all_reduce(finite.float(), op="MIN"))


def _distributed(network: nn.Module) -> DistributedDataParallel | None:
    inner = getattr(network, "_orig_mod", network)  # of a compiled network
    return inner if isinstance(inner, DistributedDataParallel) else None
