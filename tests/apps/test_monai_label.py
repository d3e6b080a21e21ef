"""All bundles in a real server of MONAI Label: its own app for bundles, and ours. Slow: installs MONAI Label once."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bundle_runs import arguments
from monai_label_server import monai_label_python, sample_app, serving, write_studies
from packaged import NAMES, ROOT, bare_environment, package, unzip, write_weights

pytestmark = pytest.mark.slow
ALL = ",".join(NAMES)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages")
    done = package(folder / "zips", write_weights(folder / "weights", *NAMES))
    assert done.returncode == 0, done.stderr
    return unzip(folder / "zips", folder / "bundles")


@pytest.fixture
def stock(bundles: Path, tmp_path: Path) -> Path:
    """The app of MONAI Label, with our bundles."""
    app = sample_app(tmp_path / "apps")
    shutil.copytree(bundles, app / "model", dirs_exist_ok=True)
    return app


@pytest.fixture
def ours(bundles: Path, tmp_path: Path) -> Path:
    """Our app, with our bundles."""
    app = tmp_path / "monai_label"
    shutil.copytree(ROOT / "apps" / "monai_label", app, ignore=shutil.ignore_patterns("model", "__pycache__"))
    shutil.copytree(bundles, app / "model")
    return app


@pytest.fixture
def studies(cohort: Path, tmp_path: Path) -> Path:
    return write_studies(cohort, tmp_path / "studies")


def labels_of(content: bytes, folder: Path) -> np.ndarray:
    path = folder / f"{hashlib.sha256(content).hexdigest()[:8]}.nii.gz"
    path.write_bytes(content)
    return np.asarray(nib.load(path).dataobj)


def digest(app: Path, name: str) -> str:
    return hashlib.sha256((app / "model" / name / "models" / "model.pt").read_bytes()).hexdigest()


def by_urgency(scores: dict[str, dict], key: Callable[[float], float]) -> list[str]:
    return sorted(scores, key=lambda name: (key(scores[name]["score"]), name))


def test_all_bundles_work_in_the_app_of_monai_label(stock: Path, bundles: Path, studies: Path, tmp_path: Path):
    with serving(stock, studies, tmp_path / "log.txt", models=ALL) as server:
        info = server.info()
        assert set(info["models"]) == set(info["trainers"]) == set(NAMES)
        first = {}
        for name in ("baseline_seg", "qa_semi_seg"):
            words = arguments(
                "inferring",
                Path("configs/inference.yaml"),
                dataset_dir=studies,
                output_dir=tmp_path / name,
                num_workers=0,
            )
            command = [str(monai_label_python()), "-m", "monai.bundle", *words]
            done = subprocess.run(command, cwd=bundles / name, env=bare_environment(), capture_output=True, text=True)
            assert (tmp_path / name / "phantom_test_000").is_dir(), done.stderr
            answer = server.infer(name, "phantom_test_000")
            assert answer.status_code == 200, server.log.read_text()[-3000:]
            first[name] = labels_of(answer.content, tmp_path)
            run = np.asarray(nib.load(tmp_path / name / "phantom_test_000" / "phantom_test_000_seg.nii.gz").dataobj)
            assert np.array_equal(first[name], run)
            assert len(np.unique(run)) > 3
            before = digest(stock, name)
            answer = server.train(name)
            assert answer.status_code == 200, server.log.read_text()[-3000:]
            assert digest(stock, name) != before
            second = labels_of(server.infer(name, "phantom_test_000").content, tmp_path)
            assert not np.array_equal(first[name], second)  # by the new weights
            first[name] = second
        scored = server.infer("qa_discriminator", "phantom_train_000", output="json").json()
        assert scored["code"] in (0, 1, 2)
        assert scored["interval"] is None or scored["interval"][0] <= scored["interval"][1]
        assert isinstance(scored["score"], float)
        truth = np.asarray(nib.load(studies / "labels" / "final" / "phantom_train_000.nii.gz").dataobj)
        assert np.array_equal(labels_of(server.infer("qa_discriminator", "phantom_train_000").content, tmp_path), truth)
        assert server.infer("qa_discriminator", "phantom_test_000").status_code == 500
        wanted = "case phantom_test_000: no segmentation to score, expected a label with the tag final or original"
        assert server.says(wanted)
    with serving(stock, studies, tmp_path / "again.txt", models=ALL) as server:  # what training left is no trap
        for name, labels in first.items():
            assert np.array_equal(labels_of(server.infer(name, "phantom_test_000").content, tmp_path), labels)


def test_our_app_offers_the_worst_case_first(ours: Path, studies: Path, tmp_path: Path):
    with serving(ours, studies, tmp_path / "log.txt") as server:
        info = server.info()
        assert set(info["models"]) == set(info["trainers"]) == set(NAMES)
        assert {"worst_qa_score", "uncertain_qa_code"} <= set(info["strategies"])
        unscored = server.next_case("first")["id"]
        assert unscored.startswith(("phantom_test", "phantom_unlabeled"))
        scores = server.score()
        assert sorted(scores) == ["phantom_test_000", "phantom_test_001", "phantom_unlabeled_000"]
        assert sorted(path.name for path in (studies / "labels" / "original").iterdir()) == [
            f"{name}.nii.gz" for name in sorted(scores)
        ]
        assert server.score() == {}  # nothing new
        worst = by_urgency(scores, lambda score: -score)
        free = [name for name in worst if name != unscored]  # one was offered, if by another strategy
        first = server.next_case("worst_qa_score")
        assert first["id"] == free[0]
        assert first["qa_score"]["code"] == scores[free[0]]["code"]
        assert server.next_case("uncertain_qa_code")["id"] == free[1]
        assert server.next_case("worst_qa_score")["id"] == worst[0]  # now that all were offered
        doubt = by_urgency(scores, lambda score: min(abs(score - limit) for limit in (0.5, 1.5)))
        assert server.next_case("uncertain_qa_code")["id"] == doubt[0]
        (studies / "codes.csv").write_text("case_id,code\n" + "".join(f"{name},{k}\n" for k, name in enumerate(worst)))
        before = digest(ours, "qa_discriminator")
        answer = server.train("qa_discriminator", val_split=0.34)
        assert answer.status_code == 200, server.log.read_text()[-3000:]
        assert digest(ours, "qa_discriminator") != before
        again = server.score()  # by the new weights
        assert sorted(again) == sorted(scores)
        worst = by_urgency(again, lambda score: -score)
        shutil.copy(studies / "labels" / "original" / f"{worst[0]}.nii.gz", studies / "labels" / "final")
        for _ in range(40):  # until the server sees the file
            if (case := server.next_case("worst_qa_score"))["id"] != worst[0]:
                break
            time.sleep(0.5)
        assert case["id"] == worst[1]


def test_images_that_are_links_are_scored_and_learned_from(ours: Path, studies: Path, tmp_path: Path):
    (tmp_path / "archive").mkdir()
    (studies / "labels" / "original").mkdir()
    for number, path in enumerate(sorted(studies.glob("phantom_train_*.nii.gz"))):
        target = path.rename(tmp_path / "archive" / f"series{number}.nii.gz")
        path.symlink_to(target)
        shutil.move(studies / "labels" / "final" / path.name, studies / "labels" / "original")
    names = [path.name.removesuffix(".nii.gz") for path in sorted(studies.glob("phantom_train_*.nii.gz"))]
    label = hashlib.sha256((studies / "labels" / "original" / f"{names[0]}.nii.gz").read_bytes()).hexdigest()
    digests = [label, "0" * 64, *("" for _ in names[2:])]
    rows = [f"{name},{number % 3},{digest}\n" for number, (name, digest) in enumerate(zip(names, digests, strict=True))]
    (tmp_path / "codes.csv").write_text("case_id,code,segmentation_sha256\n" + "".join(rows))
    with serving(ours, studies, tmp_path / "log.txt", codes=str(tmp_path / "codes.csv")) as server:
        assert server.infer("qa_discriminator", names[0], output="json").json()["code"] in (0, 1, 2)
        assert server.infer("qa_discriminator", "phantom_test_000", output="json").status_code == 500
        assert server.says("case phantom_test_000: no segmentation to score, expected a label with the tag final or")
        answer = server.train("qa_discriminator", val_split=0.34)
        assert answer.status_code == 200, server.log.read_text()[-3000:]
        assert server.says(f"case_id {names[1]!r}: segmentation_sha256 is '0+', expected [0-9a-f]+ of {names[1]}")


def test_settings_that_cannot_be_end_the_start_with_a_line_that_says_so(ours: Path, studies: Path, tmp_path: Path):
    able = "baseline_seg, qa_semi_seg"
    for conf, wanted in (
        ({"segmenter": "baseline-seg"}, f"error: --conf segmenter is 'baseline-seg', expected one of {able}$"),
        ({"models": "baseline"}, f"error: {ours}/model: no bundle baseline: package them with "),
    ):
        with (
            pytest.raises(AssertionError, match=rf"(?m)^SystemExit: {wanted}"),
            serving(ours, studies, tmp_path / "log.txt", **conf),
        ):
            pass


def test_bundles_of_different_versions_are_refused(stock: Path, ours: Path, studies: Path, tmp_path: Path):
    for app in (stock, ours):
        init = app / "model" / "qa_semi_seg" / "custom_components" / "__init__.py"
        init.write_text(re.sub('__version__ = ".*"', '__version__ = "9.0.0"', init.read_text()))
    carried = (
        rf"{stock}/model/qa_semi_seg carries custom_components 9\.0\.0 \(\w+\), but .* is loaded: use bundles of one"
    )
    with serving(stock, studies, tmp_path / "log.txt", models=ALL) as server:
        assert server.infer("baseline_seg", "phantom_test_000").status_code == 200
        assert server.infer("qa_semi_seg", "phantom_test_000").status_code == 500
        assert server.says(carried)
        assert server.infer("baseline_seg", "phantom_test_000").status_code == 200
    with (
        pytest.raises(AssertionError, match=r"error: .*qa_semi_seg carries custom_components 9\.0\.0"),
        serving(ours, studies, tmp_path / "ours.txt"),
    ):
        pass
