from __future__ import annotations

import pytest
import torch

from custom_components.body_part.losses import UNIT_MM, BodyPartLoss, distance_loss, order_loss

MM = torch.tensor([[0.0, 20.0, 50.0, 90.0], [5.0, 10.0, 30.0, 100.0]])


def test_distances_do_not_mind_where_a_patient_begins():
    heights = MM / UNIT_MM + torch.tensor([[3.0], [-7.0]])
    assert float(distance_loss(heights, MM)) == pytest.approx(0, abs=1e-6)
    assert float(distance_loss(heights, MM + 100)) == pytest.approx(0, abs=1e-6)
    assert float(distance_loss(2 * heights, MM)) > 0.1


def test_order_is_worse_the_other_way_round():
    heights = MM / UNIT_MM
    assert float(order_loss(heights)) < float(order_loss(torch.zeros(2, 4))) < float(order_loss(-heights))


def test_the_loss_falls_to_the_order_where_all_is_right():
    logits = torch.tensor([[20.0], [-20.0]]).expand(2, 4)
    found = torch.stack([MM / UNIT_MM, logits], dim=-1)
    right = BodyPartLoss()(found, (MM, torch.tensor([1.0, 0.0])))
    assert float(right) == pytest.approx(0.2 * float(order_loss(MM / UNIT_MM)), abs=1e-4)
    assert float(BodyPartLoss()(found, (MM, torch.tensor([0.0, 1.0])))) > 3
