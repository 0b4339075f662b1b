"""Every display draws the arrays that it should, and keeps scikit-learn's manners."""

from functools import partial

import numpy as np
import pytest
from estimators import CLASSIFIERS, CONFIGURATIONS, assert_same, configured, fitted, labels, rows
from inspected import convolutional, heights, variational, weights
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn

from skae import AutoencoderTransformer, DenoisingAutoencoder, StackedAutoencoder
from skae.inspection import (
    FeatureDisplay,
    LatentDisplay,
    LossCurveDisplay,
    PreferredInputDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TopActivationDisplay,
    latent_grid,
    maximize_activation,
    top_activating_samples,
)

SHAPE = (8, 8)


@pytest.fixture(scope="module", name="X")
def _images():
    return load_digits().data[:120]


@pytest.fixture(scope="module")
def y():
    return load_digits().target[:120]


@pytest.fixture(scope="module")
def model(X):
    """A pipeline on digits."""
    return make_pipeline(StandardScaler(), configured(DenoisingAutoencoder)).fit(X)


@pytest.fixture(scope="module")
def tabular():
    """A pipeline on rows that are no images, which samples too."""
    return make_pipeline(StandardScaler(), variational()).fit(rows())


def drawn(ax):
    """The array of the last image in an axes."""
    return np.asarray(ax.images[-1].get_array())


# Reconstructions -------------------------------------------------------------------------------------------


def test_reconstructions_of_a_pipeline(X):
    pipe = make_pipeline(StandardScaler(), configured(AutoencoderTransformer)).fit(X)
    display = ReconstructionDisplay.from_estimator(pipe, X, n_samples=4, image_shape=SHAPE)
    assert display.axes_.shape == (2, 4)
    restored = pipe.inverse_transform(pipe.transform(X))
    for j in range(4):
        for ax, row in zip(display.axes_[:, j], (X[j], restored[j]), strict=True):
            assert_allclose(drawn(ax), row.reshape(SHAPE))
            assert ax.images[0].get_clim() == (0, 16)
            assert len(ax.get_xticks()) == len(ax.get_yticks()) == 0
    assert [ax.get_ylabel() for ax in display.axes_[:, 0]] == ["input", "reconstruction"]


@pytest.mark.parametrize("noise", ["gaussian", "masking", "salt_and_pepper", lambda X, generator: X + 1])
def test_a_denoisers_own_noise(noise, X):
    scaler = MinMaxScaler()
    pipe = make_pipeline(scaler, configured(DenoisingAutoencoder, noise=noise, noise_level=0.5)).fit(X)
    draw = partial(ReconstructionDisplay.from_estimator, pipe, X, image_shape=SHAPE)
    display = draw(random_state=0)
    spoilt, scaled = scaler.transform(display.corrupted), scaler.transform(X[:8])
    assert_allclose(display.reconstructions, pipe.inverse_transform(pipe.transform(display.corrupted)), atol=1e-6)
    assert_allclose(drawn(display.axes_[1, 3]), display.corrupted[3].reshape(SHAPE))
    varying = scaler.transform(X).std(0) > 0
    changed = (np.abs(spoilt - scaled) > 1e-9)[:, varying]
    if noise == "gaussian":
        deviation = (spoilt - scaled)[:, varying] / scaler.transform(X).std(0)[varying]
        assert 0.45 < deviation.std() < 0.55
    elif noise == "masking":
        assert_allclose(spoilt[:, varying][changed], 0, atol=1e-12)
    elif noise == "salt_and_pepper":
        assert set(spoilt[:, varying][changed].round(9)) <= {0, 1}
    else:
        assert_allclose(spoilt[:, varying], scaled[:, varying] + 1)
    one, same, other = (draw(random_state=seed, n_samples=1).corrupted for seed in (0, 0, 1))
    assert_same(one, same)
    assert np.array_equal(one, other) == callable(noise)
    assert draw(corrupt=False, n_samples=1).corrupted is None


def test_corrupted_rows_that_are_given(X):
    noisy = X + np.random.default_rng(0).normal(size=X.shape)
    model = configured(DenoisingAutoencoder).fit(noisy, X_clean=X)
    assert ReconstructionDisplay.from_estimator(model, X).corrupted is None
    display = ReconstructionDisplay.from_estimator(model, X, X_corrupted=noisy, n_samples=2, image_shape=SHAPE)
    assert_allclose(drawn(display.axes_[1, 1]), noisy[1].reshape(SHAPE))
    assert_allclose(drawn(display.axes_[2, 1]), model.denoise(noisy)[1].reshape(SHAPE))
    with pytest.raises(ValueError, match="X_corrupted has shape"):
        ReconstructionDisplay.from_estimator(model, X, X_corrupted=noisy[:3])
    with pytest.raises(ValueError, match="not trained with noise of its own"):
        ReconstructionDisplay.from_estimator(model, X, corrupt=True)


def test_reconstructions_of_pca_and_of_arrays(X):
    pca = PCA(3).fit(X)
    display = ReconstructionDisplay.from_estimator(pca, X, n_samples=2, image_shape=SHAPE)
    restored = pca.inverse_transform(pca.transform(X[:2]))
    assert_allclose(drawn(display.axes_[1, 0]), restored[0].reshape(SHAPE))
    same = ReconstructionDisplay.from_arrays(X[:2], restored, image_shape=SHAPE)
    assert_allclose(drawn(same.axes_[1, 1]), restored[1].reshape(SHAPE))
    with pytest.raises(ValueError, match="differ in shape"):
        ReconstructionDisplay.from_arrays(X[:2], restored[:1])


def test_a_classifier_has_nothing_to_reconstruct_with(tabular):
    model = fitted(CLASSIFIERS["classifier"])
    with pytest.raises(TypeError, match=r"no inverse_transform .* its autoencoder_"):
        ReconstructionDisplay.from_estimator(model, rows())
    assert ReconstructionDisplay.from_estimator(model.autoencoder_, rows(), corrupt=False)


# Shapes and kinds ------------------------------------------------------------------------------------------


def test_rows_that_are_no_images():
    few, many = rows(), rows(60, 50)
    for data, kind in ((few, "bar"), (many, "line"), (few, "line"), (many, "bar")):
        model = fitted(configured(AutoencoderTransformer), data)
        chosen = "auto" if kind == ("bar" if data is few else "line") else kind
        display = ReconstructionDisplay.from_estimator(model, data, n_samples=2, kind=chosen)
        for ax, row in zip(display.axes_[:, 0], (data[0], model.reconstruct(data)[0]), strict=True):
            values = heights(ax) if kind == "bar" else ax.lines[0].get_ydata()
            assert_allclose(values, row)
        assert len({ax.get_ylim() for ax in display.axes_.flat}) == 1


def test_image_shapes(X):
    model = fitted(configured(AutoencoderTransformer), X)
    draw = partial(ReconstructionDisplay.from_estimator, model, X, n_samples=1)
    assert draw().axes_[0, 0].lines  # no shape is guessed
    model.image_shape = SHAPE
    assert drawn(draw().axes_[0, 0]).shape == SHAPE
    assert drawn(draw(image_shape=(4, 16)).axes_[0, 0]).shape == (4, 16)
    assert drawn(draw(image_shape=(8, 8, 1)).axes_[0, 0]).shape == SHAPE
    two = drawn(draw(image_shape=(8, 4, 2)).axes_[0, 0])
    expected = X[0].reshape(8, 4, 2)
    assert_allclose(two[:, :4], expected[..., 0])
    assert_allclose(two[:, 5:], expected[..., 1])
    for wrong in ((8, 9), (64,), (2, 2, 4, 4)):
        with pytest.raises(ValueError, match=r"image_shape=.* but the rows to draw have 64"):
            draw(image_shape=wrong)
    del model.image_shape
    with pytest.raises(ValueError, match="kind='image', but the shape"):
        draw(kind="image")
    with pytest.raises(ValueError, match="kind='pie' is none of"):
        draw(kind="pie")


def test_colour_images():
    X = np.random.default_rng(0).uniform(0, 255, size=(20, 48))
    display = SampleDisplay.from_samples(X, image_shape=(4, 4, 3))
    expected = (X[7].reshape(4, 4, 3) - X.min()) / (X.max() - X.min())
    assert_allclose(drawn(display.axes_[7]), expected)
    model = convolutional(X, n_channels=3)
    filters = FeatureDisplay.from_estimator(model).filters
    assert filters.shape == (6, 3, 3, 3)
    assert_allclose(filters[2], model.encoder_[1].weight[2].detach().permute(1, 2, 0))
    assert FeatureDisplay.from_estimator(model).colorbar_ is None


def test_style_arguments_replace_the_defaults(X, model):
    display = ReconstructionDisplay.from_estimator(
        model, X, n_samples=1, image_shape=SHAPE, cmap="viridis", im_kw={"vmax": 3}
    )
    assert display.axes_[0, 0].images[0].get_clim() == (0, 3)
    assert display.axes_[0, 0].images[0].get_cmap().name == "viridis"
    bars = SampleDisplay.from_samples(rows(4), bar_kw={"color": "red"})
    assert bars.axes_[0].patches[0].get_facecolor() == (1, 0, 0, 1)
    lines = SampleDisplay.from_samples(rows(4), kind="line", line_kw={"linewidth": 5})
    assert lines.axes_[0].lines[0].get_linewidth() == 5


# Weights ---------------------------------------------------------------------------------------------------


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


# What excites units ----------------------------------------------------------------------------------------


def test_top_samples_are_drawn_as_they_are(X, model):
    display = TopActivationDisplay.from_estimator(model, X, layer=0, n_samples=3, image_shape=SHAPE)
    index, reached = top_activating_samples(model, X, layer=0, n_samples=3, return_activations=True)
    assert display.axes_.shape == (8, 3)
    for place in np.ndindex(8, 3):
        assert_allclose(drawn(display.axes_[place]), X[index[place]].reshape(SHAPE))
        assert display.axes_[place].get_title() == f"{reached[place]:.3g}"
    assert display.axes_[5, 0].get_ylabel() == "unit 5"


def test_preferred_inputs_are_drawn_and_excite_more_than_samples(X, model):
    display = PreferredInputDisplay.from_estimator(model, X, layer=0, random_state=0, image_shape=SHAPE)
    expected = maximize_activation(model, X, layer=0, random_state=0)
    best = top_activating_samples(model, X, layer=0, return_activations=True)[1][:, 0]
    assert_allclose(display.best_activations, best)
    assert (display.activations > best).all()
    for ax, row in zip(display.axes_, expected, strict=True):
        assert_allclose(drawn(ax), row.reshape(SHAPE))
    assert expected.min() >= -1e-9  # pixels still
    assert expected.max() <= 16 + 1e-9
    assert display.axes_[3].get_title().startswith("unit 3\n")


def test_a_classifiers_units_are_drawn():
    model = fitted(CLASSIFIERS["classifier_stacked"])
    assert TopActivationDisplay.from_estimator(model, rows()).axes_.shape == (2, 8)
    assert len(PreferredInputDisplay.from_estimator(model, rows(), max_iter=3).axes_) == 2
    assert len(FeatureDisplay.from_estimator(model).axes_) == 8


# Codes -----------------------------------------------------------------------------------------------------


def test_codes_by_class_and_the_grid(X, y, model):
    display = LatentDisplay.from_estimator(model, X, y, n_points=4, image_shape=SHAPE)
    Z = model.transform(X)
    for digit, points in zip(range(10), display.scatter_, strict=True):
        assert_allclose(points.get_offsets(), Z[y == digit])
    texts = [text.get_text() for text in display.axes_[0].get_legend().get_texts()]
    assert texts == [str(digit) for digit in range(10)]
    grid = latent_grid(model, X, n_points=4)
    sheet = drawn(display.axes_[1])
    assert sheet.shape == (36, 36)
    for i, j in np.ndindex(4, 4):  # rows of the image go down, the vertical component goes up
        top, left = 9 * (3 - i) + 1, 9 * j + 1
        assert_allclose(sheet[top : top + 8, left : left + 8], grid[i, j].reshape(SHAPE))
    assert display.axes_[1].images[0].get_clim() == (0, 16)
    assert [ax.get_xlabel() for ax in display.axes_] == ["component 0"] * 2


def test_codes_by_value_and_without_a_grid():
    data = rows()
    model = fitted(configured(AutoencoderTransformer, n_components=3), data)
    values = data[:, 0]
    display = LatentDisplay.from_estimator(model, data, values, components=(2, 0), n_points=None)
    assert display.axes_.shape == (1,)
    assert_allclose(display.scatter_[0].get_offsets(), model.transform(data)[:, [2, 0]])
    assert_allclose(display.scatter_[0].get_array(), values)
    assert display.axes_[0].get_ylabel() == "component 0"
    words = np.array(["cat", "dog"])[labels(data) % 2]
    assert len(LatentDisplay.from_estimator(model, data, words, n_points=2).scatter_) == 2
    counts = np.arange(len(data))  # too many values to be classes
    assert_allclose(
        LatentDisplay.from_estimator(model, data, counts, n_points=None).scatter_[0].get_array(), counts
    )
    clf = fitted(CLASSIFIERS["classifier_stacked"])
    assert LatentDisplay.from_estimator(clf, data, n_points=None).grid is None
    with pytest.raises(TypeError, match="inverse_transform"):
        LatentDisplay.from_estimator(clf, data)
    with pytest.raises(ValueError, match="y has 3 entries"):
        LatentDisplay.from_estimator(model, data, [0, 1, 2])
    with pytest.raises(ValueError, match="two different components of a code that has 1"):
        LatentDisplay.from_estimator(fitted(configured(AutoencoderTransformer, n_components=1)), data)


def test_a_grid_of_rows_that_are_no_images(tabular):
    display = LatentDisplay.from_estimator(tabular, rows(), n_points=3, spacing="normal")
    grid = latent_grid(tabular, rows(), n_points=3, spacing="normal")
    # The component that is not drawn stays at its mean in both.
    assert_allclose(heights(display.cells_[2, 1]), grid[2, 1], rtol=1e-6)
    assert_allclose(display.grid_values[0], [-1.959964, 0, 1.959964], atol=1e-6)


# Samples ---------------------------------------------------------------------------------------------------


def test_samples_come_back_to_the_pipelines_input(tabular):
    display = SampleDisplay.from_estimator(tabular, n_samples=5, random_state=3)
    expected = tabular[:-1].inverse_transform(tabular[-1].sample(5, random_state=3))
    assert_allclose(display.samples, expected)
    assert_allclose(heights(display.axes_[4]), expected[4])
    means = SampleDisplay.from_estimator(tabular, n_samples=5, random_state=3, mean=True)
    assert_allclose(means.samples, tabular[:-1].inverse_transform(tabular[-1].sample(5, 3, mean=True)))
    with pytest.raises(TypeError, match="AutoencoderTransformer does not sample"):
        SampleDisplay.from_estimator(fitted(configured(AutoencoderTransformer)))


# Losses ----------------------------------------------------------------------------------------------------


def test_training_and_validation_losses(tabular):
    model = fitted(CONFIGURATIONS["early_stopping"])
    (lines,) = LossCurveDisplay.from_estimator(make_pipeline(StandardScaler(), model)).lines_
    assert_allclose(lines["training"].get_xydata(), [*enumerate(model.loss_curve_, 1)])
    assert_allclose(lines["validation"].get_ydata(), model.validation_loss_curve_)
    ((name, curves),) = LossCurveDisplay.from_estimator(tabular).phases
    assert name == "training"
    vae = tabular[-1]
    expected = {"training": vae.loss_curve_, "reconstruction": vae.reconstruction_curve_, "KL": vae.kl_curve_}
    assert {kind: list(curve) for kind, curve in curves.items()} == expected
    display = LossCurveDisplay.from_curves([3, 2, 1], validation=[4, 3, 3.5], yscale="log")
    assert display.ax_.get_yscale() == "log"
    assert_allclose(display.ax_.lines[-1].get_xydata(), [[2, 3]])  # the best epoch
    with pytest.raises(TypeError, match="PCA has no loss_curve_"):
        LossCurveDisplay.from_estimator(PCA(2).fit(rows()))


def test_phases_follow_each_other():
    model = fitted(CONFIGURATIONS["stacked"])
    display = LossCurveDisplay.from_estimator(model)
    assert [name for name, _ in display.phases] == ["layer 0", "layer 1", "layer 2", "fine-tuning"]
    starts = [lines["training"].get_xdata()[0] for lines in display.lines_]
    assert starts == [1, 4, 7, 10]
    for lines, curve in zip(display.lines_, [*model.layer_loss_curves_, model.loss_curve_], strict=True):
        assert_allclose(lines["training"].get_ydata(), curve)
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["training"]
    untuned = fitted(configured(StackedAutoencoder, pretrain_max_iter=2, fine_tune=False))
    assert [name for name, _ in LossCurveDisplay.from_estimator(untuned).phases] == ["layer 0", "layer 1"]
    clf = fitted(CLASSIFIERS["classifier_watched"])
    assert [name for name, _ in LossCurveDisplay.from_estimator(clf).phases] == ["pretraining", "fine-tuning"]
    one = configured(AutoencoderTransformer).partial_fit(rows())
    assert LossCurveDisplay.from_estimator(one).lines_[0]["training"].get_marker() == "."
