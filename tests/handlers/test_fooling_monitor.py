"""A training that is watched."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedTrainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from custom_components.anatomy import INDEX
from custom_components.handlers.fooling_monitor import FooledError, FoolingMonitor, Watcher
from custom_components.handlers.training_state import TrainingState
from custom_components.inferers import AutocastInferer
from custom_components.learning.fooling import FoolingRule, Plausible, organ_findings
from custom_components.transforms.montage import in_view, montage

FLOAT32 = AutocastInferer(cpu_bfloat16=False)
SHAPE = (8, 8, 4)


class Brightness(nn.Module):
    """A score: how red the montage is, or how little."""

    def __init__(self, sign: float) -> None:
        super().__init__()
        self.sign = sign
        self.seen: list[Tensor] = []

    def forward(self, picture: Tensor) -> Tensor:
        self.seen.append(picture.clone())
        return self.sign * 100 * picture[:, :1].mean((1, 2, 3))[:, None]


def items(count: int) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    return [{"image": torch.rand(1, *SHAPE, generator=generator), "case_id": str(n)} for n in range(count)]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv3d(1, 13, 1), nn.Dropout(0.1))


def run(folder: Path, *, monitored: bool = True, epochs: int = 3, resume: bool = False, **options):
    """Train for so many epochs of 4 iterations, saving its state; give network and monitor."""
    unet = network()
    data = [{**item, "label": torch.full((1, *SHAPE), 6)} for item in items(4)]
    monitor = FoolingMonitor(
        [*items(3), {"case_id": "bad", "error": "truncated"}],
        unet,
        **{
            "output_dir": folder, "discriminators": [Brightness(1)], "watchers": [Watcher(Brightness(-1), "coronal")],
            "voxel_ml": 1.0, "interval": 2, "size": (16, 16), "inferer": FLOAT32, "rule": FoolingRule(settle=0),
            **options,
        },
    )  # fmt: skip
    state = TrainingState(folder / "state.pt", {"monitor": monitor, "network": unet}, resume=resume)
    trainer = SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=DataLoader(data, batch_size=1, shuffle=True),
        network=unet,
        optimizer=torch.optim.Adam(unet.parameters(), 0.05),
        loss_function=lambda logits, label: nn.functional.cross_entropy(logits, label[:, 0]),
        train_handlers=[monitor, state] if monitored else [],
    )
    torch.manual_seed(1)
    trainer.run()
    return unet, monitor


def test_training_is_the_same_as_without_a_monitor(tmp_path: Path):
    (with_it, _), (without, _) = run(tmp_path), run(tmp_path, monitored=False)
    assert all(map(torch.equal, with_it.state_dict().values(), without.state_dict().values()))
    assert with_it.training


def test_looks_are_of_the_start_and_every_interval(tmp_path: Path):
    unet, monitor = run(tmp_path)
    table = pd.read_csv(tmp_path / "fooling.csv")
    assert list(table["iteration"]) == [0, 1, 2, 4, 6, 8, 10, 12]
    assert table.loc[0, ["overlap", "drift"]].tolist() == [1.0, 0.0]
    assert table["drift"].is_monotonic_increasing
    assert (tmp_path / "fooling.png").stat().st_size > 5000
    assert len(list(tmp_path.glob("events.out.tfevents.*"))) == 1
    logged = EventAccumulator(str(tmp_path)).Reload().Scalars("fooling/score")
    assert [(one.step, pytest.approx(one.value)) for one in logged] == list(
        zip(table["iteration"], table["score"], strict=True)
    )
    # what a look measures
    image = items(1)[0]["image"][None]
    with torch.no_grad():
        labels = unet.eval()(image).argmax(1, keepdim=True)
    expected = montage(image, labels, size=(16, 16))
    assert any(torch.equal(picture, expected) for picture in monitor.discriminators[0].network.seen)
    coronal = montage(in_view(image, "coronal"), in_view(labels, "coronal"), size=(16, 16))
    assert any(torch.equal(picture, coronal) for picture in monitor.watchers[0].network.seen)
    with torch.no_grad():
        found = [unet(item["image"][None]).argmax(1) == INDEX["liver"] for item in items(3)]
    assert table["liver_ml"].iloc[-1] == pytest.approx(float(torch.stack(found).float().sum() / 3))


def test_the_last_look_is_at_the_end(tmp_path: Path):
    _, monitor = run(tmp_path, interval=5)
    assert [look.iteration for look in monitor.looks] == [0, 1, 2, 4, 5, 10, 12]
    assert len(pd.read_csv(tmp_path / "fooling.csv")) == 7


def test_a_later_training_is_compared_with_the_first_network(tmp_path: Path):
    _, first = run(tmp_path / "first", epochs=1)
    start = network()
    _, second = run(tmp_path / "second", epochs=1, start=start)
    assert first.looks == second.looks  # it begins from there itself
    with torch.no_grad():
        for one in start.parameters():
            one.neg_()
    _, third = run(tmp_path / "third", epochs=1, start=start)
    assert third.looks[0].score != first.looks[0].score
    assert (third.looks[0].drift, third.looks[0].overlap) == (0, 1)
    assert third.looks[-1].score == first.looks[-1].score  # the same training
    assert third.looks[-1].drift > 0.5
    assert all(torch.equal(*pair) for pair in zip(start.parameters(), third.start.parameters(), strict=True))


def falling(folder: Path) -> float:
    """The sign with which a discriminator likes what the training does."""
    _, monitor = run(folder, rule=FoolingRule(fall=1e6))
    return 1.0 if monitor.looks[-1].score < monitor.looks[0].score else -1.0


def test_the_first_interval_is_looked_at_more_closely():
    monitor = FoolingMonitor(items(1), network(), output_dir="", discriminators=[], voxel_ml=1.0, interval=50)
    assert [number for number in range(1, 151) if monitor.is_due(number)] == [1, 2, 4, 8, 16, 32, 50, 100, 150]


def test_a_run_that_only_its_own_discriminator_likes_is_flagged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    sign = falling(tmp_path / "first")
    _, monitor = run(tmp_path, discriminators=[Brightness(sign)], watchers=[Watcher(Brightness(-sign))])
    verdict = json.loads((tmp_path / "fooling.json").read_text())
    rule = {"fall": 0.1, "agreement": 0.5, "rise": 0.1, "bias": 0.08, "steepness": 6.0, "settle": 0}
    assert verdict == {"flagged": monitor.flagged, "stopped": False, "rule": rule, "cases": 3}
    assert "that of the watchers rose by" in monitor.flagged
    assert caplog.text.count("flagged, iteration") == 1


def test_a_run_is_not_flagged_if_the_watchers_agree_or_its_score_rises(tmp_path: Path):
    sign = falling(tmp_path / "first")
    for one, other in ((sign, sign), (-sign, sign)):
        _, monitor = run(tmp_path, discriminators=[Brightness(one)], watchers=[Watcher(Brightness(other))])
        assert monitor.flagged == ""
        assert json.loads((tmp_path / "fooling.json").read_text())["flagged"] is None


def test_a_flagged_run_can_be_stopped(tmp_path: Path):
    sign = falling(tmp_path / "first")
    with pytest.raises(FooledError, match=r"stopped, iteration \d+: the QA score fell by .*fooling.png shows it"):
        run(
            tmp_path,
            epochs=5,
            stop=True,
            discriminators=[Brightness(sign)],
            watchers=[Watcher(Brightness(-sign))],
        )
    table = pd.read_csv(tmp_path / "fooling.csv")
    assert table["iteration"].iloc[-1] < 20
    assert json.loads((tmp_path / "fooling.json").read_text())["stopped"] is True


def test_implausible_segmentations_flag_a_run_without_watchers(tmp_path: Path):
    sign = falling(tmp_path / "first")
    start = network().eval()
    with torch.no_grad():
        first = [start(item["image"][None]).argmax(1)[0].to(torch.uint8).numpy() for item in items(3)]
    plausible = Plausible.of([organ_findings(one, 1.0) for one in first], margin=2)
    _, monitor = run(tmp_path, discriminators=[Brightness(sign)], watchers=[], plausible=plausible)
    assert "the share of implausible segmentations rose from 0% to 100%" in monitor.flagged
    assert "watchers" not in monitor.flagged


def good_cases() -> list[dict]:
    """A quarter of each is liver."""
    label = torch.zeros(1, *SHAPE, dtype=torch.uint8)
    label[:, :2] = INDEX["liver"]
    return [{**item, "label": label} for item in items(3)]


def test_an_organ_that_swells_where_labels_are_good_flags_a_run(tmp_path: Path):
    sign = falling(tmp_path / "first")
    _, monitor = run(tmp_path, discriminators=[Brightness(sign)], watchers=[], good=good_cases())
    table = pd.read_csv(tmp_path / "fooling.csv")
    assert table["bias"].tolist() == pytest.approx(abs(table["liver_ml"] / 64 - 1).tolist())
    assert table["bias"].iloc[-1] > table["bias"].iloc[0]
    assert "an organ's volume in good cases went off from 100% to" in monitor.flagged


def test_organs_that_were_not_annotated_have_no_bias(tmp_path: Path):
    annotated = torch.arange(13) != INDEX["liver"]
    run(tmp_path, good=[{**case, "annotated": annotated} for case in good_cases()])
    assert pd.read_csv(tmp_path / "fooling.csv")["bias"].isna().all()


def test_the_last_look_and_its_flag_are_in_the_saved_state(tmp_path: Path):
    sign = falling(tmp_path / "first")
    _, monitor = run(
        tmp_path, interval=5, rule=FoolingRule(settle=10), discriminators=[Brightness(sign)],
        watchers=[Watcher(Brightness(-sign))],
    )  # fmt: skip
    assert "iteration 12" in monitor.flagged
    saved = torch.load(tmp_path / "state.pt", weights_only=True)["monitor"]
    assert (saved["looks"][-1]["iteration"], saved["flagged"]) == (12, monitor.flagged)


def test_a_training_that_goes_on_has_the_looks_of_one_that_was_never_interrupted(tmp_path: Path):
    options = {"interval": 5, "good": good_cases()}
    _, whole = run(tmp_path / "whole", epochs=5, **options)
    _, first = run(tmp_path / "parts", epochs=3, **options)
    assert first.looks[-1].iteration == 12
    _, second = run(tmp_path / "parts", epochs=5, resume=True, **options)
    assert second.looks[:6] == first.looks[:6] == whole.looks[:6]
    assert [look.iteration for look in second.looks] == [look.iteration for look in whole.looks]
    _, third = run(tmp_path / "parts", epochs=5, resume=True, **options)  # nothing is left to do
    assert third.looks == second.looks


def test_state_keeps_the_start(tmp_path: Path):
    _, monitor = run(tmp_path / "a", epochs=1, good=good_cases())
    torch.save(monitor.state_dict(), tmp_path / "state.pt")
    _, other = run(tmp_path / "b", epochs=1, interval=100)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert (other.looks, other.flagged) == (monitor.looks, monitor.flagged)


def test_without_a_case_there_is_nothing_to_watch(tmp_path: Path):
    with pytest.raises(ValueError, match="cases holds no case that can be loaded"):
        FoolingMonitor(
            [{"case_id": "a", "error": "x"}], network(), output_dir=tmp_path, discriminators=[], voxel_ml=1.0
        )
