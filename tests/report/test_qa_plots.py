from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from custom_components.report.qa_plots import COLOURS, draw_evaluation


def drawn(codes: list[float], scores: list[float]) -> Figure:
    names = [f"c{number}" for number in range(len(codes))]
    return draw_evaluation(pd.DataFrame({"case_id": names, "code": codes, "score": scores}))


def legend(axes) -> list[str]:
    return [] if axes.get_legend() is None else [text.get_text() for text in axes.get_legend().get_texts()]


def test_the_picture_shows_counts_shares_and_areas():
    figure = drawn([0, 0, 1, 1, 1, 2, 2], [0.1, 0.7, 1.2, 0.4, 0.3, 1.9, 1.1])
    scores, matrix, roc, precision = figure.axes
    assert [label.get_text() for label in scores.get_xticklabels()] == [
        "0 success\n(2)", "1 acceptable\n(3)", "2 gross failure\n(2)",
    ]  # fmt: skip
    assert [text.get_text() for text in matrix.texts] == [
        "1\n50%", "1\n50%", "0\n0%", "2\n67%", "1\n33%", "0\n0%", "0\n0%", "1\n50%", "1\n50%",
    ]  # fmt: skip
    assert legend(roc) == ["gross failure: 0.900", "success: 0.800"]
    assert legend(precision) == ["gross failure: 0.833", "success: 0.750"]
    assert roc.lines[0].get_color() == COLOURS[2]


def test_every_score_is_a_point_over_its_code():
    codes, scores = [0, 1, 1, 2, 2, 2], [0.5, -0.2, 2.6, 1, 1.5, 2]
    points = [collection.get_offsets() for collection in drawn(codes, scores).axes[0].collections]
    for code, found in enumerate(points):
        assert sorted(found[:, 1]) == sorted(s for c, s in zip(codes, scores, strict=True) if c == code)
        assert (np.abs(found[:, 0] - code) < 0.4).all()
    medians = [line.get_ydata()[0] for line in drawn(codes, scores).axes[0].lines if line.get_color() == "black"]
    assert medians == [0.5, 1.2, 1.5]


@pytest.mark.parametrize(
    ("codes", "scores"), [([0], [0.3]), ([2, 2], [1.9, 2.4]), ([1, 1], [0.9, 0.9]), ([0, 2], [0.7, 0.7])]
)
def test_few_cases_and_one_class_can_be_drawn(codes: list[float], scores: list[float]):
    figure = drawn(codes, scores)
    file = io.BytesIO()
    figure.savefig(file)
    with Image.open(file) as picture:
        assert picture.size == (1320, 1080)
        assert np.asarray(picture.convert("L")).std() > 10
    for axes in figure.axes[2:]:
        names, notes = [label.split(":")[0] for label in legend(axes)], [text.get_text() for text in axes.texts]
        one = len(set(codes)) == 1
        assert (names, notes) == (([], ["not defined: one code only"]) if one else (["gross failure", "success"], []))
