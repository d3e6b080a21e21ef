"""Keep libraries from telling what is odd about a file: it may name a path or a patient."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def silent_loggers(*names: str) -> Iterator[None]:
    """Keep some loggers, and all warnings, silent for a while.

    Args:
        names: of the loggers.
    """
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def silent_pydicom() -> Iterator[None]:
    """Let pydicom and highdicom take headers that break rules, and keep them silent."""
    from pydicom import config

    settings = config.settings
    modes = settings.reading_validation_mode, settings.writing_validation_mode
    settings.reading_validation_mode = settings.writing_validation_mode = config.IGNORE
    try:
        with silent_loggers("pydicom", "highdicom"):
            yield
    finally:
        settings.reading_validation_mode, settings.writing_validation_mode = modes
