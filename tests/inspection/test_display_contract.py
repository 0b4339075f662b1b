"""What every display promises: scikit-learn's conventions for displays."""

import inspect
import re
import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from estimators import assert_same, configured, detector, rows
from inspected import heights, variational
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from test_common import entries, sections

from skae import AutoencoderTransformer, VAESampler, inspection
from skae.inspection import (
    FeatureDisplay,
    ImputationDisplay,
    LatentDisplay,
    LossCurveDisplay,
    OutlierDisplay,
    PreferredInputDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TableDisplay,
    TopActivationDisplay,
)

DISPLAYS = {
    "reconstruction": lambda m, X, **kw: ReconstructionDisplay.from_estimator(m, X, n_samples=3, **kw),
    "feature": lambda m, X, **kw: FeatureDisplay.from_estimator(m, units=range(5), **kw),
    "top": lambda m, X, **kw: TopActivationDisplay.from_estimator(m, X, n_samples=3, **kw),
    "preferred": lambda m, X, **kw: PreferredInputDisplay.from_estimator(m, X, max_iter=3, random_state=0, **kw),
    "latent": lambda m, X, **kw: LatentDisplay.from_estimator(m, X, n_points=3, **kw),
    "sample": lambda m, X, **kw: SampleDisplay.from_estimator(m, n_samples=3, random_state=0, **kw),
    "loss": lambda m, X, **kw: LossCurveDisplay.from_estimator(m, **kw),
}
every_display = pytest.mark.parametrize("make", [pytest.param(f, id=n) for n, f in DISPLAYS.items()])


def axes_of(display):
    return np.atleast_1d(display.ax_ if hasattr(display, "ax_") else display.axes_)


@pytest.fixture(params=["images", "rows"])
def case(request):
    """A model that can do everything, its data, and how to draw them."""
    data = load_digits().data[:120] if request.param == "images" else rows()
    estimator = make_pipeline(MinMaxScaler(), variational()).fit(data)
    return estimator, data, {"image_shape": (8, 8)} if request.param == "images" else {}


@every_display
def test_a_new_figure_and_axes_of_the_callers(make, case):
    estimator, data, shape = case
    shape = {} if make is DISPLAYS["loss"] else shape
    display = make(estimator, data, **shape)
    assert isinstance(display.figure_, Figure)
    axes = axes_of(display)
    assert all(isinstance(ax, Axes) and ax.figure is display.figure_ for ax in axes.flat)
    n_figures = len(plt.get_fignums())

    again = display.plot(ax=axes if axes.size > 1 else axes[0])  # into the axes that there are
    assert again is display
    assert all(one is other for one, other in zip(axes_of(display).flat, axes.flat, strict=True))

    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    assert display.plot(ax=left).figure_ is figure
    assert all(ax.figure is figure for ax in axes_of(display).flat)
    assert right.axison
    assert not right.has_data()
    figure.canvas.draw()
    bare = Figure()  # one that pyplot does not know, with axes placed by hand
    assert display.plot(ax=bare.add_axes((0.1, 0.1, 0.8, 0.8))).figure_ is bare
    bare.canvas.draw()
    assert len(plt.get_fignums()) == n_figures + 1
    if axes.size > 1:
        with pytest.raises(ValueError, match=rf"ax holds 1 axes, but the display has {axes.size}"):
            display.plot(ax=[right])


@every_display
def test_nothing_is_shown_closed_seeded_or_set(make, case, monkeypatch):
    estimator, data, _ = case
    for name in ("show", "close", "ion"):
        monkeypatch.setattr(plt, name, lambda *_, **__: pytest.fail("a display does not do that"))
    settings = dict(mpl.rcParams)
    before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
    Z, copy = estimator.transform(data), data.copy()
    make(estimator, data)
    assert dict(mpl.rcParams) == settings
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_equal(before[1], np.random.get_state())  # noqa: NPY002
    assert_same(estimator.transform(data), Z)
    assert_same(data, copy)
    monkeypatch.undo()


@every_display
def test_without_matplotlib(make, monkeypatch):
    tabular = make_pipeline(StandardScaler(), variational()).fit(rows())
    display = make(tabular, rows())
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    name = type(display).__name__
    with pytest.raises(ImportError, match=rf'{name}.from_estimator .*"skae\[plot\]"'):
        make(tabular, rows())
    with pytest.raises(ImportError, match=rf'{name}.plot .*"skae\[plot\]"'):
        display.plot()


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, skae.inspection; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_table_of_contents():
    displays = {name for name in inspection.__all__ if name.endswith("Display")}
    displays -= {"ImputationDisplay", "OutlierDisplay", "TableDisplay"}  # of other estimators: see their own files
    assert len(displays) == len(DISPLAYS)
    assert all(hasattr(inspection, name) for name in inspection.__all__)


@every_display
@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame, sparse.csr_matrix])
def test_containers(make, container):
    data = rows()
    frame = container is not sparse.csr_matrix
    table = container(data, [f"f{i}" for i in range(5)]) if container is pl.DataFrame else container(data)
    table = table.add_prefix("f") if container is pd.DataFrame else table
    scaler = StandardScaler(with_mean=frame)
    if make is DISPLAYS["sample"]:
        pipe = make_pipeline(scaler, variational())
    else:
        pipe = make_pipeline(scaler, configured(AutoencoderTransformer))
    if frame:
        pipe.set_output(transform="pandas" if container is pd.DataFrame else "polars")
    display = make(pipe.fit(table), table)
    plain = make(clone(pipe).set_output(transform="default").fit(data), data)
    for one, other in zip(axes_of(display).flat, axes_of(plain).flat, strict=True):
        assert_allclose(heights(one), heights(other), rtol=1e-6, atol=1e-9)
        for line, twin in zip(one.lines, other.lines, strict=True):
            assert_allclose(line.get_ydata(), twin.get_ydata(), rtol=1e-6)
    if frame and make not in (DISPLAYS["latent"], DISPLAYS["loss"]):
        names = [text.get_text() for text in axes_of(display).flat[-1].get_xticklabels()]
        assert names == [f"f{i}" for i in range(5)]


@every_display
def test_parameters_that_do_not_exist_are_refused_before_anything_is_computed(make):
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        make(object(), rows(), colour="red")


@every_display
def test_every_parameter_of_plot_is_one_of_from_estimator(make, case):
    estimator, data, _ = case
    display = make(estimator, data)
    plot, whole = (inspect.signature(f).parameters for f in (display.plot, display.from_estimator))
    assert {name: p.default for name, p in plot.items()}.items() <= {
        n: p.default for n, p in whole.items()
    }.items()


@every_display
def test_tensors_under_array_api_dispatch(make):
    data, estimator = rows(), variational()
    plain = make(clone(estimator).fit(data), data)
    with config_context(array_api_dispatch=True):
        display = make(estimator.fit(torch.tensor(data)), torch.tensor(data))
    for one, other in zip(axes_of(display).flat, axes_of(plain).flat, strict=True):
        assert_allclose(heights(one), heights(other), rtol=1e-6, atol=1e-9)


@every_display
def test_names_with_dollars_are_no_formulas(make):
    """Two of them would be: this one no formula that can be set, so that drawing would fail."""
    X = pd.DataFrame(rows(), columns=[f"US$_$ {number}" for number in range(5)])
    make(configured(VAESampler).fit(X), X).figure_.canvas.draw()


def test_names_with_dollars_in_tables():
    X = pd.DataFrame(rows(), columns=[f"US$_$ {number}" for number in range(5)]).assign(word="US$_$")
    TableDisplay.from_tables(X, X).figure_.canvas.draw()
    numbers = X.drop(columns="word")
    LatentDisplay.from_estimator(configured(VAESampler).fit(numbers), numbers, X["word"]).figure_.canvas.draw()
    OutlierDisplay.from_estimator(detector().fit(numbers), numbers, X["word"]).figure_.canvas.draw()
    holes = numbers.mask(np.random.default_rng(0).random(numbers.shape) < 0.2)
    ImputationDisplay.from_estimator(SimpleImputer().fit(holes), holes).figure_.canvas.draw()


def public_callables():
    for name in inspection.__all__:
        value = getattr(inspection, name)
        yield name, value
        if inspect.isclass(value):
            for member, function in inspect.getmembers(value, callable):
                if not member.startswith("_"):
                    yield f"{name}.{member}", function


@pytest.mark.parametrize(("name", "function"), [*public_callables()])
def test_docstrings_list_the_parameters(name, function):
    parts = sections(function.__doc__)
    documented = entries(parts["Parameters"])
    signature = {k: v for k, v in inspect.signature(function).parameters.items() if k != "self"}
    assert list(documented) == list(signature)
    for parameter, (kind, description) in documented.items():
        assert description or parameter in ("im_kw", "bar_kw")  # described together with line_kw
        default = re.search(r"default=(.+)$", kind)
        stated = inspect.Parameter.empty if default is None else eval(default[1])
        assert stated == signature[parameter].default, parameter
    assert "Returns" in parts or inspect.isclass(function)
    assert "." in name or ">>>" in parts["Examples"]
