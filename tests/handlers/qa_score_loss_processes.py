"""Train with the QA-score loss in one process, or in several under torchrun, and save the weights of each."""

import argparse
import os
from pathlib import Path

import ignite.distributed as idist
import torch
import torch.distributed as dist
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedTrainer
from test_qa_score_loss import FLOAT32, Broken, Discriminator, handler, labelled, loss, small_unet, weights
from torch.utils.data import Sampler


class Share(Sampler):
    """The cases of one process, so that the batches of all together are those of one process."""

    def __init__(self, cases: int) -> None:
        self.cases = cases

    def __iter__(self):
        return iter(range(idist.get_rank(), self.cases, idist.get_world_size()))

    def __len__(self) -> int:
        return self.cases // idist.get_world_size()


def counted_exchange(buckets: list[int], bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """Exchange gradients as DistributedDataParallel does by default, and note the number of the bucket.

    At once: a future with a callback in Python that ends in a thread of gloo's may abort the process at its end.
    """
    buckets.append(bucket.index())
    gradient = bucket.buffer()
    dist.all_reduce(gradient)
    exchanged: torch.futures.Future[torch.Tensor] = torch.futures.Future()
    exchanged.set_result(gradient.div_(dist.get_world_size()))
    return exchanged


class BrokenForOne(Broken):
    """NaN at the first score, in the first process only."""

    def forward(self, picture):
        self.calls += 1
        is_bad = self.calls == 1 and idist.get_rank() == 0
        return Discriminator.forward(self, picture) * (torch.nan if is_bad else 1.0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--accumulation_steps", type=int, default=1)
    parser.add_argument("--interval", type=int, default=1)
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--broken", action="store_true")
    arguments = parser.parse_args()
    if dist.is_torchelastic_launched():
        dist.init_process_group("gloo")
    processes, rank = idist.get_world_size(), idist.get_rank()
    network = small_unet()
    buckets: list[int] = []
    if processes > 1:
        network = torch.nn.parallel.DistributedDataParallel(network)
        network.register_comm_hook(buckets, counted_exchange)
    optimizer, steps = torch.optim.SGD(network.parameters(), lr=0.1), []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=2,
        train_data_loader=DataLoader(
            Dataset(labelled(arguments.cases)), batch_size=2 // processes, sampler=Share(arguments.cases)
        ),
        network=network,
        optimizer=optimizer,
        loss_function=loss,
        inferer=FLOAT32,
        decollate=False,
        accumulation_steps=arguments.accumulation_steps,
        train_handlers=[
            handler(
                BrokenForOne() if arguments.broken else Discriminator(),
                batch_size=2 // processes,
                interval=arguments.interval,
            )
        ],
    )
    trainer.run()
    found = {"weights": weights(network), "steps": len(steps), "exchanged": buckets.count(0)}
    torch.save(found, arguments.folder / f"{processes}_{rank}.pt")
    if processes > 1:
        dist.destroy_process_group()
        # a thread of gloo's that lets go of a tensor while the interpreter ends aborts the process, about one time in
        # ten ("terminate called without an active exception", no Python frame): what is tested is saved by now
        os._exit(0)


if __name__ == "__main__":
    main()
