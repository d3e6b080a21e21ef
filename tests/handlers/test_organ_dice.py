import torch
from monai.engines import SupervisedEvaluator
from monai.handlers import MeanDice, from_engine

from custom_components.handlers.organ_dice import OrganDice


def test_each_organ_that_a_case_has_gets_its_mean_dice():
    label = torch.zeros(1, 1, 8, 8, 8)
    label[..., :4, :, :] = 6
    label[..., 4:, :4, :] = 1
    pred = label.clone()
    pred[..., 4:, :2, :] = 0
    evaluator = SupervisedEvaluator(
        device="cpu",
        val_data_loader=[{"image": pred, "label": label}],
        network=torch.nn.Identity(),
        key_val_metric={
            "val_mean_dice": MeanDice(
                include_background=False, num_classes=13, output_transform=from_engine(["pred", "label"])
            )
        },
        val_handlers=[OrganDice()],
    )
    evaluator.run()
    metrics = evaluator.state.metrics
    assert metrics["dice_liver"] == 1
    assert abs(metrics["dice_spleen"] - 2 / 3) < 1e-6
    assert "dice_pancreas" not in metrics
