"""Panels: names, legends and titles that neither overlap nor are cut, in new figures and in Axes of the user's."""

from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from skae.inspection import (
    ImputationDisplay,
    LatentDisplay,
    OutlierDisplay,
    PreferredInputDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TableDisplay,
)

RNG = np.random.default_rng(0)
LONG = [f"average measurement of {name} per litre" for name in ("alcohol", "ash", "hue", "proline")]


def preferred(ax, n_units=16):
    inputs, activations = RNG.random((n_units, 64)), np.ones(n_units)
    return PreferredInputDisplay(inputs, activations, activations, range(n_units), image_shape=(8, 8)).plot(ax)


def imputation(ax, names=LONG):
    columns = [RNG.normal(size=50) for _ in names]
    return ImputationDisplay(columns, columns, names, np.full(len(names), 0.5)).plot(ax)


def table(ax):
    real = pd.DataFrame({"age": [3, 5, 8, 2], "pet": ["cat", "cat", "dog", "dog"]})
    return TableDisplay.from_tables(real, real[:3], ax=ax)


def extent(part):
    """Return where a part of a figure is drawn, in pixels, with labels that belong to it."""
    return part.get_tightbbox() if hasattr(part, "get_tightbbox") else part.get_window_extent()


def overlap(one, other):
    """Tell whether two boxes overlap by more than a pixel."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return width > 1 and height > 1


def assert_apart(parts):
    for one, other in combinations(parts, 2):
        assert not overlap(extent(one), extent(other))


@pytest.mark.parametrize("make", [preferred, imputation, table])
def test_panels_in_a_subdivided_axes_do_not_overlap(make):
    figure, axes = plt.subplots(2, 2, figsize=(10, 8))
    display = make(axes[0, 1])
    figure.draw_without_rendering()
    assert_apart([*display.axes_, axes[0, 0], axes[1, 0], axes[1, 1]])
    assert all(panel.get_in_layout() for panel in display.axes_)  # of what is saved with a tight box


@pytest.mark.parametrize("y", [np.repeat(["a class", "another one"], 10), np.linspace(0, 1, 20)])
def test_a_panel_gives_room_to_what_is_beside_it(y):
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    right.set_ylabel("another panel")
    LatentDisplay(RNG.normal(size=(20, 2)), y=y).plot(left)
    figure.draw_without_rendering()
    assert_apart([left, right])
    assert left.get_in_layout()


def test_wide_legends_leave_codes_their_width():
    codes, names = RNG.normal(size=(20, 2)), np.repeat(["a", "b"], 10)
    widths = []
    for y in (names, [f"class of a rather long name {name}" for name in names]):
        display = LatentDisplay(codes, y=np.array(y)).plot()
        display.figure_.draw_without_rendering()
        widths.append(display.axes_[0].get_window_extent().width)
    assert widths[1] > 0.8 * widths[0]


def test_points_of_few_codes_are_larger():
    sizes = [LatentDisplay(RNG.normal(size=(n, 2))).plot().scatter_[0].get_sizes()[0] for n in (5, 500)]
    assert sizes[0] > sizes[1]


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_numbers_beside_a_small_grid_do_not_overlap(layout):
    figure, axes = plt.subplots(2, 2, layout=layout)
    values = np.linspace(-3.21, 3.21, 10)
    grid = RNG.random((10, 10, 16))
    options = {"grid": grid, "grid_values": (values, values), "image_shape": (4, 4)}
    display = LatentDisplay(RNG.normal(size=(20, 2)), **options).plot(axes[0, 0])
    figure.draw_without_rendering()
    labels = display.axes_[1].get_xticklabels()
    assert labels
    assert_apart(labels)


def test_names_of_which_only_the_middle_differs():
    display = imputation(None)
    names = ["…alcohol…", "…ash…", "…hue…", "…proline…"]
    assert [panel.get_xlabel() for panel in display.axes_[:-1]] == names
    bars = SampleDisplay.from_samples(pd.DataFrame(RNG.random((2, 4)), columns=LONG))
    assert [label.get_text() for label in bars.axes_[0].get_xticklabels()] == names


def test_short_names_are_written_whole():
    names = ["mean radius", "mean area"]
    assert [panel.get_xlabel() for panel in imputation(None, names).axes_[:-1]] == names


def test_names_beside_many_errors_do_not_overlap():
    display = imputation(None, [f"sensor {number}" for number in range(20)])
    display.figure_.draw_without_rendering()
    assert_apart(display.axes_[-1].get_yticklabels())


def test_names_beside_bars_take_nothing_from_histograms():
    names = [f"a feature with a long name {number}" for number in range(5)]
    reasons = RNG.random((2, 5))
    display = OutlierDisplay(RNG.normal(size=50), -2.0, RNG.random(50), [1, 2], reasons, names).plot()
    display.figure_.draw_without_rendering()
    scores, _, reason, _ = (panel.get_window_extent().width for panel in display.axes_)
    assert scores > 1.3 * reason


def test_the_label_of_a_single_image_is_not_cut():
    rows = RNG.random((1, 64))
    display = ReconstructionDisplay.from_arrays(rows, rows, image_shape=(8, 8))
    display.figure_.draw_without_rendering()
    assert all(panel.yaxis.label.get_window_extent().x0 >= 0 for panel in display.axes_[:, 0])


def test_names_below_bars_leave_them_their_height():
    names = [f"quite a long name, number {number}" for number in range(12)]
    display = SampleDisplay.from_samples(pd.DataFrame(RNG.random((3, 12)), columns=names))  # two and one
    display.figure_.draw_without_rendering()
    assert all(panel.get_window_extent().height > display.figure_.dpi for panel in display.axes_)


def test_names_of_categories_end_below_their_bars():
    names = np.array(["executive", "craft repair", "sales"] * 5)
    panel = TableDisplay.from_tables(pd.DataFrame({"job": names}), pd.DataFrame({"job": names})).axes_[0]
    panel.figure.draw_without_rendering()
    for place, label in zip(panel.get_xticks(), panel.get_xticklabels(), strict=True):
        x, _ = panel.transData.transform((place, 0))
        assert abs(label.get_window_extent().x1 - x) < 10


def test_short_names_of_categories_are_not_turned():
    labels = table(None).axes_[1].get_xticklabels()
    assert [(label.get_text(), label.get_rotation()) for label in labels] == [("cat", 0), ("dog", 0)]
