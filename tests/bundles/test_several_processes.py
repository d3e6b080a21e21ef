"""Trainings of two processes under torchrun: they learn what one process would, and one that dies is restarted."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import torch
from bundle_runs import TORCHRUN, arguments, monai_bundle, parsed

from custom_components.networks import QADiscriminator

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
SMALL = {"network_def#channels": [4, 8, 16, 32], "num_workers": 0, "val_interval": 1}
SMALL_MONTAGES = {"montage_size": [64, 64], "num_workers": 0, "val_interval": 1}

GRADIENTS = """
+imports: [$import os, $import torch, $from ignite.engine import Events]
initialize: ["$torch.set_default_dtype(torch.float64)"]
inferer: "$type('Double', (monai.inferers.SimpleInferer,), {'__call__': lambda self, image, network:
  network(image.as_subclass(torch.Tensor).double())})()"
+train#handlers:
  - "$type('Gradients', (), {'attach': lambda self, trainer: trainer.add_event_handler(Events.ITERATION_COMPLETED,
     lambda: torch.save({name: one.grad for name, one in unwrapped(@network).named_parameters()}, @gradients))})()"
"""
"""Overlay: save the gradients of the only step; networks are in float64, for float32 rounds other batches otherwise."""

KILL = """
+imports: [$import os, $import signal, $from ignite.engine import Events]
+train#handlers:
  - "$type('Kill', (), {'attach': lambda self, trainer: trainer.add_event_handler(Events.ITERATION_COMPLETED(once=3),
     lambda: os.environ['RANK'] == '1' and os.environ['TORCHELASTIC_RESTART_COUNT'] == '0'
     and os.kill(os.getpid(), signal.SIGKILL))})()"
"""
"""Overlay: the second process is killed in the middle of its second epoch, unless it was restarted."""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of a baseline and of a discriminator, at random."""
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(0)
    config = parsed(BUNDLES / "qa_semi_seg" / "configs" / "train.yaml", **{"channels": [4, 8, 16, 32]})
    torch.save(config.get_parsed_content("network_def").state_dict(), folder / "baseline.pt")
    torch.save(QADiscriminator().state_dict(), folder / "discriminator.pt")
    return {"baseline_path": folder / "baseline.pt", "discriminator_paths": folder / "discriminator.pt"}


def configs(bundle: str, *names: str) -> list[Path]:
    return [BUNDLES / bundle / "configs" / f"{name}.yaml" for name in names]


def run(files: list[Path], processes: int, restarts: int = 0, **override: object) -> subprocess.CompletedProcess:
    launcher = (*TORCHRUN, "--max_restarts", str(restarts)) if processes > 1 else ()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return monai_bundle(*arguments("training", *files, **override), launcher=launcher, env=environment)


@pytest.fixture(scope="module")
def lists(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datalist of two cases of each kind; the labels of one training case hold two organs, those of the other all."""
    datalist = json.loads((cohort / "dataset.json").read_text())
    datalist["unlabeled"] = [{"image": datalist["training"][2]["image"]}, *datalist["unlabeled"]]
    datalist = {section: cases[:2] for section, cases in datalist.items() if section in SECTIONS}
    for case in [case for cases in datalist.values() for case in cases]:
        case.update({key: str(cohort / path) for key, path in case.items()})
    datalist["training"][0]["label_set"] = ["spleen", "liver"]
    path = tmp_path_factory.mktemp("lists") / "dataset.json"
    path.write_text(json.dumps(datalist))
    return path


SECTIONS = ("training", "validation", "unlabeled")
STEPS = {
    "supervised": ("baseline_seg", ["train", "phantom"], {}),
    "semi-supervised": ("qa_semi_seg", ["train", "train_published", "phantom"], {"qa_batch_size": 2}),
}


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
def test_gradients_of_two_processes_are_those_of_one_with_the_doubled_batch(
    step: str, lists: Path, start: dict[str, Path], tmp_path: Path
):
    bundle, names, doubled = STEPS[step]
    (tmp_path / "gradients.yaml").write_text(GRADIENTS)
    common = {**SMALL, **(start if bundle == "qa_semi_seg" else {}), "datalist": lists, "max_epochs": 1}
    # the weights stay, so that the validations are of the same
    common |= {"ckpt_dir": tmp_path / "models", "learning_rate": 0}
    common |= {"gradients": f"$'{tmp_path}/' + os.environ.get('RANK', 'alone') + '.pt'"}
    for processes, more in ((1, {"train#dataloader#batch_size": 2, **doubled}), (2, {})):
        files = configs(bundle, *names, *(["multi_gpu_train"] if processes > 1 else []))
        done = run([*files, tmp_path / "gradients.yaml"], processes, output_dir=tmp_path / "out", **common, **more)
        assert done.returncode == 0, done.stderr
        (tmp_path / "out" / "learning_curve.csv").rename(tmp_path / f"{processes}.csv")
    one, *two = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("alone", 0, 1))
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    for found in two:
        difference = max(float((found[name] - one[name]).abs().max()) for name in one)
        assert difference <= 1e-9 * largest
    assert largest > 1e-3
    curves = [pd.read_csv(tmp_path / f"{processes}.csv") for processes in (1, 2)]  # means over the processes
    assert "train_qa_loss" in curves[0] or bundle == "baseline_seg"
    pd.testing.assert_frame_equal(*curves, rtol=1e-5)


@pytest.fixture(scope="module")
def rated(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Datalist of a discriminator, with the truth as segmentations and codes as they come."""
    datalist = json.loads((cohort / "dataset.json").read_text())
    lists: dict[str, list] = {"test": []}
    for section in ("training", "validation"):
        lists[section] = [
            {"case_id": f"{section}{n}", "code": n % 3, "image": str(cohort / case["image"]),
             "segmentation": str(cohort / case["label"])}
            for n, case in enumerate(datalist[section])
        ]  # fmt: skip
    path = tmp_path_factory.mktemp("rated") / "qa_dataset.json"
    path.write_text(json.dumps(lists))
    return path


TRAININGS = {
    "baseline_seg": ((), SMALL),
    "qa_semi_seg": (("train_published",), SMALL),
    "qa_discriminator": ((), {**SMALL_MONTAGES, "batch_size": 1, "imagenet_weights": "none"}),
}
"""Overlays and options of each bundle."""


@pytest.mark.slow
@pytest.mark.parametrize("bundle", TRAININGS)
def test_a_training_whose_process_was_killed_ends_with_the_same_weights_bit_for_bit(
    bundle: str, cohort: Path, rated: Path, start: dict[str, Path], tmp_path: Path
):
    (tmp_path / "kill.yaml").write_text(KILL)
    overlays, options = TRAININGS[bundle]
    files = configs(bundle, "train", *overlays, "phantom", "multi_gpu_train")
    common = {**options, "dataset_dir": cohort, "max_epochs": 3}
    common |= {"qa_semi_seg": start, "qa_discriminator": {"datalist": rated}}.get(bundle, {})

    def train(name: str, *overlays: Path, **options: object) -> subprocess.CompletedProcess:
        places = {"ckpt_dir": tmp_path / name / "models", "output_dir": tmp_path / name / "training"}
        return run([*files, *overlays], 2, **common, **places, **options)

    whole = train("whole")
    assert whole.returncode == 0, whole.stderr
    restarted = train("restarted", tmp_path / "kill.yaml", restarts=1, resume=True)
    assert restarted.returncode == 0, restarted.stderr
    assert "resumed after epoch 1" in restarted.stdout + restarted.stderr
    killed = train("by hand", tmp_path / "kill.yaml")
    assert killed.returncode != 0
    state = torch.load(tmp_path / "by hand" / "models" / "training_state.pt", weights_only=True)
    assert state["trainer"]["iteration"] == 2
    again = train("by hand", resume=True)
    assert again.returncode == 0, again.stderr
    one, *others = (
        torch.load(tmp_path / name / "models" / "training_state.pt", weights_only=True)
        for name in ("whole", "restarted", "by hand")
    )
    for other in others:
        assert other["trainer"] == one["trainer"]
        for part in ("network", "kept_network"):
            assert all(torch.equal(other[part][name], one[part][name]) for name in one[part])
    curves = [pd.read_csv(tmp_path / name / "training" / "learning_curve.csv") for name in ("whole", "restarted")]
    pd.testing.assert_frame_equal(*curves)
