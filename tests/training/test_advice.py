"""Warnings of units, of the order of channels, and of a loss above that of the column means."""

import copy
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from estimators import configured, rows
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_sample_images,
    load_wine,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

from skae import (
    AdversarialAutoencoder,
    AutoencoderClassifier,
    AutoencoderTransformer,
    BaseAutoencoder,
    DenoisingAutoencoder,
    SemanticHasher,
    SparseAutoencoder,
    StackedAutoencoder,
    VAESampler,
)

WINE = StandardScaler().fit_transform(load_wine().data)
MEANS = r"Training ended with a loss of .* above the .* column means"


def warnings_of(call, match=""):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    found = [warning for warning in caught if match in str(warning.message)]
    assert all(warning.filename == __file__ and warning.category is UserWarning for warning in found)
    return [str(warning.message) for warning in found]


def of_units(model, X, **data):
    return warnings_of(lambda: model.fit(X, **data), "nearly all of the loss")


def quick(cls=AutoencoderTransformer, **parameters):
    return configured(cls, **{"max_iter": 2, **parameters})


# Units -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        quick(),
        quick(loss="huber"),
        quick(DenoisingAutoencoder),
        quick(SparseAutoencoder),
        quick(StackedAutoencoder, pretrain_max_iter=1),
        quick(VAESampler, loss="squared_error"),
        quick(AdversarialAutoencoder),
        quick(SemanticHasher),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_column_in_another_unit_is_named(model):
    X = rows() * [1, 1, 1e4, 1, 1]
    (message,) = of_units(model, X)
    assert message.startswith("Column 2 of 5 carries nearly all")
    (message,) = of_units(model, pd.DataFrame(X, columns=list("abcde")))
    assert message.startswith("Column 'c' of 5 carries nearly all")


def test_wine_and_breast_cancer():
    for loader, names in ((load_wine, ["proline"]), (load_breast_cancer, ["mean area", "worst area"])):
        (message,) = of_units(quick(), loader(as_frame=True).data)
        assert all(repr(name) in message for name in names)
        assert message.count("'") == 2 * len(names)


@pytest.mark.parametrize("to_kind", [sparse.csr_array, lambda X: X.astype(np.float32)], ids=["csr", "float32"])
def test_any_kind_of_rows(to_kind):
    assert len(of_units(quick(), to_kind(load_wine().data))) == 1


def test_once_for_a_fit_and_not_again():
    X = load_wine().data
    model = quick(warm_start=True)
    assert [len(of_units(model, X)) for _ in range(3)] == [1, 0, 0]
    model = quick()
    assert [len(warnings_of(lambda: model.partial_fit(X), "nearly all")) for _ in range(3)] == [1, 0, 0]


def test_targets_are_what_counts():
    X = rows()
    assert not of_units(quick(DenoisingAutoencoder), X * [1, 1, 1e4, 1, 1], X_clean=X)
    assert of_units(quick(DenoisingAutoencoder), X, X_clean=X * [1, 1, 1e4, 1, 1])


EQUAL_UNITS = {
    "digits": load_digits().data,
    "pixels": load_digits().data / 16,
    "iris": load_iris().data,
    "diabetes": load_diabetes().data,
    "standardised": StandardScaler().fit_transform(load_wine().data),
    "scaled": MinMaxScaler().fit_transform(load_breast_cancer().data),
    "few_rows": load_wine().data[:5],
    "constant": np.ones((50, 4)),
    "three_columns": rows(50, 3) * [1, 1, 1e4],  # of so few, none are a few
    "one_that_varies": np.ones((50, 4)) * [[1, 2, 3, 4]] + np.eye(50, 4, 2),
    "words": np.random.default_rng(0).poisson(20 / np.arange(1, 201), size=(300, 200)).astype(float),
    "fewer_and_fewer": np.random.default_rng(0).normal(size=(300, 30)) * 0.8 ** np.arange(30),
}


@pytest.mark.parametrize("X", EQUAL_UNITS.values(), ids=EQUAL_UNITS)
def test_equal_units_are_left_in_peace(X):
    assert not of_units(quick(), X)


def test_what_units_do_not_matter_to():
    X = load_wine().data
    assert not of_units(quick(VAESampler), X), "it learns the variance of each column"
    assert not of_units(quick(loss=lambda output, target: (output - target).square().mean(1)), X), "who knows?"
    assert not warnings_of(lambda: make_pipeline(StandardScaler(), quick()).fit(X), "nearly all")
    assert not of_units(quick(image_shape=(13, 1), hidden_layer_sizes=(2,)), X), "of images"


# Channels --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def patches():
    """Patches of a photograph, (n, 16, 16, 3)."""
    photograph = load_sample_images().images[0][:400, :608] / 255.0
    return photograph.reshape(25, 16, 38, 16, 3).swapaxes(1, 2).reshape(-1, 16, 16, 3)


def of_channels(images, shape, to_kind=np.asarray):
    model = quick(image_shape=shape, hidden_layer_sizes=(2,), max_iter=1)
    return warnings_of(lambda: model.fit(to_kind(images.reshape(len(images), -1))), "channels first")


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("to_kind", [np.asarray, sparse.csr_array], ids=["dense", "csr"])
def test_images_with_their_channels_first(patches, channels, to_kind):
    images = patches[..., :channels]
    (message,) = of_channels(images.transpose(0, 3, 1, 2), (16, 16, channels), to_kind)
    assert f"({channels}, 16, 16), channels first, but image_shape=(16, 16, {channels})" in message
    remedy = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    code = message.split("Pass ")[1].removesuffix(".")
    np.testing.assert_array_equal(eval(code, {"X": remedy}), images.reshape(len(images), -1))


def test_images_in_the_order_that_was_said_or_in_none(patches):
    assert not of_channels(patches, (16, 16, 3))
    assert not of_channels(patches.mean(3, keepdims=True).repeat(3, axis=3), (16, 16, 3)), "grey"
    assert not of_channels(patches[..., 0], (16, 16))
    assert not of_channels(np.random.default_rng(0).random((100, 16, 16, 3)), (16, 16, 3)), (
        "neighbours say nothing"
    )
    assert not of_channels(np.ones((100, 16, 16, 3)), (16, 16, 3))


# A loss above that of the column means -----------------------------------------------------------------------


def above_means(model, X):
    return warnings_of(lambda: model.fit(X), "column means")


@pytest.mark.parametrize("cls", [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, SemanticHasher])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_model_that_is_worse_than_none(cls, early_stopping):
    """Sigmoid outputs cannot reach these rows."""
    X = rows(200) + 50
    model = quick(cls, output_activation="sigmoid", max_iter=5, early_stopping=early_stopping)
    (message,) = above_means(model, X)
    loss, means = (
        float(word.strip(",")) for word in message.split() if word.strip(",").replace(".", "").isdigit()
    )
    assert means == pytest.approx(X.var(0).mean(), rel=0.1)
    assert loss == pytest.approx(np.square(X - model.reconstruct(X)).mean(), rel=0.1)


def test_pretraining_alone_is_to_be_longer_by_its_own_parameter():
    greedy = quick(StackedAutoencoder, fine_tune=False, pretrain_max_iter=1, learning_rate=1e-6)
    assert "Train longer (pretrain_max_iter)" in above_means(greedy, WINE)[0]
    whole = quick(StackedAutoencoder, pretrain_max_iter=1, learning_rate=1e-6)
    assert "Train longer (max_iter)" in above_means(whole, WINE)[0]


def test_the_remedy_goes_with_the_curve():
    X = rows(200)
    assert "Train longer (max_iter)" in above_means(quick(learning_rate=1e-6, activation="tanh", max_iter=3), X)[0]
    wild = quick(solver="sgd", learning_rate=0.9, max_iter=30, hidden_layer_sizes=(), code_activation="tanh")
    for message in above_means(wild.set_params(learning_rate=30.0), X):
        assert "Lower learning_rate" in message


LOSSES = {
    "squared_error": ("squared_error", rows(200)),
    "absolute_error": ("absolute_error", rows(200)),
    "huber": ("huber", 100 * rows(200)),
    "binary_cross_entropy": ("binary_cross_entropy", (rows(200) > 0.2).astype(float)),
}


@pytest.mark.parametrize(("loss", "X"), LOSSES.values(), ids=LOSSES)
def test_a_model_that_has_learnt_is_not_complained_of(loss, X):
    assert not above_means(quick(loss=loss, learning_rate=0.01, max_iter=40), X)


def test_users_functions_are_not_asked_and_likelihoods_speak_for_themselves():
    X = rows(200)
    models = quick(loss=lambda output, target: (output - target).abs().sum(1)), quick(VAESampler)
    assert not any(above_means(model.set_params(learning_rate=1e-9), X) for model in models)


def test_penalties_are_no_part_of_it():
    X = rows(200)
    model = quick(alpha=0.5, learning_rate=0.01, max_iter=40)
    assert not above_means(model, X)
    assert model.loss_ > X.var(0).mean()


def test_a_fit_that_was_too_short_is_warned_of_once():
    model = quick(learning_rate=1e-9, tol=1e-12, activation="tanh")
    with pytest.warns(ConvergenceWarning, match=r"max_iter=2(.|\n)*column means") as caught:
        model.fit(rows(200))
    assert len(caught) == 1


def test_rows_without_variance_have_no_means_to_beat():
    assert not above_means(quick(), np.full((30, 3), 7.0))


class Weighed(BaseAutoencoder):
    weight: float = 1.0
    grows_with: str = "squares"

    def _penalty(self, x, code):
        return self.weight * (code.abs() if self.grows_with == "lengths" else code.square()).sum(1)


OUTWEIGHED = (
    "without Weighed._penalty, (no better than|above) the .* column means: .* "
    r"Weigh Weighed._penalty less( \(weight=[^)]*\))?; or, if "
    r"that is not the cause, (train longer \(max_iter\)|lower learning_rate)"
)


@pytest.mark.parametrize(
    "parameters",
    [{"weight": 1e4}, {"weight": 1.0, "grows_with": "lengths"}, {"weight": 1e4, "n_init": 2}],
    ids=str,
)
def test_a_penalty_that_leaves_nothing_to_the_reconstruction_is_told_once(parameters):
    X = load_digits().data / 16
    model = Weighed(code_activation="relu", max_iter=20, random_state=0, **parameters)
    (message,) = warnings_of(lambda: model.fit(X))
    assert re.search(OUTWEIGHED, message)
    assert abs(model.score(X)) < 0.01


@pytest.mark.parametrize(
    ("parent", "parameters"),
    [(SparseAutoencoder, {"sparsity": "l1"}), (VAESampler, {"loss": "squared_error"})],
    ids=["sparse", "vae"],
)
def test_units_that_a_penalty_switches_off_are_not_told_beside_it(parent, parameters):
    class Weighed(parent):
        def _penalty(self, x, code):
            return 1e3 * code.square().sum(1)

    model = Weighed(max_iter=20, random_state=0, **parameters)
    (message,) = warnings_of(lambda: model.fit(load_digits().data / 16))
    assert re.search(OUTWEIGHED, message)


@pytest.mark.parametrize("parameters", [{"weight": 1.0, "max_iter": 20}, {"weight": 1e4, "max_iter": 3}], ids=str)
def test_penalties_that_leave_something_and_short_fits_are_not_told(parameters):
    assert not warnings_of(lambda: Weighed(random_state=0, **parameters).fit(load_digits().data / 16))


PENALTIES = {
    "alpha=1": AutoencoderTransformer(alpha=1.0),
    "alpha=100": AutoencoderTransformer(alpha=100.0, solver="adamw"),
    "contractive=1e+06": AutoencoderTransformer(contractive=1e6),
}


@pytest.mark.parametrize(("told", "model"), PENALTIES.items(), ids=PENALTIES)
def test_a_parameter_that_leaves_nothing_to_the_reconstruction_is_told_with_its_value(told, model):
    X = load_digits().data / 16
    model = clone(model).set_params(max_iter=20, random_state=0)
    (message,) = warnings_of(lambda: model.fit(X))
    assert f": codes carry nothing. Lower {told}; or, if that is not the cause, " in message
    assert abs(model.score(X)) < 0.01


@pytest.mark.parametrize("parameters", [{"alpha": 1e4}, {"alpha": np.float64(1.0)}], ids=str)
def test_a_penalty_that_early_stopping_has_undone_is_told(parameters):
    """Else a search over alpha finds all that is too much nearly as good as the best."""
    X = StandardScaler().fit_transform(load_breast_cancer().data)
    model = AutoencoderTransformer(2, random_state=0, **parameters)
    (message,) = warnings_of(lambda: model.fit(X))
    assert model.score(X) > 0.5
    assert re.search(rf"{model.best_loss_:.4g}: they hardly know the penalty\. Lower alpha=\d+\.$", message)
    assert model.validation_loss_curve_[-1] > 0.9


@pytest.mark.parametrize("parameters", [{}, {"alpha": 1e-3}, {"alpha": 0.1}, {"contractive": 1.0}], ids=str)
def test_a_penalty_in_balance_is_not_told(parameters):
    X = StandardScaler().fit_transform(load_breast_cancer().data)
    assert not warnings_of(lambda: AutoencoderTransformer(2, random_state=0, **parameters).fit(X))


def test_a_parameter_is_told_beside_a_penalty_of_ones_own():
    X = load_digits().data / 16
    (message,) = warnings_of(lambda: Weighed(weight=1e4, alpha=10.0, max_iter=20, random_state=0).fit(X))
    assert "Weigh Weighed._penalty less (weight=10000) and lower alpha=10; or, if" in message


@pytest.mark.parametrize("parameters", [{"alpha": 1e-8}, {"alpha": 0.01, "solver": "adamw"}], ids=str)
def test_an_alpha_too_weak_to_be_the_cause_is_not_told(parameters):
    noise = np.random.default_rng(0).normal(size=(500, 300))
    assert not warnings_of(lambda: quick(n_components=1, max_iter=60, **parameters).fit(noise), "Lower alpha")
    model = quick(output_activation="sigmoid", max_iter=5, **parameters)
    assert "alpha" not in above_means(model, rows(200) + 50)[0]


def test_a_loss_above_the_means_beside_a_penalty_is_told_with_both_causes():
    model = quick(Weighed, output_activation="sigmoid", max_iter=5)
    (message,) = above_means(model, rows(200) + 50)
    assert re.search(OUTWEIGHED, message)


@pytest.mark.parametrize("name", ["kernel_size", "downsampling", "downsampling_factor", "code_layer"])
def test_parameters_of_images_are_told_where_no_image_shape_is_given(name):
    value = {"downsampling": "pool", "code_layer": "convolution"}.get(name, 1)
    X = load_digits().data[:200]
    settings = {"hidden_layer_sizes": (4,), "max_iter": 1, name: value}
    (message,) = warnings_of(lambda: DenoisingAutoencoder(64, **settings).fit(X))
    assert f"Without effect without image_shape, which makes networks convolutional: {name}={value!r}." in message
    assert not warnings_of(lambda: DenoisingAutoencoder(64, image_shape=(8, 8), **settings).fit(X))


# Codes wider than the rows ---------------------------------------------------------------------------------

WIDE = r"n_components=\d+ is more than the .* of X, and nothing keeps such a code from copying"


def wide(model, X=None):
    return warnings_of(lambda: model.fit(rows() if X is None else X), "is more than the")


@pytest.mark.parametrize("cls", [BaseAutoencoder, AutoencoderTransformer, StackedAutoencoder])
def test_a_code_that_can_copy_the_rows_is_told(cls):
    (message,) = wide(quick(cls, n_components=6))
    assert message.startswith("n_components=6 is more than the 5 columns of X")
    assert "Lower n_components, or use SparseAutoencoder" in message
    assert not wide(quick(cls, n_components=5))
    (message,) = wide(quick(cls, n_components=2), rows()[:, :1])
    assert "more than the single column of X" in message
    model = quick(cls, n_components=6)
    assert len(warnings_of(lambda: model.partial_fit(rows()), "is more than the")) == 1
    assert not warnings_of(lambda: model.partial_fit(rows()), "is more than the")


def test_twenty_units_for_two_columns():
    with pytest.warns(UserWarning, match=WIDE):
        model = AutoencoderTransformer(20, random_state=0).fit(rows()[:, :2])
    assert model.score(rows()[:, :2]) > 0.999


@pytest.mark.parametrize("cls", [AutoencoderTransformer, StackedAutoencoder])
def test_the_default_width_is_no_choice_to_warn_of(cls):
    assert not wide(cls(max_iter=2, random_state=0))


class Penalised(BaseAutoencoder):
    def _penalty(self, x, code):
        return 0.1 * code.abs().sum(1)


@pytest.mark.parametrize(
    "model",
    [
        quick(SparseAutoencoder, n_components=20),
        quick(DenoisingAutoencoder, n_components=20),
        quick(VAESampler, n_components=20),
        quick(AdversarialAutoencoder, n_components=20),
        quick(SemanticHasher, n_bits=20),
        quick(StackedAutoencoder, n_components=20, noise="gaussian", noise_level=0.1),
        quick(AutoencoderTransformer, n_components=20, contractive=0.1),
        quick(AutoencoderTransformer, n_components=20, ordered=True),
        quick(AutoencoderTransformer, n_components=20, ordered=True, hidden_layer_sizes=()),
        quick(AutoencoderTransformer, n_components=20, dropout=0.1),
        quick(
            AutoencoderTransformer, n_components=21, image_shape=(1, 5), code_layer="convolution", kernel_size=1
        ),
        quick(AutoencoderTransformer, n_components=20, alpha=0.01),
        quick(AutoencoderTransformer, n_components=20, hidden_layer_sizes=(8, 2)),
        quick(AutoencoderTransformer, n_components=20, decoder_hidden_layer_sizes=(2, 8)),
        quick(AutoencoderTransformer, n_components=20, encoder=torch.nn.Linear(5, 20)),
        quick(Penalised, n_components=20),
    ],
)
def test_other_wide_codes_are_not(model):
    assert not wide(model)


def test_wide_codes_of_a_classifier_are_for_something_else():
    classifier = AutoencoderClassifier(quick(n_components=20), max_iter=2)
    assert not warnings_of(lambda: classifier.fit(rows(), np.arange(60) % 3), "is more than the")


# Hidden layers narrower than the code ----------------------------------------------------------------------


def narrow(model, X=None):
    return warnings_of(lambda: model.fit(rows() if X is None else X), "narrowest hidden layer")


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ({"hidden_layer_sizes": (3,)}, "hidden_layer_sizes=(3,)"),
        ({"hidden_layer_sizes": (8, 3)}, "hidden_layer_sizes=(8, 3)"),
        ({"hidden_layer_sizes": 3, "init": "glorot"}, "hidden_layer_sizes=(3,)"),
        ({"decoder_hidden_layer_sizes": (3, 8)}, "decoder_hidden_layer_sizes=(3, 8)"),
        (
            {"hidden_layer_sizes": (3,), "decoder_hidden_layer_sizes": (4,)},
            "hidden_layer_sizes=(3,) and decoder_hidden_layer_sizes=(4,)",
        ),
    ],
    ids=str,
)
def test_a_hidden_layer_narrower_than_the_code_is_told(layers, told):
    (message,) = narrow(quick(n_components=5, **layers))
    assert message == (
        f"n_components=5 exceeds the 3 units of the narrowest hidden layer ({told}): at most 3 numbers of each "
        "row get through, and PCA with 5 components may reconstruct it better. Make hidden layers at least 5, "
        "better 10, units wide, or lower n_components to 3 or less."
    )
    assert not narrow(quick(n_components=3, **layers))


def test_layers_without_an_activation_need_no_pairs():
    (message,) = narrow(quick(n_components=5, hidden_layer_sizes=(3,), activation="identity"))
    assert "at least 5 units wide, or lower" in message


def test_the_default_layers_are_narrower_than_many_units():
    X = np.random.default_rng(0).normal(size=(200, 150))
    (message,) = narrow(AutoencoderTransformer(130, max_iter=1, random_state=0), X)
    assert "n_components=130 exceeds the 128 units" in message
    assert "at least 130, better 260, units" in message
    assert not narrow(AutoencoderTransformer(128, max_iter=1, random_state=0), X)


def test_narrow_layers_are_told_once_in_a_first_fit():
    model = quick(n_components=5, hidden_layer_sizes=(3,), warm_start=True)
    assert [len(narrow(model)) for _ in range(2)] == [1, 0]
    model = clone(model)
    assert [len(warnings_of(lambda: model.partial_fit(rows()), "narrowest")) for _ in range(2)] == [1, 0]


NARROW = {"n_components": 5, "hidden_layer_sizes": (3,)}


@pytest.mark.parametrize(
    "model",
    [
        quick(**{**NARROW, "hidden_layer_sizes": (5,)}),
        quick(**{**NARROW, "hidden_layer_sizes": ()}),
        quick(**{**NARROW, "n_components": 6}),  # than the columns, of which PCA has no code
        quick(BaseAutoencoder, **NARROW),
        quick(SparseAutoencoder, **NARROW),
        quick(DenoisingAutoencoder, **NARROW),
        quick(StackedAutoencoder, **NARROW),
        quick(VAESampler, **NARROW),
        quick(AdversarialAutoencoder, **NARROW),
        quick(SemanticHasher, n_bits=5, hidden_layer_sizes=(3,)),
        quick(**NARROW, tied_weights=True),
        quick(**NARROW, ordered=True),
        quick(**NARROW, loss="absolute_error"),
        quick(**NARROW, activation="tanh"),
        quick(**NARROW, normalization="layer"),
        quick(**NARROW, image_shape=(5, 1)),
        quick(n_components=5, encoder=torch.nn.Linear(5, 5), decoder_hidden_layer_sizes=(3,)),
    ],
)
def test_other_narrow_layers_are_not(model):
    assert not narrow(model)


def test_nor_those_of_fewer_rows_than_units_and_of_a_classifier():
    assert not narrow(quick(**NARROW), rows()[:4])
    classifier = AutoencoderClassifier(quick(**NARROW), max_iter=2)
    assert not warnings_of(lambda: classifier.fit(rows(), np.arange(60) % 3), "narrowest")


def test_likelihoods_with_a_variance_are_asked_for_units():
    X, names = load_wine().data, load_wine().feature_names
    (message,) = warnings_of(lambda: VAESampler(2, random_state=0).fit(pd.DataFrame(X, columns=names)))
    assert "Column 'proline' of 13 hides the others" in message
    counts = np.random.default_rng(0).poisson(1e4, size=(len(X), 2))
    mixed = [("poisson", (0, 1)), ("gaussian", range(2, 15))]
    (message,) = warnings_of(
        lambda: quick(VAESampler, likelihood=mixed).fit(np.column_stack([counts, X])), "Column"
    )
    assert "Column 14 of 15 hides the others" in message
    scaled = StandardScaler().fit_transform(X)
    assert not warnings_of(
        lambda: quick(VAESampler, likelihood=mixed).fit(np.column_stack([counts, scaled])), "Column"
    )


# Advice that can be followed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "X_val", "said"),
    [
        (quick(loss="binary_cross_entropy"), 50 * np.ones((5, 4)), "needs X_val in [0, 1], but its minimum is 50"),
        (quick(VAESampler, likelihood="poisson"), -np.ones((5, 4)), "needs X_val of at least 0, but its minimum"),
        (
            quick(VAESampler, likelihood=[("categorical", (0, 1)), ("gaussian", (2, 3))]),
            np.ones((5, 4)),
            "needs one-hot columns [0, 1] of X_val",
        ),
    ],
)
def test_rows_to_watch_are_checked_as_those_to_train_on(model, X_val, said):
    X = np.tile(np.eye(4)[:2], (20, 1))
    with pytest.raises(ValueError, match=re.escape(said)):
        model.fit(X, X_val=X_val)


def test_rows_in_a_range_are_not_to_be_standardised():
    X = np.random.default_rng(0).integers(0, 2, (60, 20)).astype(float)
    (message,) = above_means(quick(loss="binary_cross_entropy", max_iter=1, learning_rate=1e-6), X)
    assert "max_iter" in message
    assert "StandardScaler" not in message


def test_scalers_of_sparse_rows_leave_zeros_alone():
    X = sparse.csr_array(np.random.default_rng(0).poisson(0.4, size=(80, 6)) * np.array([1e4, 1, 1, 1, 1, 1]))
    (message,) = of_units(quick(), X)
    assert "StandardScaler(with_mean=False)" in message
    scaled = make_pipeline(StandardScaler(with_mean=False), quick())
    assert not warnings_of(lambda: scaled.fit(X), "nearly all")
    with pytest.raises(ValueError, match=re.escape("MaxAbsScaler(clip=True)")):
        quick(loss="binary_cross_entropy").fit(X)
    make_pipeline(MaxAbsScaler(clip=True), quick(loss="binary_cross_entropy")).fit(X)


# Penalties without a lower bound ---------------------------------------------------------------------------


class Spread(BaseAutoencoder):
    strength: float = 1.0
    grows: str = "variance"

    def _penalty(self, x, code):
        variance = code.var(0).sum()
        value = {
            "variance": variance,
            "logarithm": variance.log(),
            "clamp": variance.clamp(max=5.0),
            "sigmoid": 1e6 * torch.sigmoid(variance - 5),
        }[self.grows]
        return -self.strength * value.expand(len(code))


UNBOUNDED = r"^Spread\._penalty came to -.* still falling"


@pytest.mark.parametrize(
    "parameters", [{}, {"max_iter": 200, "tol": 1e-6}, {"alpha": 1e-3}, {"n_init": 2}], ids=str
)
def test_a_penalty_that_falls_for_ever_is_told_once(parameters):
    [message] = warnings_of(lambda: Spread(2, random_state=0, **parameters).fit(rows()))
    assert re.search(UNBOUNDED, message)
    assert "torch.clamp" in message


def test_of_a_likelihood_too():
    class Spread(VAESampler):
        def _penalty(self, x, code):
            return -5 * code[:, :2].square().sum(1)

    messages = warnings_of(lambda: Spread(2, random_state=0, learning_rate=0.03, max_iter=100).fit(rows()))
    assert any("a nat for each column" in message for message in messages)


@pytest.mark.parametrize("strength", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("grows", ["logarithm", "clamp", "sigmoid"])
def test_penalties_that_are_bounded_or_slow_are_not(grows, strength):
    model = Spread(2, grows=grows, strength=strength, random_state=0)
    assert warnings_of(lambda: model.fit(rows()), "still falling") == []


def test_a_loss_that_is_negative_is_no_penalty():
    class Plain(BaseAutoencoder):
        def _penalty(self, x, code):
            return 0.1 * code.square().sum(1)

    model = Plain(2, loss=lambda o, t: -1e5 * (o - t).square().mean(1), max_iter=20, random_state=0)
    assert warnings_of(lambda: model.fit(rows()), "still falling") == []


def going_on(estimator, X):
    """Return what is warned of where a fitted estimator goes on with rows, as it stands and by a warm start."""
    warm = clone(estimator).set_params(warm_start=True).fit(WINE)
    found = []
    for call in (copy.deepcopy(estimator).partial_fit, warm.fit):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call(X)
        found.append([str(warning.message) for warning in caught])
    return found


@pytest.mark.parametrize("kind", [AutoencoderTransformer, DenoisingAutoencoder, VAESampler])
def test_rows_that_have_not_passed_the_scaler_are_told(kind):
    estimator = kind(2, max_iter=2, random_state=0).fit(WINE)
    raw = load_wine().data
    for X in (raw, np.vstack([WINE, raw[:60]])):
        for told in going_on(estimator, X):
            assert len(told) == 1
            assert "times as far from the centre" in told[0]
            assert "pipeline[:-1].transform(X)" in told[0]
    # One class, a gross row among usual ones, and a shift of two deviations are no such case.
    gross = WINE.copy()
    gross[0] = 1e3
    for usual in (WINE[:20], gross, WINE + 2):
        assert going_on(estimator, usual) == [[], []]


@pytest.mark.parametrize("kind", [AutoencoderTransformer, DenoisingAutoencoder, VAESampler])
def test_rows_to_watch_that_have_not_passed_the_scaler_are_told(kind):
    raw = load_wine().data
    estimator = kind(2, max_iter=2, random_state=0)
    for model in (estimator, clone(estimator).set_params(warm_start=True).fit(WINE)):
        (told,) = warnings_of(lambda model=model: model.fit(WINE, X_val=raw), "rows of X_val")
        assert "scaler.transform(X_val)" in told
        assert "transform_input=['X_val']" in told
    gross = WINE.copy()
    gross[0] = 1e3
    for usual in (WINE[:20], gross, WINE + 2):
        assert warnings_of(lambda usual=usual: estimator.fit(WINE, X_val=usual), "rows of X_val") == []
    assert warnings_of(lambda: estimator.fit(WINE[:10], X_val=raw), "rows of X_val") == []


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (quick(StackedAutoencoder, noise_level=0.5), "with noise=None: noise_level=0.5"),
        (quick(StackedAutoencoder, clean_fraction=0.5), "with noise=None: clean_fraction=0.5"),
        (quick(StackedAutoencoder, noise=lambda x, _: x, noise_level=0.5), "with a callable noise: noise_level"),
        (quick(DenoisingAutoencoder, noise=lambda x, _: x, noise_level=0.5), "with a callable noise: noise_level"),
    ],
)
def test_parameters_of_noise_that_is_not_drawn_are_told(model, told):
    (message,) = warnings_of(lambda: model.fit(rows()), "Without effect")
    assert told in message
    assert "'salt_and_pepper'" in message


def test_idle_parameters_of_both_parents_are_told():
    class SparseDenoiser(SparseAutoencoder, DenoisingAutoencoder):
        pass

    model = quick(SparseDenoiser, n_active=1, noise=lambda x, _: x, noise_level=0.5)
    sparsity, noise = sorted(warnings_of(lambda: model.fit(rows()), "Without effect"), reverse=True)
    assert "with sparsity='kl': n_active=1" in sparsity
    assert "with a callable noise: noise_level=0.5" in noise
