"""Rate, flag and take back: each is on the disk before it is said to be done, and each happens once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from custom_components.data.code_values import CODES
from custom_components.review.store import Store, now
from custom_components.review.turns import Turn

REASONS = ("liver", "right kidney", "left kidney", "spleen", "other organ", "image itself bad", "wrong body part")
"""What a rater can choose as what is wrong; the names of organs are read by `learning.named_organs`."""

LONGEST_REASON = 500
LONGEST_TURN = 3600.0
"""Seconds after which nobody looks any more."""


class Conflict(Exception):  # noqa: N818 - it is no error of the program
    """What a page wants to do does not fit what is stored: another page of the same rater was faster."""


@dataclass(frozen=True)
class Saved:
    """What is stored now.

    Attributes:
        event: number of the entry.
        place: turn that it is about.
        code: that stands for the turn now, None if it is not rated.
    """

    event: int
    place: int
    code: int | None


def rate(
    store: Store,
    turn: Turn,
    code: int,
    *,
    sha256: str,
    seconds: float,
    request: str,
    previous: int | None,
    reason: str = "",
) -> Saved:
    """Store a code of what a rater was shown.

    Args:
        store: to write to.
        turn: what was shown.
        code: 0, 1 or 2.
        sha256: of the file that was shown.
        seconds: that the rater looked.
        request: a name of this wish; a wish that comes again, because the answer was lost, is done once.
        previous: event of the rating that the page knows for this turn, None if it knows of none.
        reason: for the code, see `reason_of`.

    Raises:
        ValueError: the code or the seconds cannot be.
        Conflict: another rating was stored for this turn meanwhile.
    """
    if isinstance(code, bool) or code not in CODES:
        raise ValueError(f"code is {code!r}, expected 0, 1 or 2")
    if not 0 <= seconds < math.inf:
        raise ValueError(f"seconds is {seconds!r}, expected a number of seconds")
    with store.transaction():
        if done := done_before(store, turn.rater, request):
            return done
        standing = rating_of(store, turn)
        if standing != previous:
            raise Conflict("rated elsewhere")
        event = store.run(
            "INSERT INTO event (request, kind, rater, place, item, sha256, code, seconds, at, reason)"
            " VALUES (?, 'rating', ?, ?, ?, ?, ?, ?, ?, ?)",
            request, turn.rater, turn.place, turn.item, sha256, int(code), min(seconds, LONGEST_TURN), now(), reason,
        )  # fmt: skip
    return Saved(event, turn.place, int(code))


def reason_of(reasons: Sequence[str], text: str) -> str:
    """What is wrong, as it is stored.

    Args:
        reasons: some of `REASONS`.
        text: the rater's own words.

    Raises:
        ValueError: a reason is unknown, or the text too long.

    Example:
        >>> reason_of(["spleen", "liver"], " half of  it ")
        'liver, spleen; half of it'
    """
    if unknown := [one for one in reasons if one not in REASONS]:
        raise ValueError(f"reason is {unknown[0]!r}, expected one of {', '.join(REASONS)}")
    text = " ".join(text.split())
    if len(text) > LONGEST_REASON:
        raise ValueError(f"text has {len(text)} letters, expected at most {LONGEST_REASON}")
    return "; ".join(filter(None, [", ".join(one for one in REASONS if one in reasons), text]))


def reason_parts(reason: str) -> tuple[list[str], str]:
    """Take apart what `reason_of` has put together.

    Example:
        >>> reason_parts("liver, spleen; half of it"), reason_parts("unclear")
        ((['liver', 'spleen'], 'half of it'), ([], 'unclear'))
    """
    chosen, _, text = reason.partition("; ")
    reasons = [one for one in REASONS if one in chosen.split(", ")]
    return reasons, text if reasons else reason


def flag(store: Store, turn: Turn, reason: str, *, sha256: str, request: str) -> Saved:
    """Store what a rater says is wrong; an empty reason takes an earlier flag away.

    Args:
        store: to write to.
        turn: what was shown.
        reason: see `reason_of`.
        sha256: of the file that was shown.
        request: see `rate`.
    """
    with store.transaction():
        if done := done_before(store, turn.rater, request):
            return done
        event = store.run(
            "INSERT INTO event (request, kind, rater, place, item, sha256, at, reason)"
            " VALUES (?, 'flag', ?, ?, ?, ?, ?, ?)",
            request, turn.rater, turn.place, turn.item, sha256, now(), reason,
        )  # fmt: skip
        return Saved(event, turn.place, code_of(store, turn.rater, turn.place))


def undo(store: Store, rater: str, *, request: str, meant: int | None = None) -> Saved | None:
    """Take back the last thing that a rater did and that was not taken back, as a further entry.

    Args:
        store: to write to.
        rater: who did it.
        request: see `rate`.
        meant: event that the page means; None if it knows of none.

    Returns:
        The turn that it was about, and the code that stands there now; None if there is nothing to take back.

    Raises:
        Conflict: the rater did something else since, in another window.
    """
    with store.transaction():
        if done := done_before(store, rater, request):
            return done
        last = store.row("SELECT * FROM done WHERE rater = ? AND place > 0 ORDER BY event DESC LIMIT 1", rater)
        if last is None:
            return None
        if meant not in (None, last["event"]):
            raise Conflict("undo")
        event = store.run(
            "INSERT INTO event (request, kind, rater, place, item, sha256, at, undone)"
            " VALUES (?, 'undo', ?, ?, ?, ?, ?, ?)",
            request, rater, last["place"], last["item"], last["sha256"], now(), last["event"],
        )  # fmt: skip
        return Saved(event, last["place"], code_of(store, rater, last["place"]))


def rating_of(store: Store, turn: Turn) -> int | None:
    """The event of the rating that stands for a turn."""
    row = store.row(
        "SELECT max(event) AS event FROM done WHERE kind = 'rating' AND rater = ? AND place = ?",
        turn.rater, turn.place,
    )  # fmt: skip
    return row["event"] if row else None


def code_of(store: Store, rater: str, place: int) -> int | None:
    """The code that stands for a turn."""
    row = store.row(
        "SELECT code FROM done WHERE kind = 'rating' AND rater = ? AND place = ? ORDER BY event DESC LIMIT 1",
        rater, place,
    )  # fmt: skip
    return row["code"] if row else None


def standing_reason(store: Store, turn: Turn) -> tuple[str, bool]:
    """The reason that stands for a turn, of its flag or else of its code; and whether it is that of a flag."""
    row = store.row("SELECT reason FROM flag WHERE rater = ? AND place = ?", turn.rater, turn.place)
    if row and row["reason"]:
        return row["reason"], True
    event = rating_of(store, turn)
    row = store.row("SELECT reason FROM event WHERE event = ?", event) if event and row is None else None
    return row["reason"] if row else "", False


def done_before(store: Store, rater: str, request: str) -> Saved | None:
    """What became of a wish that was fulfilled before."""
    row = store.row("SELECT event, place FROM event WHERE request = ? AND rater = ?", request, rater)
    return Saved(row["event"], row["place"], code_of(store, rater, row["place"])) if row else None
