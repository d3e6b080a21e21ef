"""A review of a cohort: what the server answers, whoever asks."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from custom_components.data.case_files import sha256_of
from custom_components.review import ratings
from custom_components.review.cohort import Cohort
from custom_components.review.helper import Helper
from custom_components.review.layers import read_geometry
from custom_components.review.pictures import picture_file
from custom_components.review.ratings import Conflict, Saved
from custom_components.review.store import Item, Store
from custom_components.review.turns import Plan, Turn, Turns, disagreements


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
        self._drawing = Lock()

    def settle(self) -> None:
        """Find out which of the rated files have changed since the review was open last."""
        rated = "is_there AND fault = '' AND sha256 = '' AND EXISTS (SELECT 1 FROM event WHERE event.item = item.item)"
        for item in self.store.items(rated):
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
            fault = "" if made_from else "a file is gone"
            if made_from != item.made_from and item.segmentation and not fault:
                fault = self.helper.run("drawing:redraw", self.cohort, item)
            item = replace(item, made_from=made_from, fault=fault, item=item.item)
            self.store.run(
                "UPDATE item SET made_from = ?, fault = ?, sha256 = '' WHERE item = ?", made_from, fault, item.item
            )
            if fault:
                raise LookupError(fault)
            return self._note_digest(item)

    def version(self, turn: Turn, item: Item) -> str:
        """A word that stands for what is shown at a place, and tells nobody what it is or where else it is shown."""
        text = f"{turn.rater}\n{turn.place}\n{item.sha256}"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()[:24]

    def following(self, rater: str, after: int, count: int, *, adjudication: bool = False) -> list[dict[str, Any]]:
        """What the page shows next; items that cannot be shown any more are passed over."""
        for _ in range(100):
            turns = self.turns.following(rater, after, count, adjudication=adjudication)
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
            LookupError: it cannot be read, and is not shown any more until the next start.
            Conflict: it is not what the page asks for any more.
        """
        item = self.shown(turn, version)
        try:
            return picture_file(self.cohort, item, layer).read_bytes()
        except KeyError:
            raise
        except (LookupError, OSError) as error:
            fault = str(error) if isinstance(error, LookupError) else f"its picture: {error.strerror}"
            self.store.run("UPDATE item SET fault = ? WHERE item = ?", fault, item.item)
            raise LookupError(fault) from None

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
            ValueError: CT or segmentation cannot be read.
        """
        item = self._with_volume(turn, version)
        geometry = read_geometry(picture_file(self.cohort, item, "ct"))
        place = geometry.place(x, y) if geometry else None
        return self.helper.run("volumes:planes", item, self.cohort.label_set(item), place)

    def plane(self, turn: Turn, version: str, plane: str, index: int, layer: str, window: str) -> bytes:
        """The PNG of a plane, see `custom_components.review.volumes.Volume.png`."""
        item = self._with_volume(turn, version)
        return self.helper.run("volumes:plane", item, self.cohort.label_set(item), plane, index, layer, window)

    def nifti(self, turn: Turn, version: str, layer: str) -> bytes:
        """A CT or its organs as NIfTI, see `custom_components.review.volumes.Volume.nifti`."""
        item = self._with_volume(turn, version)
        return self.helper.run("volumes:nifti", item, self.cohort.label_set(item), layer)

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
        return {"done": done, "total": total, "to_decide": len(self.to_decide())}

    def results(self) -> dict[str, Any]:
        """Counts, pace and agreement, see `custom_components.review.results.results`."""
        return self.helper.run("results:results", self.store.path, len(self.to_decide()))

    def to_decide(self) -> list[int]:
        """Items on which raters disagree."""
        return disagreements(self.store, 1 if self.rules.adjudicate else 2)

    def _note_digest(self, item: Item) -> Item:
        digest = sha256_of(item.rated_file)
        self.store.run("UPDATE item SET sha256 = ? WHERE item = ?", digest, item.item)
        return replace(item, sha256=digest)
