"""The command `python -m custom_components cycle`: rounds of segmenting, coding and learning."""

from __future__ import annotations


def cycle(
    config: str,
    *,
    output_dir: str | None = None,
    rounds: int | None = None,
    learner: str | None = None,
    dry_run: bool = False,
) -> str:
    """Segment, have people code, train the discriminator, learn from the codes, and again; print every command.

    What was done before is not done again, so that an interrupted cycle goes on with the same command. Where codes are
    missing it stops with exit code 3, and says how many and which.

    Args:
        config: YAML of the settings; see the documentation of the bundle qa_semi_seg.
        output_dir: instead of the one in the file.
        rounds: instead of the number in the file.
        learner: published, refreshed, approved, ranked or organs, instead of the one in the file.
        dry_run: print the commands and run none.
    """
    from custom_components.learning.cycle import run_cycle
    from custom_components.learning.cycle_settings import read_settings
    from custom_components.options import flag

    settings = read_settings(config, output_dir=output_dir, rounds=rounds, learner=learner)
    return run_cycle(settings, dry_run=flag(dry_run, "dry_run"))
