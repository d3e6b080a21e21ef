"""Who may use the page: tokens that open it once, and sessions that outlast the server."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Callable
from threading import Lock

from custom_components.data.code_values import ADJUDICATION
from custom_components.review.store import Store, now

DAYS = 30
"""How long a session lasts at most."""

TAKEN = ("consensus", "imported")
LONGEST_NAME = 60
MOST_TOKENS = 20
"""Tokens that wait to be used; the oldest ones end."""


class Sessions:
    """Tokens and sessions of a review.

    A token is good for one use: whoever opens the page with it gets a session under a name. Sessions are kept in the
    store as digests, so that a page goes on after the server was started again.

    Args:
        store: of the review.
        announce: is told a new token each time that one was used, so that there is always one for the next rater.
    """

    def __init__(self, store: Store, announce: Callable[[str], None] = lambda _: None) -> None:
        self._store = store
        self._announce = announce
        self._tokens: list[str] = []
        self._lock = Lock()

    def new_token(self) -> str:
        """Make a token that opens the page once."""
        token = secrets.token_urlsafe(24)
        with self._lock:
            self._tokens = [*self._tokens[1 - MOST_TOKENS :], _digest(token)]
        return token

    def enter(self, token: str, rater: str) -> str | None:
        """Exchange a token for a session; None if there is no such token.

        Raises:
            ValueError: the name cannot be; the token stays good.
        """
        rater = checked_rater(rater)
        if rater in TAKEN or rater.endswith(ADJUDICATION):
            raise ValueError(f"name is {rater!r}, which means something else in files of codes, expected another one")
        wanted = _digest(token)
        with self._lock:
            known = [hmac.compare_digest(wanted, one) for one in self._tokens]  # all, whichever it is
            if not any(known):
                return None
            del self._tokens[known.index(True)]
        session = secrets.token_urlsafe(32)
        self._store.run("DELETE FROM session WHERE julianday('now') - julianday(at) > ?", DAYS)
        self._store.run("INSERT INTO session VALUES (?, ?, ?)", _digest(session), rater, now())
        self._announce(self.new_token())
        return session

    def rater_of(self, session: str) -> str | None:
        """The rater of a session; None if there is none."""
        wanted = _digest(session)
        row = self._store.row(
            "SELECT digest, rater FROM session WHERE digest = ? AND julianday('now') - julianday(at) <= ?", wanted, DAYS
        )
        return row["rater"] if row and hmac.compare_digest(row["digest"], wanted) else None

    def leave(self, session: str) -> None:
        """End a session."""
        self._store.run("DELETE FROM session WHERE digest = ?", _digest(session))


def checked_rater(name: str) -> str:
    """A rater's name without needless space.

    Raises:
        ValueError: it is empty, too long, or not in one line of letters that can be seen.

    Example:
        >>> checked_rater("  Anna  Berg ")
        'Anna Berg'
    """
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueError(f"name is {name[:80]!r}, expected 1 to {LONGEST_NAME} letters")
    return name


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
