from __future__ import annotations

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import CacheDataset, DataLoader, MetaTensor
from monai.engines import SupervisedTrainer
from monai.losses import DiceCELoss, DiceLoss
from monai.transforms import Compose
from torch import nn

from custom_components.anatomy import INDEX, NUM_CLASSES, ORGAN_NAMES, annotated_channels
from custom_components.losses import (
    MultiSourcedDiceLoss,
    inverse_size_weights,
    organ_volumes,
    organ_weights,
    prepare_batch,
)

MONAI_OPTIONS = {"softmax": True, "to_onehot_y": True, "include_background": False}


def random_case(batch: int = 2, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, NUM_CLASSES, 6, 5, 4, generator=generator)
    label = torch.randint(0, NUM_CLASSES, (batch, 1, 6, 5, 4), generator=generator)
    return logits, label


def value_and_gradient(loss, logits, target) -> tuple[torch.Tensor, torch.Tensor]:
    logits = logits.clone().requires_grad_()
    value = loss(logits, target)
    value.backward()
    return value.detach(), logits.grad


def sources(*label_sets) -> torch.Tensor:
    return torch.tensor([annotated_channels(label_set) for label_set in label_sets])


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.5, *[1.0] * 8, 0.0]])
@pytest.mark.parametrize("empty", [None, "gallbladder"])
def test_with_full_labels_it_is_the_dice_loss_of_monai(weights, empty):
    logits, label = random_case()
    if empty:
        label[label == INDEX[empty]] = 0
    expected = value_and_gradient(DiceLoss(weight=weights, **MONAI_OPTIONS), logits, label)
    for target in (label, (label.float(), sources("abdomen12", "abdomen12"))):
        found = value_and_gradient(MultiSourcedDiceLoss(weights=weights), logits, target)
        torch.testing.assert_close(found, expected)


def test_with_cross_entropy_and_full_labels_it_is_the_dice_ce_loss_of_monai():
    logits, label = random_case()
    expected = value_and_gradient(DiceCELoss(lambda_ce=0.7, **MONAI_OPTIONS), logits, label)
    found = value_and_gradient(MultiSourcedDiceLoss(cross_entropy_weight=0.7), logits, label)
    torch.testing.assert_close(found, expected)


def test_each_case_counts_the_organs_of_its_own_source():
    logits, label = random_case()
    annotated = sources(["spleen"], "amos")
    each_organ = DiceLoss(reduction="none", **MONAI_OPTIONS)(logits, label).flatten(1)
    expected = (each_organ[0, 0] + each_organ[1, annotated[1, 1:]].mean()) / 2
    torch.testing.assert_close(MultiSourcedDiceLoss()(logits, (label, annotated)), expected)


def test_merged_cross_entropy_is_cross_entropy_of_the_summed_probabilities():
    logits, label = random_case()
    annotated = sources(["spleen", "liver"], "amos")
    probability = logits.softmax(1)
    merged = probability * annotated[:, :, None, None, None]
    merged[:, 0] += (probability - merged).sum(1)
    cross_entropy = -merged.gather(1, label * annotated.gather(1, label.flatten(1)).view(label.shape)).log().mean()
    found = [MultiSourcedDiceLoss(cross_entropy_weight=weight)(logits, (label, annotated)) for weight in (0.0, 1.0)]
    torch.testing.assert_close(found[1] - found[0], cross_entropy)


@settings(max_examples=20, deadline=None)
@given(st.sets(st.sampled_from(ORGAN_NAMES), min_size=1, max_size=11), st.integers(0, 100))
def test_organs_that_are_not_annotated_are_not_taught_as_background(names, seed):
    logits, label = random_case(batch=1, seed=seed)
    annotated = sources(names)
    merged = ~annotated[0]
    merged[0] = True
    # The same merged probability, split in another way over background and the unannotated organs.
    other_split = logits.clone()
    split = torch.rand(1, int(merged.sum()), *logits.shape[2:]).log().log_softmax(1)
    other_split[:, merged] = split + logits[:, merged].logsumexp(1, keepdim=True)
    hidden = label.clone()
    hidden[~annotated[0][label]] = 0

    loss = MultiSourcedDiceLoss(cross_entropy_weight=1.0)
    expected = loss(logits, (label, annotated))
    torch.testing.assert_close(loss(other_split, (label, annotated)), expected)
    torch.testing.assert_close(loss(logits, (hidden, annotated)), expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_computes_in_float32_under_autocast(dtype):
    logits, label = random_case()
    logits = logits.to(dtype)
    loss = MultiSourcedDiceLoss(cross_entropy_weight=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(logits, label)
    assert found.dtype == torch.float32
    assert found == loss(logits.float(), label)


def test_takes_meta_tensors_and_gives_a_plain_one():
    logits, label = random_case()
    found = MultiSourcedDiceLoss()(MetaTensor(logits), (MetaTensor(label), sources("btcv", "btcv")))
    assert type(found) is torch.Tensor


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"pred": torch.zeros(1, 12, 4, 4, 4)},
            r"pred has shape \(1, 12, 4, 4, 4\), expected \(B, 13, ...\)",
        ),
        ({"label": torch.zeros(1, 4, 4, 4)}, r"label has shape \(1, 4, 4, 4\), expected \(1, 1, 4, 4, 4\)"),
        ({"label": torch.full((1, 1, 4, 4, 4), 13)}, "label holds 13 to 13, expected 0 to 12"),
        ({"label": torch.full((1, 1, 4, 4, 4), -1)}, "label holds -1 to -1"),
        ({"label": torch.full((1, 1, 4, 4, 4), 0.5)}, "label holds fractions"),
        ({"label": torch.full((1, 1, 4, 4, 4), torch.nan)}, "label holds nan"),
        ({"annotated": torch.ones(13)}, r"annotated has shape \(13,\), expected \(1, 13\)"),
        ({"annotated": torch.eye(13)[:1]}, "annotated names no organ"),
    ],
)
def test_errors_tell_what_was_found_and_expected(change, message):
    pred = change.get("pred", torch.zeros(1, 13, 4, 4, 4))
    label = change.get("label", torch.zeros(1, 1, 4, 4, 4))
    annotated = change.get("annotated", torch.ones(1, 13))
    with pytest.raises(ValueError, match=message):
        MultiSourcedDiceLoss()(pred, (label, annotated))


@pytest.mark.parametrize(
    "weights", [[1.0] * 13, [-1.0] * 12, [float("nan")] * 12, {"spleen": 1.0}, dict.fromkeys("abc", 1.0)]
)
def test_wrong_weights_are_refused(weights):
    with pytest.raises(ValueError, match="weights"):
        MultiSourcedDiceLoss(weights=weights)


def test_weights_by_name_are_weights_by_channel():
    logits, label = random_case()
    by_name = dict(zip(reversed(ORGAN_NAMES), range(12, 0, -1), strict=True))
    found = MultiSourcedDiceLoss(weights=by_name)(logits, label)
    assert found == MultiSourcedDiceLoss(weights=range(1, 13))(logits, label)


def test_inverse_size_weights_follow_the_annotated_volumes():
    labels = [torch.arange(13).repeat(2), torch.arange(13)]
    volumes = organ_volumes(labels, [annotated_channels(["spleen"]), annotated_channels("abdomen12")])
    assert volumes[1].tolist() == [1.0] * 12
    assert volumes[0, 0] == 2
    weights = inverse_size_weights(pd.DataFrame(volumes, columns=list(ORGAN_NAMES)), power=2)
    assert weights[1] / weights[0] == pytest.approx(1.5**2)
    assert sum(weights) == pytest.approx(12)
    with pytest.raises(ValueError, match="no voxel of right_kidney"):
        inverse_size_weights(volumes[:1])


def test_organ_weights_are_what_the_configuration_asks_for():
    label = torch.arange(13).repeat_interleave(2)[None]
    label[0, 0] = 1  # three voxels of spleen, two of each other organ
    cached = CacheDataset([{"label": label, "annotated": sources("abdomen12")[0]}], Compose([]), progress=False)
    assert organ_weights("equal", cached) is None
    assert organ_weights([2.0] * 12, cached) == [2.0] * 12
    weights = organ_weights("inverse_size", cached)
    assert weights[1] / weights[0] == pytest.approx(1.5)
    by_name = dict.fromkeys(ORGAN_NAMES, 1.0) | {"pancreas": 3.0}
    assert MultiSourcedDiceLoss(weights=organ_weights(by_name, cached)).weights[10] == 3.0
    with pytest.raises(SystemExit, match="weights has 11 numbers, expected 12"):
        organ_weights([1.0] * 11, cached)
    with pytest.raises(SystemExit, match="organ_weights is 'inverse', expected equal, inverse_size or 12 numbers"):
        organ_weights("inverse", cached)


def test_prepare_batch_gives_what_the_batch_holds():
    image, label = torch.zeros(1, 1, 4, 4, 4), torch.ones(1, 1, 4, 4, 4)
    annotated = sources("amos")
    assert prepare_batch({"image": image})[1] is None
    assert prepare_batch({"image": image, "annotated": annotated})[1] is None
    assert torch.equal(prepare_batch({"image": image, "label": label})[1], label)
    found = prepare_batch({"image": image, "label": label, "annotated": annotated}, torch.device("cpu"))
    assert torch.equal(found[1][0], label)
    assert torch.equal(found[1][1], annotated)


def toy_case(seed: int, label_set="abdomen12") -> dict:
    """Twelve small cubes; the image holds the bits of the organ's number, with noise."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.zeros(1, 10, 10, 10, dtype=torch.long)
    for channel in range(1, NUM_CLASSES):
        x, y, z = torch.randint(0, 8, (3,), generator=generator).tolist()
        label[0, x : x + 3, y : y + 3, z : z + 3] = channel
    bits = torch.stack([(label[0] >> bit) & 1 for bit in range(4)]).float()
    image = bits + 0.1 * torch.randn(bits.shape, generator=generator)
    annotated = sources(label_set)[0]
    return {"image": image, "label": torch.where(annotated[label], label, 0), "annotated": annotated}


def train_and_measure_dice(cases: list[dict]) -> torch.Tensor:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv3d(4, 32, 1), nn.ReLU(), nn.Conv3d(32, NUM_CLASSES, 1))
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=30,
        train_data_loader=DataLoader(cases, batch_size=8),
        network=network,
        optimizer=torch.optim.Adam(network.parameters(), 3e-2),
        loss_function=MultiSourcedDiceLoss(cross_entropy_weight=1.0),
        prepare_batch=prepare_batch,
        decollate=False,
    ).run()
    case = toy_case(100)
    pred = network(case["image"][None]).argmax(1)
    found, truth = ((x == torch.arange(1, 13).view(-1, 1, 1, 1)).flatten(1).float() for x in (pred, case["label"]))
    return 2 * (found * truth).sum(1) / (found.sum(1) + truth.sum(1))


@pytest.fixture
def one_thread():
    """Threads cost more than they bring where every operation is tiny."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_two_sources_teach_all_organs_where_naive_labels_do_not():
    label_sets = [["spleen"]] * 7 + [ORGAN_NAMES[1:]]
    cases = [toy_case(seed, label_sets[seed % 8]) for seed in range(16)]
    naive = [{key: case[key] for key in ("image", "label")} for case in cases]
    assert train_and_measure_dice(cases).min() > 0.8
    assert train_and_measure_dice(naive)[1:].max() < 0.5
