"""A second process for what needs torch, MONAI or statistics.

The server itself does without them: so it starts at once, takes little memory, and answers while a CT is read.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import threading
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import Any


class Helper:
    """Runs functions of `custom_components.review` in another process, one after the other; `with` ends it.

    Example:
        >>> with Helper() as helper:
        ...     helper.run("store:now")[-1]
        'Z'
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool = self._new_pool()

    def __enter__(self) -> Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():  # perhaps in the middle of a long work
            process.terminate()

    def start(self, function: str, *arguments: Any) -> Future[Any]:
        """Begin to run `module:function`, and go on."""
        return self._pool.submit(_call, function, *arguments)

    def run(self, function: str, *arguments: Any) -> Any:
        """Run `module:function` with these arguments; what it raises is raised here.

        Raises:
            OSError: the process was killed twice, perhaps for lack of memory.
        """
        for _ in range(2):
            pool = self._pool
            try:
                return pool.submit(_call, function, *arguments).result()
            except BrokenProcessPool:
                with self._lock:
                    if self._pool is pool:
                        self._pool = self._new_pool()
        raise OSError("the process that reads volumes was killed, perhaps for lack of memory")

    @staticmethod
    def _new_pool() -> ProcessPoolExecutor:
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(1, mp_context=context, initializer=_begin)


def own_pid() -> int:
    """Number of the process that runs this."""
    return os.getpid()


def _begin() -> None:
    """End with the server, even if that is killed; Ctrl-C is for the server alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    multiprocessing.set_start_method(None, force=True)  # the loaders' workers start as everywhere
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def _call(function: str, *arguments: Any) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(f"custom_components.review.{module}"), name)(*arguments)
