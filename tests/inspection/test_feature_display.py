"""The weights of every layer are drawn."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
from estimators import CLASSIFIERS, CONFIGURATIONS, configured, fitted, rows
from inspected import convolutional, drawn, heights, weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skae import AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder
from skae.inspection import (
    FeatureDisplay,
)

SHAPE = (8, 8)


@pytest.fixture(scope="module", name="X")
def _images():
    return load_digits().data[:120]


@pytest.fixture(scope="module")
def model(X):
    """A pipeline on digits."""
    return make_pipeline(StandardScaler(), configured(DenoisingAutoencoder)).fit(X)


def test_first_layer_weights(X, model):
    display = FeatureDisplay.from_estimator(model, image_shape=SHAPE)
    weight, _ = weights(model[-1].encoder_[0])
    assert_array_equal(display.units, range(8))
    largest = np.abs(weight).max()
    for ax, row in zip(display.axes_, weight, strict=True):
        assert_allclose(drawn(ax), row.reshape(SHAPE))
        assert_allclose(ax.images[0].get_clim(), (-largest, largest))  # one scale, symmetric
    assert display.colorbar_.mappable is display.axes_[0].images[0]
    some = FeatureDisplay.from_estimator(model, units=[4, 2], image_shape=SHAPE, colorbar=False)
    assert_allclose(drawn(some.axes_[1]), weight[2].reshape(SHAPE))
    assert [ax.get_title() for ax in some.axes_] == ["4", "2"]
    assert some.colorbar_ is None


@pytest.mark.parametrize("name", ["default", "tied"])
def test_weights_of_any_layer(name):
    data = rows()
    model = fitted(CONFIGURATIONS[name], data, hidden_layer_sizes=(8, 4))
    up = [weights(block)[0] for block in model.encoder_]
    down = [w.T for w in up[::-1]] if name == "tied" else [weights(block)[0] for block in model.decoder_]

    def filters(**parameters):
        return FeatureDisplay.from_estimator(model, **parameters).filters

    for layer, other in ((0, "0"), (1, "1.0"), (-1, "2")):
        assert_allclose(filters(layer=layer), up[layer])
        assert_allclose(filters(layer=other), up[layer])
        assert_allclose(filters(layer=layer, network="decoder"), down[layer].T)
    assert_allclose(filters(), up[0])
    assert_allclose(filters(network="decoder"), down[-1].T)
    assert_allclose(filters(layer=-1, combined=True), up[2] @ up[1] @ up[0])
    assert_allclose(filters(layer=0, network="decoder", combined=True), (down[2] @ down[1] @ down[0]).T)
    assert_allclose(heights(FeatureDisplay.from_estimator(model, units=3).axes_[0]), up[0][3])


def test_convolution_kernels(X):
    model = convolutional(X)
    kernels = model.encoder_[1].weight.detach()[:, 0]
    for layer in (None, 1, "1"):
        display = FeatureDisplay.from_estimator(model, layer=layer)
        for ax, kernel in zip(display.axes_, kernels, strict=True):
            assert_allclose(drawn(ax), kernel)
    assert FeatureDisplay.from_estimator(model, layer=4).filters.shape == (4, 96)
    with pytest.raises(ValueError, match=r"layer=2 has no weights\. .*'1', '4'"):
        FeatureDisplay.from_estimator(model, layer=2)
    with pytest.raises(ValueError, match="combined=True multiplies"):
        FeatureDisplay.from_estimator(model, layer=4, combined=True)
    decoder = nn.Sequential(
        nn.Linear(4, 32), nn.Unflatten(1, (2, 4, 4)), nn.ConvTranspose2d(2, 1, 2, 2), nn.Flatten()
    )
    model = configured(AutoencoderTransformer, n_components=4, decoder=decoder).fit(X)
    last = FeatureDisplay.from_estimator(model, network="decoder")
    assert_allclose(drawn(last.axes_[1]), model.decoder_[2].weight.detach()[1, 0])


def test_the_shape_of_a_row_does_not_fit_weights_of_hidden_units(X):
    model = configured(DenoisingAutoencoder, hidden_layer_sizes=(12, 16)).fit(X)
    for network, layer, units in (
        ("encoder", 1, "12 .* hidden layer 1"),
        ("decoder", "0", "16 .* hidden layer 1"),
    ):
        draw = partial(FeatureDisplay.from_estimator, model, network=network, layer=layer)
        message = rf"image_shape=\(8, 8\) .* layer={layer!r} has {units}\. Pass combined=True.* leave layer out"
        with pytest.raises(ValueError, match=message):
            draw(image_shape=SHAPE)
        with pytest.raises(ValueError, match=r"image_shape=\(8, 9\) is 72 values"):
            draw(image_shape=(8, 9))
        assert drawn(draw(image_shape=SHAPE, combined=True).axes_[0]).shape == SHAPE
        assert drawn(draw(image_shape=SHAPE, layer=None).axes_[0]).shape == SHAPE
        assert drawn(draw(image_shape=(2, int(units[:2]) // 2)).axes_[0]).shape == (2, int(units[:2]) // 2)
    with pytest.raises(ValueError, match=r"layer=4 has 96 weights, .* hidden layer 1\. Leave layer out, to draw"):
        FeatureDisplay.from_estimator(convolutional(X), layer=4, image_shape=SHAPE)


def test_weights_that_are_not_there(X, model):
    with pytest.raises(ValueError, match="network='middle'"):
        FeatureDisplay.from_estimator(model, network="middle")
    with pytest.raises(TypeError, match="PCA has no encoder_"):
        FeatureDisplay.from_estimator(PCA(2).fit(X))
    with pytest.raises(TypeError, match=r"AutoencoderClassifier has no decoder_.*autoencoder_"):
        FeatureDisplay.from_estimator(fitted(CLASSIFIERS["classifier"]), network="decoder")
    flat = configured(AutoencoderTransformer, n_components=64, encoder=nn.Identity()).fit(X)
    with pytest.raises(ValueError, match="no dense or convolutional layers"):
        FeatureDisplay.from_estimator(flat)


@pytest.mark.filterwarnings("ignore:.* units are dead:UserWarning")
@pytest.mark.parametrize(("network", "layer"), [("decoder", 0), ("encoder", -1)])
@pytest.mark.parametrize("combined", [True, False])
def test_titles_of_units_of_the_code_tell_dead_ones(network, layer, combined):
    X = load_digits().data[:200] / 16
    settings = {"sparsity": "topk", "n_active": 1, "hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}
    model = SparseAutoencoder(30, **settings).fit(X)
    dead = model.dead_units_
    assert 0 < len(dead) < 30
    units = [*dead[:2], *np.setdiff1d(range(30), dead)[:2]]
    display = FeatureDisplay.from_estimator(model, network=network, layer=layer, combined=combined, units=units)
    titles = [panel.get_title() for panel in display.axes_.flat]
    assert [title for title in titles if title] == [f"{k} (dead)" for k in units[:2]] + [str(k) for k in units[2:]]
    hidden = FeatureDisplay.from_estimator(model, network=network, layer=0 if network == "encoder" else 1)
    assert "dead" not in hidden.title


@pytest.mark.filterwarnings("ignore:.* units are dead:UserWarning")
def test_titles_of_a_dictionary_tell_dead_elements():
    settings = {"hidden_layer_sizes": (), "sparsity": "topk", "n_active": 1, "max_iter": 3, "random_state": 0}
    dictionary = SparseAutoencoder(20, **settings).fit(rows())
    dead = dictionary.dead_units_
    assert 0 < len(dead) < 20
    display = FeatureDisplay.from_estimator(dictionary)
    assert display.title.endswith("\ndead: active for no training row")
    assert "dead" not in FeatureDisplay.from_estimator(dictionary, units=np.setdiff1d(range(20), dead)).title
    titles = [panel.get_title() for panel in display.axes_]
    assert titles == [f"{unit} (dead)" if unit in dead else str(unit) for unit in range(20)]
    of_encoder = FeatureDisplay.from_estimator(dictionary, network="encoder")  # of the same units
    assert [panel.get_title() for panel in of_encoder.axes_] == titles


def test_the_figure_says_whose_units_are_drawn():
    settings = {"n_components": 30, "hidden_layer_sizes": (40, 28), "sparsity": "topk"}
    model = configured(SparseAutoencoder, **settings).fit(rows())

    def title(**parameters):
        whole = FeatureDisplay.from_estimator(model, **parameters).figure_.get_suptitle()
        return whole.split("\n")[0]  # what "dead" means comes after

    assert title() == "encoder weights: 25 of 40 units of hidden layer 1"
    assert title(layer=1, units=range(28)) == "encoder weights: 28 units of hidden layer 2"
    assert title(layer=-1, units=3, combined=True) == "encoder weights: 1 of 30 units of the code"
    assert title(network="decoder", layer=0) == "decoder weights: 25 of 30 units of the code"
    assert title(network="decoder") == "decoder weights: 25 of 40 units of hidden layer 2"
    figure, ax = plt.subplots()
    FeatureDisplay.from_estimator(model, ax=ax)
    assert figure.get_suptitle() == ""  # the caller's figure


def test_a_few_extreme_weights_do_not_set_the_scale():
    filters = np.random.default_rng(0).uniform(-0.1, 0.1, size=(25, 64))
    filters[3, 5] = largest = 1.5

    def drawn_with(filters=filters, units=25, **options):
        display = FeatureDisplay(filters, range(units), image_shape=(8, 8)).plot(**options)
        clims = {panel.images[0].get_clim() for panel in display.axes_ if panel.images}
        bar = display.colorbar_
        return display, clims, bar and (bar.extend, bar.ax.get_ylabel())

    _, clims, bar = drawn_with()
    ((low, high),) = clims
    assert -low == high == np.quantile(np.abs(filters), 0.999) < 0.11
    assert bar == ("max", "weight (some up to 1.5)")
    _, _, bar = drawn_with(np.r_[-2 * filters, filters], 50)
    assert bar == ("both", "weight (some up to -3 and 1.5)")
    _, clims, bar = drawn_with(im_kw={"vmin": -0.05, "vmax": 0.05})
    assert clims == {(-0.05, 0.05)}
    assert bar == ("both", "weight (some up to -0.1 and 1.5)")
    _, clims, bar = drawn_with(filters.clip(-0.1, 0.1))  # there is none
    assert bar == ("neither", "weight")
    # Nothing would say so: all weights have their own colour, or all of their bars.
    _, clims, bar = drawn_with(colorbar=False)
    assert (clims, bar) == ({(-largest, largest)}, None)
    display, _, _ = drawn_with(kind="line")
    assert display.axes_[0].get_ylim()[1] > 1.5
