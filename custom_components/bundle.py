"""What the configurations of all bundles call: where the bundle is, its weights, and the run of a training."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from ignite.engine import Engine

from custom_components.checkpoints import unwrapped
from custom_components.data.unlabeled import NoUsableCaseError
from custom_components.handlers.averaged_weights import AveragedWeights
from custom_components.handlers.fooling_monitor import FooledError
from custom_components.handlers.stop_on_nonfinite import NonFiniteError
from custom_components.handlers.training_state import ResumeError
from custom_components.networks import QADiscriminator
from custom_components.user_errors import exit_on_user_error


@exit_on_user_error
def load_weights(network: torch.nn.Module, path: str | Path, made_by: str, option: str = "ckpt_path") -> None:
    """Load a plain state dict into a network.

    Args:
        network: where to.
        path: a file written by `torch.save(network.state_dict(), path)`.
        made_by: the command that makes the file, for the message.
        option: the setting that names another file, for the message.

    Raises:
        SystemExit: the file is missing or holds other weights; one line that says so, and exit code 1.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no weights at {path}: make them with `{made_by}`, or name a file with --{option}")
    try:
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, UnpicklingError, EOFError, LookupError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} holds no weights of this network, expected its state dict: {reason}") from error


@exit_on_user_error
def load_discriminators(
    paths: str | Path | Sequence[str | Path], *, option: str = "discriminator_paths"
) -> list[QADiscriminator]:
    """Load trained discriminators, in eval mode and without gradients; for use in configs.

    Args:
        paths: weights that the bundle `qa_discriminator` made: one file, or several for an ensemble.
        option: the setting that names the files, for the message.

    Raises:
        SystemExit: there is none, or a file is missing or holds other weights; one line, and exit code 1.
    """
    files: list = list(paths) if isinstance(paths, list | tuple) else [paths]
    if not files or not all(isinstance(file, str | Path) for file in files):
        raise ValueError(f"{option} is {paths!r}, expected a file or a list of files")
    command = "python -m monai.bundle run training --config_file bundles/qa_discriminator/configs/train.yaml"
    networks = [QADiscriminator() for _ in files]
    for network, path in zip(networks, files, strict=True):
        load_weights(network, path, command, option)
        network.eval().requires_grad_(False)
    return networks


@exit_on_user_error
def anchor_teacher(which: str, network: torch.nn.Module, averaged: AveragedWeights | None) -> torch.nn.Module:
    """Choose the network that holds a training near itself; for use in configs.

    Args:
        which: `start`, a copy of the network as it is now, or `average`, the running average of its weights.
        network: the one that is trained.
        averaged: the handler that averages its weights, if there is one.

    Raises:
        SystemExit: it is another text, or there is no average; one line, and exit code 1.
    """
    if which == "start":
        return copy.deepcopy(unwrapped(network))
    if which != "average":
        shown = repr(which) if isinstance(which, str) else type(which).__name__
        raise ValueError(f"anchor_teacher is {shown}, expected start or average")
    if averaged is None:
        raise ValueError("anchor_teacher is 'average' and ema_momentum is 0, expected an ema_momentum above 0")
    return averaged.ema_model


def handler(of: Any) -> Any:
    """Give a handler that has an id of its own in the configuration, where a list of handlers wants a component.

    Args:
        of: the handler, or None where the configuration has switched it off: then the list is without it.
    """
    return of


def run_training(trainer: Engine) -> None:
    """Run a trainer; what its user can mend ends the program with one line instead of a traceback.

    Raises:
        SystemExit: the loss became NaN or infinite, the saved state does not fit a run that is to be resumed, no
            unlabelled case can be loaded, or the fooling monitor was told to stop a run that it flags.
    """
    try:
        trainer.run()
    except (NonFiniteError, ResumeError, NoUsableCaseError, FooledError) as error:
        raise SystemExit(f"error: {error}") from None
