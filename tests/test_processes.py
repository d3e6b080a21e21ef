"""How the processes of torchrun meet."""

from __future__ import annotations

import pytest

from custom_components.processes import join_processes


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, "RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "MASTER_ADDR, MASTER_PORT"),
    ],
)
def test_a_process_without_torchrun_is_told_to_use_it(
    given: dict[str, str], missing: str, monkeypatch: pytest.MonkeyPatch
):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=f"^error: {missing} not set: start several processes with torchrun"):
        join_processes("gloo")
