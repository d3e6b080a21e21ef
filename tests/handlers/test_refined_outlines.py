"""Inference with refined outlines."""

import numpy as np
import torch

from custom_components.anatomy import INDEX
from custom_components.handlers.refined_outlines import LEAD, RefinedOutlines

LIVER = INDEX["liver"]


def test_logits_change_places_where_a_voxel_changes_sides_and_nowhere_else():
    image = torch.full((1, 1, 16, 16, 16), 0.2)
    image[..., 4:12, 4:12, 4:12] = 0.7
    logits = torch.randn(1, 13, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    logits[:, 0] = 5.0
    logits[:, LIVER, 4:13, 4:12, 4:12] = 9.0  # a slice too many
    before = logits.clone()
    refined = RefinedOutlines((6, 6, 6)).refined(image, logits)
    truth = np.zeros((16, 16, 16), bool)
    truth[4:12, 4:12, 4:12] = True
    assert np.array_equal(refined.argmax(1)[0].numpy() == LIVER, truth)
    assert torch.equal(logits, before)
    changed = (refined != before).any(1)[0]
    assert changed.sum() == 64 == changed[12, 4:12, 4:12].sum()
    assert (refined[0, 0, 12, 4:12, 4:12] == 9.0 + LEAD).all()
    assert (refined[0, LIVER, 12, 4:12, 4:12] == 5.0).all()


def test_a_voxel_changes_sides_also_where_two_logits_are_equal():
    image = torch.full((1, 1, 16, 16, 16), 0.2)
    image[..., 4:12, 4:12, 4:12] = 0.7
    logits = torch.zeros(1, 13, 16, 16, 16)
    logits[:, LIVER, 4:12, 4:12, 4:11] = 1.0
    logits[:, [0, LIVER], 4:12, 4:12, 11] = 1.0  # as bfloat16 gives them: the first of two equal ones is taken
    refined = RefinedOutlines((6, 6, 6)).refined(image, logits)
    assert (refined.softmax(1).argmax(1)[0, 4:12, 4:12, 4:12] == LIVER).all()
