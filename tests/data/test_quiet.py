"""Libraries are silent about a file only as long as it is read."""

from __future__ import annotations

import contextlib
import logging
import warnings
from pathlib import Path

import numpy as np
import pytest
from dicom_files import write_series
from pydicom import config

from custom_components.data.quiet import silent_loggers, silent_pydicom
from custom_components.intake.check_image import check_image
from custom_components.intake.found import Found, Image
from custom_components.intake.headers import read_headers

NAMES = ("pydicom", "highdicom", "nibabel.global", "monai.data.nvimgcodec_pydicom_plugin")


def levels() -> list[int]:
    return [logging.getLogger(name).level for name in NAMES]


def test_what_is_silent_speaks_again_after_an_error(caplog: pytest.LogCaptureFixture):
    before = levels(), config.settings.reading_validation_mode
    with contextlib.suppress(KeyError), silent_pydicom(), silent_loggers("nibabel.global"):
        for name in ("pydicom", "nibabel.global"):
            logging.getLogger(name).error("Secret^Name")
        warnings.warn("Secret^Name", stacklevel=1)
        raise KeyError
    assert (levels(), config.settings.reading_validation_mode) == before
    logging.getLogger("pydicom").error("heard")
    assert caplog.messages == ["heard"]


def test_intake_leaves_the_levels_of_loggers_as_they_were(tmp_path: Path):
    before = levels()
    write_series(tmp_path, np.zeros((4, 4, 4)))
    paths = tuple(sorted(map(str, tmp_path.iterdir())))
    assert not any(header.fault for header in read_headers(paths))
    check_image(Image("a", paths, Found("DICOM")))
    assert levels() == before
