"""An app for MONAI Label with the bundles of this project: the reader gets the case with the worst QA score first."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import monailabel
from lib.qa_scoring import QAScoring
from lib.qa_strategy import UncertainCode, WorstScore
from lib.qa_training import CODES, DiscriminatorTrainTask
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask
from monailabel.utils.others.generic import strtobool

DISCRIMINATOR = "qa_discriminator"
SEGMENTERS = ("qa_semi_seg", "baseline_seg")
"""Bundles that segment, the better one first."""

logger = logging.getLogger(__name__)


class QAApp(MONAILabelApp):
    """The bundles below `model` in the app's folder, as tasks of a server; and QA scores that order the work.

    Settings of `--conf`: `models`, names of bundles with commas, by default all that are there; `segmenter`, the one
    that segments what has no label yet when cases are scored, by default `qa_semi_seg`, then `baseline_seg`; `codes`,
    the file of codes that the discriminator learns from, by default `codes.csv` in the folder of studies;
    `skip_trainers`.

    Raises:
        SystemExit: a bundle is not there, the bundles are of different versions, or a setting names a bundle that
            cannot do it; one line.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.bundles = _bundles(Path(app_dir) / "model", conf.get("models"))
        sys.path.insert(0, str(next(iter(self.bundles.values()))))  # the package that they carry
        from custom_components.bundle_root import checked_root

        for path in self.bundles.values():
            checked_root(path)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name=f"MONAILabel - QA codes ({monailabel.__version__})",
            description="Segmentation of abdominal organs, scored as people would code it",
            version=monailabel.__version__,
        )

    def init_infers(self) -> dict[str, InferTask]:
        """The bundles with weights."""
        tasks = {name: BundleInferTask(str(path), self.conf) for name, path in self.bundles.items()}
        return {name: task for name, task in tasks.items() if task.is_valid()}

    def init_trainers(self) -> dict[str, TrainTask]:
        """All bundles; the discriminator learns from codes."""
        if strtobool(self.conf.get("skip_trainers", "false")):
            return {}
        kinds = {DISCRIMINATOR: DiscriminatorTrainTask}
        conf = {"codes": str(Path(self.studies) / CODES), **self.conf} if self._has_folder() else self.conf
        tasks = {name: kinds.get(name, BundleTrainTask)(str(path), conf) for name, path in self.bundles.items()}
        return {name: task for name, task in tasks.items() if task.is_valid()}

    def init_strategies(self) -> dict[str, Strategy]:
        """Those of MONAI Label that need no scores, and ours."""
        return {
            "worst_qa_score": WorstScore(),
            "uncertain_qa_code": UncertainCode(),
            "random": Random(),
            "first": First(),
        }

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """The scoring that the strategies need, if there are a discriminator and a network that segments."""
        wanted, able = self.conf.get("segmenter"), [name for name in self.bundles if name != DISCRIMINATOR]
        if wanted and wanted not in able:
            raise SystemExit(f"error: --conf segmenter is {wanted!r}, expected one of {', '.join(able)}")
        names = [wanted] if wanted else SEGMENTERS
        segmenter = next((name for name in names if name in self._infers), None)
        if DISCRIMINATOR not in self._infers or segmenter is None:
            logger.warning("no QA scores: they need weights of %s and of %s", DISCRIMINATOR, " or ".join(names))
            return {}
        return {"qa_score": QAScoring(self, segmenter=segmenter, discriminator=DISCRIMINATOR)}

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Answer as MONAI Label does; the discriminator gets the label that is kept, also of a linked image."""
        store = datastore or self.datastore()
        wants_label = request.get("model") == DISCRIMINATOR and not request.get("label")
        if wants_label and self._has_folder() and request.get("image") in store.list_images():
            request = {**request, "label": _kept_label(request["image"], request.get("label_tag"), store)}
        return super().infer(request, datastore)

    def _has_folder(self) -> bool:
        """Whether the studies are files; a server's lie in a folder of copies, none of them a link."""
        return Path(self.studies).is_dir()


def _kept_label(image: str, tag: Any, datastore: Datastore) -> str:
    from custom_components.label_server import label_tags, no_label

    tags, kept = label_tags(tag), datastore.get_labels_by_image_id(image)
    found = next((one for one in tags if one in kept), None)
    if found is None:
        raise no_label(image, tags)
    return datastore.get_label_uri(kept[found], found)


def _bundles(folder: Path, names: str | None) -> dict[str, Path]:
    found = {path.parent.parent.name: path.parent.parent for path in sorted(folder.glob("*/configs/metadata.json"))}
    wanted = [name.strip() for name in names.split(",")] if names else list(found)
    missing = [name for name in wanted if name not in found]
    if missing or not wanted:
        raise SystemExit(
            f"error: {folder}: no bundle {', '.join(missing) or 'at all'}: "
            "package them with `python ci/package_bundles.py` and unzip them there"
        )
    return {name: found[name] for name in wanted}
