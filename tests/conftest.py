"""Fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from custom_components.data.phantom import write_cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a phantom cohort at the small grid: 4 training, 2 validation and 2 test cases."""
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(folder, training=4, validation=2, unlabeled=1, test=2, seed=0, workers=1)
    return folder
