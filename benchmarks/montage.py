"""How fast is the montage at the size of the discriminator, and what does its gradient cost?

    python benchmarks/montage.py [--rounds 10] [--device cuda]

A CT of 168 x 168 x 64 with probabilities of 13 channels becomes a picture of 256 x 256. "Plain" colours the volume,
tiles it and interpolates. torchvision's `draw_segmentation_masks` and `make_grid`, and MONAI's `blend_images` and
`matshow3d`, have no gradient and take labels: they are compared with the forward pass alone, each in the way that its
documentation shows. The grid that torchvision and MONAI make is reduced to the same size, for MONAI by matplotlib,
which draws it.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable

import fire
import matplotlib
import torch
import torch.nn.functional as F
from measure import aim, in_own_process, peak_of_calls, report, take_turns
from monai.visualize import blend_images, matshow3d
from torchvision.utils import draw_segmentation_masks, make_grid

from custom_components.anatomy import ORGANS
from custom_components.transforms.montage import montage

SHAPE, SIZE, ALPHA = (168, 168, 64), (256, 256), 0.4
COLOURS = torch.tensor([organ.colour for organ in ORGANS], dtype=torch.float32) / 255

Pictures = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def plain(image: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """Colour the volume, tile, interpolate."""
    organs = probabilities[:, 1:]
    colour = torch.einsum("bcxyz,ck->bkxyz", organs, COLOURS.to(organs))
    volume = (1 - ALPHA * organs.sum(1, keepdim=True)) * image + ALPHA * colour
    return _reduced(_tiles(volume))


def fused(image: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """What the project uses."""
    return montage(image, probabilities, size=SIZE)


def straight_through(image: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """The same with the hard result shown."""
    return montage(image, probabilities, size=SIZE, straight_through=True)


def torchvision_masks(image: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """Draw the masks of each slice, and put the slices into a grid."""
    labels, organs = probabilities[0].argmax(0), torch.arange(1, len(ORGANS) + 1, device=image.device)
    grey = (255 * image[0, 0]).to(torch.uint8)
    colours = [organ.colour for organ in ORGANS]
    slices = []
    for z in range(image.shape[-1]):
        masks = organs[:, None, None] == labels[..., z].flip(0, 1).T
        slices.append(draw_segmentation_masks(_rgb(grey[..., z].flip(0, 1).T), masks, alpha=ALPHA, colors=colours))
    return _reduced(make_grid(torch.stack(slices), nrow=8, padding=0)[None] / 255)


def monai_blend(image: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """Blend the volume with its labels, and draw all slices in a figure."""
    labels = probabilities[0].argmax(0, keepdim=True)
    blended = blend_images(image[0].cpu(), labels.cpu(), alpha=ALPHA, cmap="hsv", rescale_arrays=False)
    figure, _ = matshow3d(blended, frame_dim=-1, channel_dim=0, figsize=(2.56, 2.56), frames_per_row=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=100)
    matplotlib.pyplot.close(figure)
    picture = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
    return picture.reshape(*SIZE, 4)[..., :3].permute(2, 0, 1)[None] / 255


def _rgb(grey: torch.Tensor) -> torch.Tensor:
    return grey[None].expand(3, -1, -1)


def _tiles(volume: torch.Tensor) -> torch.Tensor:
    x, y = volume.shape[2:4]
    tiles = volume.flip(2, 3).reshape(1, 3, x, y, 8, 8).permute(0, 1, 4, 3, 5, 2)
    return tiles.reshape(1, 3, 8 * y, 8 * x)


def _reduced(picture: torch.Tensor) -> torch.Tensor:
    return F.interpolate(picture, size=SIZE, mode="bilinear", antialias=True)


GRADIENT: dict[str, Pictures] = {"plain": plain, "fused": fused, "fused, straight through": straight_through}
FORWARD: dict[str, Pictures] = {
    "forward: plain": plain,
    "forward: fused": fused,
    "forward: torchvision": torchvision_masks,
    "forward: MONAI": monai_blend,
}
NAMES = (*GRADIENT, *FORWARD)


def inputs(device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A CT and probabilities, at random."""
    torch.manual_seed(0)
    image = torch.rand(1, 1, *SHAPE, device=device)
    return image, torch.randn(1, len(ORGANS) + 1, *SHAPE, device=device).softmax(1).requires_grad_()


def way(name: str, device: str) -> Callable[[], None]:
    """One montage of a contestant, with its gradient or without."""
    image, probabilities = inputs(device)

    def with_gradient() -> None:
        probabilities.grad = None
        GRADIENT[name](image, probabilities).sum().backward()

    @torch.no_grad()
    def forward() -> None:
        FORWARD[name](image, probabilities)

    return with_gradient if name in GRADIENT else forward


def peak(name: str, device: str) -> dict[str, float]:
    """Memory of a montage; for a process of its own."""
    once = way(name, device)
    if torch.device(device).type == "cpu":
        once()  # what libraries hold for good, and the gradient that all must build
    return peak_of_calls(once, device, calls=1)


def main(rounds: int = 10, device: str = "cuda" if torch.cuda.is_available() else "cpu") -> None:
    """Time the contestants in turns; see the head of the file.

    Args:
        rounds: turns of each contestant that count.
        device: cpu or cuda.
    """
    matplotlib.use("agg")
    image, probabilities = inputs(device)
    with torch.no_grad():
        difference = float((plain(image, probabilities) - fused(image, probabilities)).abs().max())
    peaks = {name: in_own_process(peak, name, device) for name in NAMES}
    seconds = take_turns({name: way(name, device) for name in NAMES}, rounds, device)
    middle = {name: statistics.median(times) for name, times in seconds.items()}
    libraries = min(middle[name] for name in ("forward: torchvision", "forward: MONAI"))
    report(
        "montage_cuda" if torch.device(device).type == "cuda" else "montage",
        "a montage of 168 x 168 x 64 voxels and 13 channels at 256 x 256 pixels",
        reference="plain",
        seconds=seconds,
        peaks=peaks,
        aims=[
            aim("plain to fused, forward and backward", middle["plain"] / middle["fused"], at_least=5),
            aim("best of torchvision and MONAI to fused, forward", libraries / middle["forward: fused"], at_least=5),
            aim("largest difference of a pixel, plain and fused", difference, at_most=1 / 255),
        ],
        device=device,
    )


if __name__ == "__main__":
    fire.Fire(main)
