"""Time and memory of the montage at the size of the discriminator, fused against the plain way.

    python benchmarks/montage.py [--repeats 10] [--device cpu]

Forward and backward at 168 x 168 x 64 with 13 channels. The plain way colours the volume, tiles it and interpolates.
The two take turns, so that what else the machine does falls on both. Memory is the highest that the process rises above
what it held before; the gradient of the segmentation, which both must build, is also taken off.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
import torch.nn.functional as F

from custom_components.anatomy import ORGANS
from custom_components.transforms.montage import montage

SHAPE, SIZE, ALPHA = (168, 168, 64), (256, 256), 0.4
COLOURS = torch.tensor([organ.colour for organ in ORGANS], dtype=torch.float32) / 255


def plain(image: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """Colour the volume, tile, interpolate."""
    organs = probabilities[:, 1:]
    colour = torch.einsum("bcxyz,ck->bkxyz", organs, COLOURS.to(organs))
    volume = (1 - ALPHA * organs.sum(1, keepdim=True)) * image + ALPHA * colour
    x, y = volume.shape[2:4]
    tiles = volume.flip(2, 3).reshape(1, 3, x, y, 8, 8).permute(0, 1, 4, 3, 5, 2)
    return F.interpolate(tiles.reshape(1, 3, 8 * y, 8 * x), size=SIZE, mode="bilinear", antialias=True)


def fused(image: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """What the project uses."""
    return montage(image, probabilities, size=SIZE)


def straight_through(image: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """The same with the hard result shown."""
    return montage(image, probabilities, size=SIZE, straight_through=True)


Way = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
WAYS: dict[str, Way] = {"plain": plain, "fused": fused, "fused, straight through": straight_through}


def wait(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds(way: Way, image: torch.Tensor, probabilities: torch.Tensor) -> tuple[float, float]:
    """Forward and backward."""
    probabilities.grad = None
    start = wait(image.device)
    picture = way(image, probabilities)
    middle = wait(image.device)
    picture.sum().backward()
    return middle - start, wait(image.device) - middle


def inputs(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    image = torch.rand(1, 1, *SHAPE, device=device)
    return image, torch.randn(1, len(ORGANS) + 1, *SHAPE, device=device).softmax(1).requires_grad_()


def peak_mib(name: str, device: str) -> float:
    """How far the memory in use rises above that of the inputs, in MiB; to be run in a process of its own."""
    way, (image, probabilities) = WAYS[name], inputs(torch.device(device))
    small = probabilities.detach()[..., :16, :16, :].clone().requires_grad_()
    way(image[..., :16, :16, :], small).sum().backward()  # what libraries hold for good
    gc.collect()
    if image.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        way(image, probabilities).sum().backward()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # Linux: sets the peak to what is in use now
    before = resident_kib("VmRSS")
    way(image, probabilities).sum().backward()
    return (resident_kib("VmHWM") - before) / 2**10


def resident_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    image, probabilities = inputs(device)
    with torch.no_grad():
        difference = (plain(image, probabilities) - fused(image, probabilities)).abs().max()
    print(f"largest difference of a pixel: {float(difference):.1e}; torch uses {torch.get_num_threads()} threads")

    times: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(arguments.repeats + 1):
        for name, way in WAYS.items():
            times[name].append(seconds(way, image, probabilities))
    gradient = probabilities.numel() * probabilities.element_size() / 2**20
    peaks = {}
    for name in WAYS:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            peaks[name] = pool.submit(peak_mib, name, arguments.device).result()
    both = {name: statistics.median(sum(pair) for pair in pairs[1:]) for name, pairs in times.items()}
    print(f"{'':24}  forward  backward     both  ratio      peak  without the gradient  ratio")
    for name, pairs in times.items():
        forward, backward = (1000 * statistics.median(pair[part] for pair in pairs[1:]) for part in (0, 1))
        faster = both["plain"] / both[name]
        own, plains = peaks[name] - gradient, peaks["plain"] - gradient
        print(
            f"{name:24} {forward:5.0f} ms  {backward:5.0f} ms {1000 * both[name]:5.0f} ms {faster:6.1f}  "
            f"{peaks[name]:4.0f} MiB              {own:4.0f} MiB {plains / own:6.1f}"
        )


if __name__ == "__main__":
    main()
