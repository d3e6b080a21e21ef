"""Tables of the rating page's store, an SQLite file."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

VERSION = 2
VIEWS = ("code", "flag", "rating", "done")

_TABLES = """
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- one segmentation of one case; paths never leave the server
CREATE TABLE IF NOT EXISTS item (
    item INTEGER PRIMARY KEY,
    case_id TEXT NOT NULL,
    model TEXT NOT NULL,
    image TEXT NOT NULL,
    segmentation TEXT NOT NULL,
    montage TEXT NOT NULL,
    made_from TEXT NOT NULL,
    sha256 TEXT NOT NULL DEFAULT '',
    score REAL,
    doubt REAL,
    fault TEXT NOT NULL DEFAULT '', -- why it cannot be shown
    is_there INTEGER NOT NULL DEFAULT 1,
    UNIQUE (case_id, model)
);

-- the order in which a rater would see all items, and what the rater was shown so far, place by place
CREATE TABLE IF NOT EXISTS line (
    rater TEXT NOT NULL, rank INTEGER NOT NULL, item INTEGER NOT NULL REFERENCES item,
    PRIMARY KEY (rater, rank)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS turn (
    rater TEXT NOT NULL,
    place INTEGER NOT NULL,
    item INTEGER NOT NULL REFERENCES item,
    kind TEXT NOT NULL CHECK (kind IN ('first', 'repeat', 'changed', 'adjudication')),
    PRIMARY KEY (rater, place)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS turn_item ON turn (item, rater, kind);

-- only ever appended to: what was done is taken back by a further row
CREATE TABLE IF NOT EXISTS event (
    event INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('rating', 'flag', 'undo')),
    rater TEXT NOT NULL,
    place INTEGER NOT NULL, -- of an imported one, which was not shown here, minus the item
    item INTEGER NOT NULL REFERENCES item,
    sha256 TEXT NOT NULL,
    code INTEGER CHECK (code IN (0, 1, 2)),
    seconds REAL,
    at TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    undone INTEGER UNIQUE REFERENCES event,
    UNIQUE (rater, request)
);
CREATE INDEX IF NOT EXISTS event_place ON event (rater, place, kind);
CREATE INDEX IF NOT EXISTS event_of_item ON event (item, kind, rater, code);
CREATE TRIGGER IF NOT EXISTS event_stays BEFORE UPDATE ON event
    BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;
CREATE TRIGGER IF NOT EXISTS event_is_kept BEFORE DELETE ON event
    BEGIN SELECT RAISE(ABORT, 'events are only appended'); END;

CREATE TABLE IF NOT EXISTS session (
    digest TEXT PRIMARY KEY, rater TEXT NOT NULL, at TEXT NOT NULL
) WITHOUT ROWID;

-- what stands: the last of each turn that was not taken back
CREATE VIEW IF NOT EXISTS done AS
    SELECT * FROM event AS one WHERE kind != 'undo' AND NOT EXISTS (SELECT 1 FROM event WHERE undone = one.event);
CREATE VIEW IF NOT EXISTS rating AS
    SELECT done.*, CASE WHEN done.place < 0 THEN 'imported' ELSE turn.kind END AS turn_kind
    FROM done LEFT JOIN turn USING (rater, place)
    WHERE done.kind = 'rating' AND NOT EXISTS (
        SELECT 1 FROM done AS later WHERE later.kind = 'rating' AND later.rater = done.rater
        AND later.place = done.place AND later.event > done.event
    );
CREATE VIEW IF NOT EXISTS flag AS
    SELECT done.*, turn.kind AS turn_kind FROM done JOIN turn USING (rater, place)
    WHERE done.kind = 'flag' AND NOT EXISTS (
        SELECT 1 FROM done AS later WHERE later.kind = 'flag' AND later.rater = done.rater
        AND later.place = done.place AND later.event > done.event
    );

-- ratings and flags with the columns of a CSV of codes; repeats and what was rated of another file are not among them
CREATE VIEW IF NOT EXISTS code AS
    SELECT case_id, rating.code, CASE turn_kind WHEN 'adjudication' THEN rating.rater || ' (adjudication)'
        ELSE rating.rater END AS rater, rating.seconds, rating.at AS rated_at,
        coalesce((
            SELECT reason FROM flag WHERE flag.rater = rating.rater AND flag.item = rating.item
            AND flag.sha256 = rating.sha256 AND (flag.turn_kind = 'adjudication') = (rating.turn_kind = 'adjudication')
            ORDER BY event DESC LIMIT 1
        ), rating.reason) AS reason,
        CASE segmentation WHEN '' THEN '' ELSE rating.sha256 END AS segmentation_sha256, model
    FROM rating JOIN item USING (item)
    WHERE turn_kind != 'repeat' AND rating.sha256 IN (item.sha256, '') AND NOT (
        turn_kind = 'imported' AND EXISTS ( -- a montage that was shown already when its code was taken over
            SELECT 1 FROM done WHERE done.rater = rating.rater AND done.item = rating.item AND done.place > 0
            AND done.kind = 'rating' AND done.sha256 = item.sha256
        )
    )
    UNION ALL
    SELECT case_id, NULL, flag.rater, NULL, flag.at, flag.reason,
        CASE segmentation WHEN '' THEN '' ELSE flag.sha256 END, model
    FROM flag JOIN item USING (item)
    WHERE flag.reason != '' AND flag.sha256 = item.sha256 AND NOT EXISTS (
        SELECT 1 FROM rating WHERE rating.rater = flag.rater AND rating.item = flag.item
    );
"""


def connect(path: str | Path) -> sqlite3.Connection:
    """Open a store, or make it; what is committed survives the end of the process and of the machine.

    Raises:
        ValueError: the file is no store, or one of a later version.
        OSError: it cannot be made.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        connection.row_factory = sqlite3.Row
        connection.create_function("digest", 1, _digest, deterministic=True)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found > VERSION:
            raise ValueError(f"{path}: the store has version {found}, expected {VERSION}: a later program made it")
        old = "".join(f"DROP VIEW IF EXISTS {view};" for view in VIEWS) if found < VERSION else ""
        connection.executescript(f"BEGIN IMMEDIATE; {old} {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise OSError(f"{path}: {error}") from None
        raise ValueError(f"{path}: no store of ratings: {error}") from None
    return connection


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
