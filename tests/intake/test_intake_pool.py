"""Processes, of which one may be killed; imports little, as each process does so again."""

from __future__ import annotations

import os
import signal

from custom_components.intake.pool import run_all


def double_or_die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def minus_one(number: int) -> int:
    return -1


def test_a_killed_process_costs_one_result_and_not_the_others():
    done = dict(run_all(double_or_die, range(4), workers=2, killed=minus_one))
    assert done == {0: 0, 1: 2, 2: -1, 3: 6}
