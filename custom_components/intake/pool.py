"""Run a function over many things in several processes, one of which may be killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run_all(
    function: Callable[[T], R],
    things: Sequence[T],
    *,
    workers: int,
    killed: Callable[[T], R],
) -> Iterator[tuple[int, R]]:
    """Give the result for each thing with its number, in the order in which they are done.

    After a process was killed the rest is done by one process at a time, so that it shows which thing needs too much.

    Args:
        function: of a module, for other processes to find; what it raises ends the run.
        things: to run it over.
        workers: processes; 0 for this one.
        killed: the result for a thing whose process was killed when it was alone.

    Example:
        >>> sorted(run_all(len, ["a", "bcd"], workers=0, killed=len))
        [(0, 1), (1, 3)]
    """
    if workers < 1 or not things:
        for number, thing in enumerate(things):
            yield number, function(thing)
        return
    left = set(range(len(things)))
    try:
        with _pool(min(workers, len(things))) as pool:
            futures = {pool.submit(function, thing): number for number, thing in enumerate(things)}
            for future in as_completed(futures):
                result = future.result()
                left.discard(futures[future])
                yield futures[future], result
    except BrokenProcessPool:
        for number in sorted(left):
            try:
                with _pool(1) as pool:
                    result = pool.submit(function, things[number]).result()
            except BrokenProcessPool:
                result = killed(things[number])
            yield number, result


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes with one thread each, as there are enough of them."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the first process, which ends the others
