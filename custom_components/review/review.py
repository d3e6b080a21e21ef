"""A review of a cohort: what the server answers, whoever asks."""

from __future__ import annotations

import hashlib
import hmac
import math
import sys
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from custom_components.data.case_files import sha256_of
from custom_components.review import ratings
from custom_components.review.cohort import Cohort
from custom_components.review.helper import Helper
from custom_components.review.layers import read_geometry
from custom_components.review.pictures import picture_file, read_picture
from custom_components.review.ratings import Conflict, Saved
from custom_components.review.store import Item, Store
from custom_components.review.texts import printable
from custom_components.review.turns import Plan, Turn, Turns, disagreements

NOT_SHOWN = "it cannot be shown any more; the terminal tells why"


@dataclass(frozen=True)
class Rules:
    """What raters may see, and what is decided by a further look.

    Attributes:
        show_ids: case ids and models.
        show_scores: QA scores.
        adjudicate: let any disagreement be decided, not only that of 0 and 2.
        ask_reasons: ask which organs are wrong where a code is 1 or 2.
        exports: let the page export codes, which tells case ids, models and which montages were repeats.
    """

    show_ids: bool = False
    show_scores: bool = False
    adjudicate: bool = False
    ask_reasons: bool = False
    exports: bool = True


class Review:
    """A cohort, what was done to it, and what comes next.

    Args:
        store: of items, turns and events.
        cohort: whose items are in the store.
        plan: order of the items.
        rules: of blinding and adjudication.
        helper: does what takes long or much memory.
    """

    def __init__(self, store: Store, cohort: Cohort, plan: Plan, rules: Rules, helper: Helper) -> None:
        self.store, self.cohort, self.rules, self.helper = store, cohort, rules, helper
        self.turns = Turns(store, plan)
        self._secret = store.secret()
        self._drawing, self._cropping = Lock(), Lock()
        self._decisions = (-math.inf, 0.0, 0)

    def settle(self) -> None:
        """Find out which of the rated files have changed; what has is shown again, and its codes do not count."""
        rated = "is_there AND fault = '' AND EXISTS (SELECT 1 FROM event WHERE event.item = item.item)"
        for item in self.store.items(rated):
            if not item.sha256 or self.cohort.made_from(item) != item.made_from:
                with suppress(LookupError):
                    self._note_digest(item)

    def fresh(self, item: Item) -> Item:
        """An item with the digest of its file as it is now; if the file has changed, it is drawn again.

        Raises:
            LookupError: it cannot be shown any more; the text tells why.
        """
        made_from = self.cohort.made_from(item)
        if made_from == item.made_from and item.sha256 and not item.fault:
            return item
        with self._drawing:
            item = self.store.item(item.item)
            if item.fault and made_from == item.made_from:  # nothing has become better since
                raise LookupError(NOT_SHOWN)
            fault = "" if made_from else "a file is gone"
            if made_from != item.made_from and item.segmentation and not fault:
                fault = self.helper.run("drawing:redraw", self.cohort, item)
            item = replace(item, made_from=made_from, fault=fault, item=item.item)
            self.store.run(
                "UPDATE item SET made_from = ?, fault = ?, sha256 = '' WHERE item = ?", made_from, fault, item.item
            )
            if fault:
                self._tell(item, fault)
                raise LookupError(NOT_SHOWN)
            return self._note_digest(item)

    def version(self, turn: Turn, item: Item) -> str:
        """A word that stands for what is shown at a place, and tells nobody what it is or where else it is shown."""
        text = f"{turn.rater}\n{turn.place}\n{item.sha256}"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()[:24]

    def following(self, rater: str, after: int, count: int, *, adjudication: bool = False) -> list[dict[str, Any]]:
        """What the page shows next, without what cannot be shown any more or is decided already."""
        undecided = set(self.to_decide()) if adjudication else set()
        for _ in range(100):
            turns = self.turns.following(rater, after, 100 if adjudication else count, adjudication=adjudication)
            turns = [turn for turn in turns if not adjudication or turn.item in undecided][:count]
            views = [view for turn in turns if (view := self.view(turn))]
            if len(views) == len(turns):
                break
        return views

    def view(self, turn: Turn) -> dict[str, Any] | None:
        """What the page may know of a turn; None if it cannot be shown."""
        try:
            item = self.fresh(self.store.item(turn.item))
        except LookupError:
            return None
        reason, is_flagged = ratings.standing_reason(self.store, turn)
        reasons, text = ratings.reason_parts(reason)
        shown: dict[str, Any] = {
            "place": turn.place,
            "version": self.version(turn, item),
            "code": ratings.code_of(self.store, turn.rater, turn.place),
            "rating": ratings.rating_of(self.store, turn),
            "reasons": reasons,
            "text": text,
            "flagged": is_flagged,
            "layers": ["ct", "organs"] if item.segmentation else ["ct"],
            "planes": bool(item.segmentation),
            "adjudication": turn.kind == "adjudication",
        }
        if self.rules.show_ids:
            shown |= {"case_id": item.case_id, "model": item.model}
        if self.rules.show_scores and item.score is not None:
            shown["score"] = item.score
        return shown

    def picture(self, turn: Turn, version: str, layer: str) -> bytes:
        """The PNG of a layer of a montage.

        Raises:
            KeyError: there is no such layer.
            LookupError: it cannot be read or drawn again, and is not shown any more until the next start.
            Conflict: it is not what the page asks for any more.
        """
        item = self.shown(turn, version)
        try:
            try:
                return self._read(item, layer)
            except ValueError:
                if not item.segmentation:
                    raise
            self._redraw(item)  # it was taken away or broken since it was drawn
            return self._read(item, layer)
        except ValueError as error:
            self._set_aside(item, str(error))
            raise LookupError(NOT_SHOWN) from None

    def _read(self, item: Item, layer: str) -> bytes:
        with nullcontext() if item.segmentation else self._cropping:
            return read_picture(self.cohort, item, layer)

    def _redraw(self, item: Item) -> None:
        with self._drawing:
            if fault := self.helper.run("drawing:redraw", self.cohort, item):
                raise ValueError(fault)

    def shown(self, turn: Turn, version: str) -> Item:
        """The item that the page was told of.

        Raises:
            LookupError: it cannot be shown any more.
            Conflict: its file has changed since.
        """
        item = self.fresh(self.store.item(turn.item))
        if not hmac.compare_digest(self.version(turn, item).encode(), version.encode()):
            raise Conflict("changed")
        return item

    def rate(self, turn: Turn, version: str, code: int, *, request: str, **options: Any) -> Saved:
        """Store a code, see `custom_components.review.ratings.rate`; nothing is stored of a file that has changed."""
        if done := ratings.done_before(self.store, turn.rater, request):
            return done
        item = self.shown(turn, version)
        return ratings.rate(self.store, turn, code, sha256=item.sha256, request=request, **options)

    def planes(self, turn: Turn, version: str, x: float, y: float) -> dict[str, Any]:
        """What the page needs for planes: shape, voxel size, and the voxel at a place of the montage.

        Raises:
            KeyError: there is no CT.
            LookupError: CT or segmentation cannot be read.
        """
        item = self._with_volume(turn, version)
        geometry = read_geometry(picture_file(self.cohort, item, "ct"))
        return self._of_volume("planes", item, geometry.place(x, y) if geometry else None)

    def plane(self, turn: Turn, version: str, plane: str, index: int, layer: str, window: str) -> bytes:
        """The PNG of a plane, see `custom_components.review.volumes.Volume.png`; raises as `planes`."""
        return self._of_volume("plane", self._with_volume(turn, version), plane, index, layer, window)

    def nifti(self, turn: Turn, version: str, layer: str) -> bytes:
        """A CT or its organs as NIfTI, see `custom_components.review.volumes.Volume.nifti`; raises as `planes`."""
        return self._of_volume("nifti", self._with_volume(turn, version), layer)

    def _of_volume(self, function: str, item: Item, *arguments: Any) -> Any:
        try:
            return self.helper.run(f"volumes:{function}", item, self.cohort.label_set(item), *arguments)
        except ValueError as error:
            self._tell(item, str(error))
            raise LookupError("its volumes cannot be read; the terminal tells why") from None

    def _with_volume(self, turn: Turn, version: str) -> Item:
        item = self.shown(turn, version)
        if not item.segmentation:
            raise KeyError(turn.place)
        return item

    def flag(self, turn: Turn, version: str, reason: str, *, request: str) -> Saved:
        """Store what is wrong, see `custom_components.review.ratings.flag`."""
        if done := ratings.done_before(self.store, turn.rater, request):
            return done
        item = self.shown(turn, version)
        return ratings.flag(self.store, turn, reason, sha256=item.sha256, request=request)

    def progress(self, rater: str) -> dict[str, int]:
        """How many turns a rater has coded, of how many, and how many cases wait for a decision."""
        done, total = self.turns.progress(rater)
        return {"done": done, "total": total, "to_decide": self._count_to_decide()}

    def results(self) -> dict[str, Any]:
        """Counts, pace and agreement, see `custom_components.review.results.results`."""
        self.settle()
        return self.helper.run("results:results", self.store.path, len(self.to_decide()))

    def export_csv(self) -> str:
        """The codes that stand as our CSV, without those of files that have changed."""
        self.settle()
        return self.helper.run("results:export_csv", self.store.path)

    def write_export(self, output: str) -> None:
        """Write them into a file, see `custom_components.review.results.write_export`."""
        self.settle()
        self.helper.run("results:write_export", self.store.path, output)

    def to_decide(self) -> list[int]:
        """Items on which raters disagree."""
        return disagreements(self.store, 1 if self.rules.adjudicate else 2)

    def _count_to_decide(self) -> int:
        """How many items wait for a decision; of a large cohort as it was some seconds ago, so that nobody waits."""
        counted, cost, count = self._decisions
        start = time.monotonic()
        if start - counted > 50 * cost:
            count = len(self.to_decide())
            self._decisions = time.monotonic(), time.monotonic() - start, count
        return count

    def _note_digest(self, item: Item) -> Item:
        try:
            digest = sha256_of(item.rated_file)
        except OSError as error:
            self.store.run("UPDATE item SET made_from = '' WHERE item = ?", item.item)  # looked at again if it is back
            self._set_aside(item, f"{item.rated_file}: {error.strerror}")
            raise LookupError(NOT_SHOWN) from None
        self.store.run("UPDATE item SET sha256 = ? WHERE item = ?", digest, item.item)
        return replace(item, sha256=digest)

    def _set_aside(self, item: Item, fault: str) -> None:
        self.store.run("UPDATE item SET fault = ? WHERE item = ?", fault, item.item)
        self._tell(item, fault)

    @staticmethod
    def _tell(item: Item, fault: str) -> None:
        """What the browser must not know of a blinded case stands in the terminal."""
        print(f"cannot be shown: {printable(item.case_id)}: {printable(fault)}", file=sys.stderr, flush=True)
