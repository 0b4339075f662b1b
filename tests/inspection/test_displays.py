"""Reconstructions, samples and inputs are drawn as the arrays that they are."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
from estimators import CLASSIFIERS, assert_same, configured, fitted, rows
from inspected import convolutional, drawn, heights, variational
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skae import AdversarialAutoencoder, AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder
from skae.inspection import (
    FeatureDisplay,
    PreferredInputDisplay,
    ReconstructionDisplay,
    SampleDisplay,
    TopActivationDisplay,
    maximize_activation,
    top_activating_samples,
)

SHAPE = (8, 8)


@pytest.fixture(scope="module", name="X")
def _images():
    return load_digits().data[:120]


@pytest.fixture(scope="module")
def model(X):
    """A pipeline on digits."""
    return make_pipeline(StandardScaler(), configured(DenoisingAutoencoder)).fit(X)


@pytest.fixture(scope="module")
def tabular():
    """A pipeline on rows that are no images, which samples too."""
    return make_pipeline(StandardScaler(), variational()).fit(rows())


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


@pytest.mark.parametrize("noise", ["gaussian", "white", "masking", "salt_and_pepper", lambda X, generator: X + 1])
def test_a_denoisers_own_noise(noise, X):
    scaler = MinMaxScaler()
    level = {} if callable(noise) else {"noise_level": 0.5}
    pipe = make_pipeline(scaler, configured(DenoisingAutoencoder, noise=noise, **level)).fit(X)
    draw = partial(ReconstructionDisplay.from_estimator, pipe, X, image_shape=SHAPE)
    display = draw(corrupt=True, random_state=0)
    assert [ax.get_ylabel() for ax in display.axes_[:, 0]] == ["clean", "noise added", "reconstruction"]
    spoilt, scaled = scaler.transform(display.corrupted), scaler.transform(X[:8])
    assert_allclose(display.reconstructions, pipe.inverse_transform(pipe.transform(display.corrupted)), atol=1e-6)
    assert_allclose(drawn(display.axes_[1, 3]), display.corrupted[3].reshape(SHAPE))
    varying = scaler.transform(X).std(0) > 0
    changed = (np.abs(spoilt - scaled) > 1e-9)[:, varying]
    if noise == "gaussian":
        deviation = (spoilt - scaled)[:, varying] / scaler.transform(X).std(0)[varying]
        assert 0.45 < deviation.std() < 0.55
    elif noise == "white":
        assert 0.45 < (spoilt - scaled)[:, varying].std() < 0.55
    elif noise == "masking":
        assert_allclose(spoilt[:, varying][changed], 0, atol=1e-12)
    elif noise == "salt_and_pepper":
        assert set(spoilt[:, varying][changed].round(9)) <= {0, 1}
    else:
        assert_allclose(spoilt[:, varying], scaled[:, varying] + 1)
    one, same, other = (draw(corrupt=True, random_state=seed, n_samples=1).corrupted for seed in (0, 0, 1))
    assert_same(one, same)
    assert np.array_equal(one, other) == callable(noise)


def test_noisy_rows_are_denoised_as_they_are(X):
    """What is noisy already does not get more noise unless asked for."""
    noisy = X + np.random.default_rng(0).normal(size=X.shape)
    model = configured(DenoisingAutoencoder, noise_level=1.0).fit(X)
    display = ReconstructionDisplay.from_estimator(model, noisy, n_samples=3, image_shape=SHAPE)
    assert display.axes_.shape == (2, 3)
    assert_allclose(display.inputs, noisy[:3])
    assert_allclose(display.reconstructions, model.denoise(noisy)[:3])
    given = ReconstructionDisplay.from_estimator(model, X, X_corrupted=noisy, n_samples=3, image_shape=SHAPE)
    assert_allclose(given.reconstructions, model.denoise(noisy)[:3])
    assert [ax.get_ylabel() for ax in given.axes_[:, 0]] == ["clean", "corrupted", "reconstruction"]
    for wrong in ({"corrupt": "auto"}, {"corrupt": True, "X_corrupted": noisy}):
        with pytest.raises(ValueError, match=r"corrupt=.* must be True or False, and False with X_corrupted"):
            ReconstructionDisplay.from_estimator(model, X, **wrong)


def test_bars_of_corrupted_rows_fit_into_their_panels():
    few = rows()
    display = ReconstructionDisplay.from_arrays(few[:2], few[:2], corrupted=10 * few[:2])
    for ax in display.axes_.flat:
        assert ax.get_ylim()[0] < min(heights(ax))
        assert max(heights(ax)) < ax.get_ylim()[1]


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
    assert ReconstructionDisplay.from_estimator(model.autoencoder_, rows())


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


def test_noise_of_rows_to_denoise_is_not_the_scale_of_the_pictures():
    X = load_digits().data / 16
    model = DenoisingAutoencoder(8, max_iter=20, tol=None, random_state=0).fit(X)
    noisy = X[:4] + np.random.default_rng(0).normal(scale=2, size=(4, 64))
    restored = model.denoise(noisy)
    of_noisy = ReconstructionDisplay.from_estimator(model, noisy, image_shape=(8, 8))
    low, high = of_noisy.axes_[0, 0].images[0].get_clim()
    assert_allclose([low, high], [restored.min(), restored.max()])
    of_clean = ReconstructionDisplay.from_estimator(model, X[:4], image_shape=(8, 8))
    assert of_clean.axes_[0, 0].images[0].get_clim()[0] == 0
    both = ReconstructionDisplay.from_estimator(model, X[:4], X_corrupted=noisy, image_shape=(8, 8))
    assert both.axes_[0, 0].images[0].get_clim() == (0, X[:4].max())


@pytest.mark.filterwarnings("ignore:.*dead")
def test_top_samples_of_dead_units_are_marked():
    X = load_digits().data
    model = SparseAutoencoder(100, sparsity="topk", n_active=1, hidden_layer_sizes=(), max_iter=5, random_state=0)
    dead = model.fit(X).dead_units_[0]
    alive = np.setdiff1d(np.arange(100), model.dead_units_)[0]
    display = TopActivationDisplay.from_estimator(model, X, units=[dead, alive], image_shape=(8, 8))
    labels = [panel.get_ylabel() for panel in display.axes_[:, 0]]
    assert labels == [f"unit {dead}\ndead: active for\nno training row", f"unit {alive}"]
    assert not any(panel.images for panel in display.axes_[0])  # blank
    assert [len(panel.images) for panel in display.axes_[1]] == [int(a != 0) for a in display.activations[1]]


def test_top_samples_are_drawn_as_they_are(X, model):
    display = TopActivationDisplay.from_estimator(model, X, layer=0, n_samples=3, image_shape=SHAPE)
    index, reached = top_activating_samples(model, X, layer=0, n_samples=3, return_activations=True)
    assert display.axes_.shape == (8, 3)
    for place in np.ndindex(8, 3):
        assert_allclose(drawn(display.axes_[place]), X[index[place]].reshape(SHAPE))
        assert float(display.axes_[place].get_title().split(",")[0]) == pytest.approx(reached[place], rel=0.01)
    assert display.axes_[5, 0].get_ylabel() == "unit 5"


@pytest.mark.parametrize(
    ("activations", "titles"),
    [
        ([12.34, 9.876, 0.0], ["12.3", "9.9", "0, not active"]),
        ([0.01234, -0.5], ["0.012", "-0.500"]),
        ([1234.5, 7.0], ["1234", "7"]),
        ([2e-9, 1e-9], ["2.00e-09", "1.00e-09"]),
    ],
)
def test_the_activations_of_a_unit_have_as_many_decimals(activations, titles):
    n = len(activations)
    display = TopActivationDisplay(np.ones((1, n, 3)), np.array([activations]), np.zeros((1, n), int), [0]).plot()
    assert [panel.get_title() for panel in display.axes_.flat] == titles


def test_preferred_inputs_are_drawn_and_beat_samples(X, model):
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


def test_samples_come_back_to_the_pipelines_input(tabular):
    display = SampleDisplay.from_estimator(tabular, n_samples=5, random_state=3)
    expected = tabular[:-1].inverse_transform(tabular[-1].sample(5, random_state=3))
    assert_allclose(display.samples, expected)
    assert_allclose(heights(display.axes_[4]), expected[4])
    means = SampleDisplay.from_estimator(tabular, n_samples=5, random_state=3, mean=True)
    assert_allclose(means.samples, tabular[:-1].inverse_transform(tabular[-1].sample(5, 3, mean=True)))
    same = SampleDisplay.from_estimator(tabular, 5, random_state=3, n_columns=5)
    assert_allclose(same.samples, expected)
    specs = [ax.get_subplotspec().get_gridspec().get_geometry() for ax in (*display.axes_, *same.axes_)]
    assert specs == [(2, 3)] * 5 + [(1, 5)] * 5
    with pytest.raises(TypeError, match="AutoencoderTransformer does not sample"):
        SampleDisplay.from_estimator(fitted(configured(AutoencoderTransformer)))


def test_images_are_drawn_as_means_unless_draws_are_asked_for(X):
    model = variational().fit(X)
    draw = partial(SampleDisplay.from_estimator, model, 4, random_state=3, image_shape=SHAPE)
    assert_allclose(draw().samples, model.sample(4, 3, mean=True))
    assert_allclose(draw(mean=False).samples, model.sample(4, 3))
    adversarial = configured(AdversarialAutoencoder).fit(X)  # whose sample knows of no means
    display = SampleDisplay.from_estimator(adversarial, 4, random_state=3, image_shape=SHAPE)
    assert_allclose(display.samples, adversarial.sample(4, 3))


def test_units_that_no_row_to_choose_from_activates_are_marked():
    X = load_digits().data
    settings = {"sparsity": "topk", "n_active": 1, "hidden_layer_sizes": (), "max_iter": 5, "random_state": 0}
    model = SparseAutoencoder(30, **settings).fit(X)
    unit = next(int(k) for k in np.argsort(-(model.transform(X) != 0).mean(0)) if k not in model.dead_units_)
    others = X[model.transform(X)[:, unit] == 0]
    display = TopActivationDisplay.from_estimator(model, others, units=[unit], image_shape=(8, 8))
    assert display.axes_[0, 0].get_ylabel() == f"unit {unit}\nnot active\nfor these rows"
    assert display.axes_[0, 0].get_title() == "0, not active"
    for kind in ("image", "line"):
        panel = display.plot(kind=kind, show_activations=False).axes_[0, 0]
        assert not panel.images
        assert not panel.lines
        assert [text.get_text() for text in panel.texts] == ["not active"]


def test_a_forgotten_argument_is_told_with_the_name_of_the_method(model):
    with pytest.raises(TypeError, match=r"TopActivationDisplay.from_estimator\(\): missing .*'X'"):
        TopActivationDisplay.from_estimator(model)


@pytest.mark.parametrize("ax", ["new", "one", "several"])
@pytest.mark.parametrize("image_shape", [None, SHAPE])
def test_no_unit_to_draw(X, ax, image_shape):
    """As of dead units, where all are alive."""
    model = configured(AutoencoderTransformer).fit(X)
    displays = [
        FeatureDisplay.from_estimator,
        lambda m, **kw: TopActivationDisplay.from_estimator(m, X, **kw),
        lambda m, **kw: PreferredInputDisplay.from_estimator(m, X, **kw),
    ]
    for display in displays:
        axes = {"new": None, "one": plt.figure().subplots(), "several": plt.figure().subplots(2, 2)}[ax]
        shown = display(model, units=np.array([], dtype=int), image_shape=image_shape, ax=axes)
        (panel,) = shown.axes_.flat
        assert [text.get_text() for text in panel.texts] == ["no unit to draw"]
        assert axes is None or panel is np.ravel(axes)[0]
        shown.figure_.canvas.draw()
        assert len(shown.units) == 0
