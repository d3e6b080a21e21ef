from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from custom_components.report.comparison import compare_codes, shares
from custom_components.report.comparison_plots import Bars, draw_shares, draw_transitions
from custom_components.report.qa_plots import COLOURS
from custom_components.report.validation_curve import best_epoch, draw_curves, read_curve

FOUND = compare_codes([2, 2, 2, 1, 0, 0], [0, 1, 2, 0, 0, 2])


def fits(figure: Figure) -> None:
    """No text lies outside of the picture."""
    figure.savefig(io.BytesIO())
    width, height = figure.canvas.get_width_height()
    for axes in figure.axes:
        for text in [*axes.texts, *axes.get_yticklabels(), axes.title]:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= width
            assert box.y1 <= height


def test_no_share_is_above_all():
    every = shares([0, 0, 9]), shares([9, 0, 0])
    figure = draw_shares([Bars(name, one, False) for name, one in zip("ab", every, strict=True)])
    assert [max(axes.get_xticks()) for axes in figure.axes] == [1.0] * 3


def test_bars_are_the_shares_with_their_intervals():
    figure = draw_shares([Bars("Baseline", FOUND.before, True), Bars("QA", FOUND.after, False)])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["Baseline  (6)", "QA  (6)"]
    for code, axes in enumerate(figure.axes):
        before, after = axes.patches
        assert (before.get_width(), after.get_width()) == (FOUND.before[code].share, FOUND.after[code].share)
        assert before.get_y() < after.get_y()
        assert axes.yaxis_inverted()
        assert after.get_facecolor()[:3] == pytest.approx(to_rgb(COLOURS[code]))
        assert before.get_facecolor()[:3] != to_rgb(COLOURS[code])
        ends = np.array([segment[:, 0] for segment in axes.collections[0].get_segments()])
        intervals = [(share.low, share.high) for share in (FOUND.before[code], FOUND.after[code])]
        assert ends == pytest.approx(np.array(intervals))
    texts = [text.get_text() for text in figure.axes[2].texts]
    assert texts == ["50.0 %  (3)", "33.3 %  (2)"]
    fits(figure)


def test_long_names_shares_of_0_and_1_and_many_sets_fit():
    sets = [Bars(f"a method with a long name $x^2$ /seed{n}", shares([0, 0, 9]), n == 0) for n in range(12)]
    fits(draw_shares(sets))


def test_transitions_show_every_count_and_colour_better_and_worse_apart():
    figure = draw_transitions([("a", FOUND.table)])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == [str(count) for count in FOUND.table.ravel()]
    picture = axes.images[0].get_array()
    better, worse = picture[2, 0], picture[0, 2]
    assert better[1] > better[0]  # green
    assert worse[0] > worse[2]  # orange
    fits(figure)
    fits(draw_transitions([(f"method {n}", FOUND.table) for n in range(4)]))


CURVE = "epoch,train_loss,val_rmse,val_mean_dice\n1,3,0.5,0.2\n2,2,,\n3,1,0.3,0.9\n4,1,0.4,0.8\n"


def test_a_curve_shows_the_measure_that_chooses_the_epoch_with_an_arrow_at_it(tmp_path: Path):
    path = tmp_path / "learning_curve.csv"
    path.write_text(CURVE)
    curve = read_curve(path)
    assert (curve.name, curve.metrics, best_epoch(curve, "val_rmse")) == ("learning_curve.csv", ("val_rmse",), (3, 0.3))
    (axes,) = draw_curves([curve]).axes
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[1, 0.5], [3, 0.3], [4, 0.4]]
    assert [text.xy for text in axes.texts] == [(3, 0.3)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["learning_curve.csv: best 0.3, epoch 3"]


def test_several_measures_and_trainings_have_panels_and_lines(tmp_path: Path):
    path = tmp_path / "learning_curve.csv"
    path.write_text(CURVE)
    curves = [read_curve(path, name=name, metrics=("val_rmse", "val_mean_dice")) for name in ("one", "two")]
    upper, lower = draw_curves(curves).axes
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("val rmse", "val mean dice")
    stars = [line.get_xydata().tolist() for line in lower.lines if line.get_marker() == "*"]
    assert stars == [[[3, 0.9]], [[3, 0.9]]]


@pytest.mark.parametrize(
    ("text", "metrics", "said"),
    [
        ("epoch,train_loss\n1,2\n", (), "columns are epoch, train_loss, expected val_rmse or val_mean_dice"),
        (CURVE, ("val_score",), "columns are epoch, train_loss, val_rmse, val_mean_dice, expected val_score"),
        ("step,val_rmse\n1,2\n", (), "columns are step, val_rmse, expected epoch"),
        ("epoch,val_rmse\n1,\n", (), "column val_rmse is empty, expected a number in a line at least"),
        ("", (), "no table"),
    ],
)
def test_what_is_no_curve_is_said_in_one_line(text: str, metrics: tuple[str, ...], said: str, tmp_path: Path):
    path = tmp_path / "curve.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as error:
        read_curve(path, metrics=metrics)
    assert str(error.value).startswith(f"{path}: ")
    with pytest.raises(ValueError, match=r"absent.csv: No such file or directory"):
        read_curve(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (",0.4", "epoch is empty, expected a whole number"),
        ("1.5,0.4", "epoch is 1.5, expected a whole number"),
        ("one,0.4", "epoch is 'one', expected a number"),
        ("inf,0.4", "epoch is 'inf', expected a number"),
        ("2,low", "val_rmse is 'low', expected a number"),
        ("2,inf", "val_rmse is 'inf', expected a number"),
    ],
)
def test_a_bad_cell_of_a_curve_is_named_with_its_line(line: str, said: str, tmp_path: Path):
    path = tmp_path / "curve.csv"
    path.write_text(f"epoch,val_rmse\n1,0.5\n\n{line}\n3,\n\n")
    with pytest.raises(ValueError, match=f"^{path}, line 4: {said}$"):
        read_curve(path)
    path.write_text("epoch,val_rmse\n1,0.5\n\n2,0.4\n3,\n\n")
    assert best_epoch(read_curve(path), "val_rmse") == (2, 0.4)
