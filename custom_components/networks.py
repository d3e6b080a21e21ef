"""The QA discriminator: an ImageNet network with one output."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights

from custom_components.user_errors import exit_on_user_error

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DOWNLOAD_TIMEOUT = 20.0
"""Seconds after which a server that does not answer counts as out of reach."""

logger = logging.getLogger(__name__)


class ScoreLayer(nn.Linear):
    """A linear layer that stays in its own precision under autocast: bfloat16 has steps of 1/64 at a score of 2."""

    def forward(self, features: Tensor) -> Tensor:
        """Give (B, 1) of (B, features)."""
        return (features.to(self.weight.dtype) * self.weight).sum(-1, keepdim=True) + self.bias


class QADiscriminator(nn.Module):
    """A torchvision classifier that regresses the QA score of a montage.

    Lee et al. 2020, section 2.2: ResNet-18 with one output. The network normalises its input as ImageNet networks want
    it, so that a montage goes in as it is.

    Args:
        backbone: name of a torchvision model that takes `num_classes`.

    Example:
        >>> QADiscriminator().eval()(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 1])
    """

    def __init__(self, backbone: str = "resnet18") -> None:
        super().__init__()
        self.backbone_name = backbone
        # on a CPU a fifth faster so
        self.backbone = get_model(backbone, weights=None, num_classes=1).to(memory_format=torch.channels_last)
        name, last = [pair for pair in self.backbone.named_modules() if isinstance(pair[1], nn.Linear)][-1]
        parent, _, leaf = name.rpartition(".")
        setattr(self.backbone.get_submodule(parent), leaf, ScoreLayer(last.in_features, 1))
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, montage: Tensor) -> Tensor:
        """Give the scores (B, 1) of montages (B, 3, rows, columns) in [0, 1]; 0 is good, 2 a gross failure."""
        normalised = (montage - self.mean) / self.std  # type: ignore[operator]
        return self.backbone(normalised.contiguous(memory_format=torch.channels_last))


@exit_on_user_error
def load_imagenet_weights(
    network: QADiscriminator, source: str | Path | None = "auto", fallback: str | Path = ""
) -> str:
    """Start a discriminator from ImageNet; for use in configs. What was done is said in the log.

    Args:
        network: the discriminator; its last layer stays as it is.
        source: `auto` takes torchvision's weights (from its cache, or downloaded), else the file `fallback`, else
            leaves the network random. A path takes that file and nothing else. None or `none` leaves it random.
        fallback: a file with torchvision's state dict of the backbone.

    Returns:
        What the network starts from: `torchvision`, the name of the file, or `random`.

    Raises:
        SystemExit: a file that was named does not exist or holds other weights; one line, and exit code 1.
    """
    if source is None or str(source).lower() == "none":
        return _said("random weights, as asked", "random")
    if str(source) != "auto":
        return _load_file(network, Path(source))
    try:
        with _timeout(DOWNLOAD_TIMEOUT):
            weights = get_model_weights(network.backbone_name).DEFAULT
            state = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
        _load(network, state)
        return _said("ImageNet weights of torchvision", "torchvision")
    except (OSError, HTTPException, RuntimeError, UnpicklingError, EOFError) as error:
        logger.warning("ImageNet weights of torchvision cannot be had: %s", " ".join(str(error).split())[:200])
    if fallback and Path(fallback).is_file():
        return _load_file(network, Path(fallback))
    return _said(f"random weights, as there is no {fallback} either" if fallback else "random weights", "random")


def _load_file(network: QADiscriminator, path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"no ImageNet weights at {path}")
    try:
        _load(network, torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, UnpicklingError, EOFError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"{path} holds no weights of {network.backbone_name}, expected its state dict: {reason}"
        ) from None
    return _said(f"ImageNet weights of {path}", path.name)


def _load(network: QADiscriminator, state: dict[str, Tensor]) -> None:
    """Load all but the last layer, which has another number of outputs; nothing if the state is of another network."""
    own = network.backbone.state_dict()
    last = list(own)[-1].rpartition(".")[0]
    # torchvision's weights were saved before torch had these counters
    kept = {name for name in own if name.startswith(f"{last}.") or name.endswith("num_batches_tracked")}
    wrong = [name for name in own if name not in kept and (name not in state or own[name].shape != state[name].shape)]
    unknown = [name for name in state if name not in own]
    if wrong or unknown:
        raise RuntimeError(f"{len(wrong)} of its tensors are missing or of another shape, {len(unknown)} are not its")
    network.backbone.load_state_dict({name: own[name] if name in kept else state[name] for name in own})


def _said(text: str, result: str) -> str:
    logger.info("the discriminator starts from %s", text)
    return result


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
