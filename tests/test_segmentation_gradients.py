"""Gradients at the logits of a segmentation without labels."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from custom_components.inferers import AutocastInferer
from custom_components.segmentation_gradients import AnchorGradient, QAScoreGradient
from custom_components.transforms.montage import montage

SIZE = (24, 24)
FLOAT32 = AutocastInferer(cpu_bfloat16=False)


def discriminator(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4 * 22 * 22, 1))


def case(batch: int = 2) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(batch, 1, 10, 12, 4), torch.randn(batch, 13, 10, 12, 4)


def score_of(network: nn.Module, image: Tensor, logits: Tensor, **options: object) -> Tensor:
    return network(montage(image, logits.softmax(1), size=SIZE, **options)).flatten()  # type: ignore[arg-type]


@pytest.mark.parametrize("straight_through", [False, True])
def test_gradient_is_that_of_the_squared_score_through_montage_and_softmax(straight_through: bool):
    network, (image, logits) = discriminator(), case()
    found = QAScoreGradient([network], size=SIZE, straight_through=straight_through, inferer=FLOAT32)(image, logits)
    logits.requires_grad_()
    scores = score_of(network, image, logits, straight_through=straight_through)
    loss = scores.square().mean()
    loss.backward()
    torch.testing.assert_close(found.gradient, logits.grad)
    torch.testing.assert_close(found.loss, loss.detach())
    torch.testing.assert_close(found.score, scores.detach())


def test_ensemble_is_the_mean_of_its_members():
    networks, (image, logits) = [discriminator(0), discriminator(1)], case()
    both = QAScoreGradient(networks, size=SIZE, inferer=FLOAT32)(image, logits)
    each = [QAScoreGradient([network], size=SIZE, inferer=FLOAT32)(image, logits) for network in networks]
    torch.testing.assert_close(both.gradient, (each[0].gradient + each[1].gradient) / 2)
    torch.testing.assert_close(both.loss, (each[0].loss + each[1].loss) / 2)
    torch.testing.assert_close(both.score, (each[0].score + each[1].score) / 2)


def test_no_gradient_at_or_below_the_floor():
    network, (image, logits) = discriminator(), case()
    with torch.no_grad():
        low, high = sorted(score_of(network, image, logits).tolist())
    worst = int(score_of(network, image, logits).argmax())
    gradient = QAScoreGradient([network], size=SIZE, target=low - 1, floor=(low + high) / 2)(image, logits).gradient
    assert gradient[worst].abs().sum() > 0
    assert gradient[1 - worst].abs().sum() == 0


def test_only_uncertain_voxels_get_a_gradient():
    network, (image, logits) = discriminator(), case()
    logits[:, 3, :5] += 20
    found = QAScoreGradient([network], size=SIZE, uncertainty=0.1)(image, logits).gradient
    every = QAScoreGradient([network], size=SIZE)(image, logits).gradient
    assert every[:, :, :5].abs().sum() > 0
    assert found[:, :, :5].abs().sum() == 0
    assert torch.equal(found[:, :, 5:], every[:, :, 5:])


def test_target_decides_the_direction():
    network, (image, logits) = discriminator(), case(batch=1)
    score = QAScoreGradient([network], size=SIZE)(image, logits).score
    above, below = (
        QAScoreGradient([network], size=SIZE, target=float(score) + side, inferer=FLOAT32)(image, logits).gradient
        for side in (1, -1)
    )
    torch.testing.assert_close(above, -below, rtol=1e-3, atol=1e-9)


def test_jitter_changes_the_gradient_and_follows_the_seed():
    gradient, (image, logits) = QAScoreGradient([discriminator()], size=SIZE, jitter=1.0), case()
    gradients = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        gradients.append(gradient(image, logits).gradient)
    assert torch.equal(gradients[0], gradients[1])
    assert not torch.equal(gradients[0], gradients[2])


def test_discriminator_gets_no_gradient_and_is_in_eval_mode():
    network, (image, logits) = discriminator().train(), case()
    QAScoreGradient([network], size=SIZE)(image, logits)
    assert not network.training
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


def test_anchor_is_the_divergence_from_the_teacher():
    teacher, (image, logits) = nn.Conv3d(1, 13, 3, padding=1), case()
    found = AnchorGradient(teacher, FLOAT32)(image, logits)
    logits.requires_grad_()
    wanted = teacher(image).softmax(1).detach()
    loss = F.kl_div(logits.log_softmax(1), wanted, reduction="none").sum(1).mean()
    loss.backward()
    torch.testing.assert_close(found.loss, loss.detach())
    torch.testing.assert_close(found.gradient, logits.grad)
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_anchor_teacher_is_in_eval_mode_at_each_call_and_gets_no_gradient():
    teacher, (image, logits) = nn.Sequential(nn.Conv3d(1, 13, 3, padding=1), nn.Dropout(0.5)), case()
    anchor = AnchorGradient(teacher, FLOAT32)
    found = []
    for _ in range(3):
        teacher.train()  # as a validation of the running average may leave it
        found.append(anchor(image, logits).gradient)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jitter": -0.1}, "jitter is -0.1, expected a number from 0 to 4"),
        ({"jitter": float("inf")}, "jitter is inf, expected a number from 0 to 4"),
        ({"floor": float("nan")}, "floor is nan, expected a finite number"),
        ({"target": float("inf")}, "target is inf, expected a finite number"),
        ({"target": "0"}, "target is '0', expected a finite number"),
        ({"uncertainty": 1.5}, "uncertainty is 1.5, expected a number from 0 to 1"),
        ({"discriminators": []}, "discriminators is empty, expected at least one network"),
    ],
)
def test_what_cannot_be_is_refused(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        QAScoreGradient(**{"discriminators": [discriminator()], **options})
