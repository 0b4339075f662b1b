"""Every estimator fitted, fitted again, carried on, and failed."""

import numpy as np
import pytest
import torch
from estimators import (
    CONTINUING,
    ESTIMATORS,
    EVERY_ESTIMATOR,
    NOISELESS,
    WITH_CODES,
    assert_same,
    assert_same_model,
    fitted,
    labels,
    rows,
    width_parameter,
)
from numpy.testing import assert_allclose
from sklearn.base import clone, is_classifier
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline

from skae import AutoencoderTransformer, StackedAutoencoder

every_estimator = pytest.mark.parametrize("estimator", ESTIMATORS)
every_continuing = pytest.mark.parametrize("estimator", CONTINUING)


@every_estimator
def test_attributes_of_a_fit(estimator):
    model = fitted(estimator)
    holds_out = estimator.early_stopping is True or estimator.max_iter == "auto"
    assert model.n_iter_ == len(model.loss_curve_) == model.max_iter_
    assert estimator.max_iter in ("auto", model.max_iter_)
    assert model.batch_size_ <= 60
    assert model.learning_rate_ >= (0.01 if estimator.learning_rate == "auto" else estimator.learning_rate)
    assert model.loss_ == model.loss_curve_[-1]
    assert all(type(loss) is float for loss in model.loss_curve_)
    assert hasattr(model, "validation_loss_curve_") == holds_out
    watched = model.validation_loss_curve_ if holds_out else model.loss_curve_
    assert len(watched) == model.max_iter_
    assert model.best_loss_ <= min(watched)  # the weights at the start, or PCA, may be better
    assert holds_out or model.best_loss_ == min(watched)
    assert model.device_ == torch.device("cpu")
    parameters = {id(p): p for network in (model.encoder_, model.decoder_) for p in network.parameters()}
    assert model.n_parameters_ == sum(p.numel() for p in parameters.values())


@every_continuing
def test_partial_fit_counts_and_equals_fit(estimator):
    """Passes with the solver carried on are the epochs of a fit; early stopping holds nothing out in them."""
    X = rows()
    steady = {"init": "glorot", "learning_rate": 1e-3}
    model = clone(estimator).set_params(**steady)
    for n in (1, 2, 3):
        assert model.partial_fit(X) is model
        assert model.n_iter_ == len(model.loss_curve_) == n
    if isinstance(estimator, StackedAutoencoder):
        return  # its fit trains layers one at a time first
    reference = fitted(estimator, X, early_stopping=False, max_iter=3, **steady)
    if estimator.hidden_layer_sizes == () and estimator.code_activation == "identity":
        # Of a linear network fit leaves the biases out; a pass over who knows which rows cannot.
        assert_allclose(model.loss_curve_, reference.loss_curve_, rtol=1e-4)
        assert_allclose(model.reconstruct(X), reference.reconstruct(X), atol=0.02)
    else:
        assert_same_model(model, reference)


@every_continuing
def test_partial_fit_takes_batches_of_any_size(estimator):
    X = rows(450)
    model = clone(estimator)
    for part in (X[: 2 if estimator.normalization == "batch" else 1], X[:7], X[7:]):
        model.partial_fit(part)
    assert model.n_iter_ == 3
    assert np.isfinite(model.transform(X)).all()
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :3])
    assert model.n_iter_ == 3


@pytest.mark.parametrize("estimator", NOISELESS)
def test_warm_start_continues_from_the_weights(estimator):
    """With a solver that has no memory, two short fits are one long one."""
    X = rows()
    settings = {"solver": "sgd", "momentum": 0.0, "shuffle": False, "early_stopping": False, "init": "glorot"}
    settings["learning_rate"] = 1e-2
    once = fitted(estimator, X, max_iter=6, **settings)
    twice = fitted(estimator, X, max_iter=3, warm_start=True, **settings).fit(X)
    assert_allclose(twice.transform(X), once.transform(X), rtol=1e-5, atol=1e-6)
    assert not np.allclose(
        fitted(estimator, X, max_iter=3, **settings).transform(X), once.transform(X), 1e-5, 1e-6
    )


@every_estimator
@pytest.mark.filterwarnings("ignore:The warm start has changed nothing:UserWarning")
def test_warm_start_obeys_set_params(estimator):
    X = rows()
    model = fitted(estimator, X, warm_start=True)
    codes = model.transform(X)
    model.set_params(learning_rate=1e-13).fit(X)
    if estimator.normalization != "batch":  # the running means go on without any learning
        assert_allclose(model.transform(X), codes, rtol=1e-6, atol=1e-6)
    with pytest.raises(ValueError, match=width_parameter(model)):
        model.set_params(**{width_parameter(model): 4}).fit(X)


@every_estimator
def test_without_warm_start_a_fit_forgets(estimator):
    model = fitted(estimator, rows(40, 7 if estimator.image_shape is None else 5, seed=3)).fit(rows())
    assert_same_model(model, fitted(estimator))


FAILURES = {
    "nan": (lambda X: np.full_like(X, np.nan), {}, "NaN"),
    "widths": (lambda X: X, {"hidden_layer_sizes": (0,)}, "hidden_layer_sizes"),
    "diverged": (lambda X: X, {"learning_rate": 1e300, "batch_size": 10}, "diverged"),
    "other_width": (
        lambda X: X[:, :3],
        {"learning_rate": 1e300, "batch_size": 10},
        "diverged|3 features|n_features=3",
    ),
    "device": (lambda X: X, {"device": "abacus"}, "device"),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@every_estimator
def test_a_failed_refit_leaves_the_old_model(estimator, method, failure):
    if not hasattr(estimator, method):
        pytest.skip("this takes no portions")
    spoil, parameters, message = FAILURES[failure]
    X = rows()
    model, twin = (getattr(clone(estimator), method)(X) for _ in range(2))
    names = set(vars(model))
    model.set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(spoil(X))
    assert set(vars(model)) == names
    assert_same_model(model, twin)
    assert_same(model.transform(X), twin.transform(X))


@every_estimator
def test_numbers_too_large_to_square_are_told(estimator):
    if estimator.get_params().get("loss") == "huber":
        pytest.skip("huber squares none of them")
    with pytest.raises(ValueError, match=r"largest magnitude in X is .*(unit|learning_rate)|\[0, 1\]|counts"):
        clone(estimator).fit(rows() * 1e200)


@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_warnings_name_the_line_that_called_fit(estimator):
    """A line of the library would be shown once, and never again for another model."""
    model, X = clone(estimator).set_params(max_iter=1, tol=1e-9), rows()
    for outermost in (model, make_pipeline(model)):
        with pytest.warns(ConvergenceWarning) as caught:
            outermost.fit(X, labels(X))
        assert {warning.filename for warning in caught} == {__file__}


@every_estimator
def test_fit_ignores_y(estimator):
    X = rows()
    assert_same_model(clone(estimator).fit(X, ["a", "b"] * 30), fitted(estimator, X))


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter:sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"n_components": 4}, r"but n_components is 4, and was 2\."),
        ({"hidden_layer_sizes": 9}, r"but hidden_layer_sizes is \(9,\), and was \(8,\)\."),
        ({"decoder_hidden_layer_sizes": (7,)}, r"but decoder_hidden_layer_sizes is \(7,\), and was \(8,\)\."),
        (
            {"n_components": 3, "normalization": "layer"},
            r"but n_components is 3, and was 2; normalization is 'layer', and was None\.",
        ),
        (
            {"encoder": torch.nn.Linear(5, 2)},
            "fitted to centred data, which encoder and decoder of your own do not",
        ),
        (
            {"output_activation": "sigmoid"},
            "centred data, which loss='squared_error' with output_activation='sigmoid'",
        ),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_parameters_that_no_longer_fit_the_networks_are_named(change, told, method):
    model = AutoencoderTransformer(2, hidden_layer_sizes=8, max_iter=2, warm_start=True, random_state=0).fit(
        rows()
    )
    with pytest.raises(ValueError, match=told):
        getattr(model.set_params(**change), method)(rows())


@pytest.mark.parametrize("public", [c for c in WITH_CODES if hasattr(c(), "normalization")])
def test_one_row_cannot_be_normalised_over_a_batch(public):
    model = public(2, normalization="batch")
    with pytest.raises(ValueError, match=r"Batch normalization .* needs at least two, but n_samples=1"):
        model.fit(rows(1))
    assert not hasattr(model, "encoder_")


@pytest.mark.parametrize("estimator_class", WITH_CODES, ids=lambda c: c.__name__)
def test_defaults_fit_standardised_data(estimator_class, breast_cancer):
    """The constructor alone is a fair start: two thirds of the variance of unseen rows, in 200 epochs."""
    X, y = breast_cancer, load_breast_cancer().target
    model = estimator_class(random_state=0).fit(X[::2], y[::2])
    if is_classifier(model):
        assert model.score(X[1::2], y[1::2]) > 0.93
    else:
        assert r2_score(X[1::2], model.reconstruct(X[1::2]), multioutput="variance_weighted") > 2 / 3
