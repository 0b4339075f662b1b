"""What every estimator promises beyond scikit-learn's checks; see also the other test_common_* files."""

from functools import partial
from inspect import signature

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from estimators import (
    BY_ERROR,
    DETECTORS,
    ESTIMATORS,
    EVERY_ESTIMATOR,
    IMPUTERS,
    PUBLIC_CLASSES,
    SPARSE_OUTPUT,
    TABULAR,
    assert_same,
    assert_same_model,
    fitted,
    labels,
    row_methods,
    rows,
    widths,
)
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer

every_estimator = pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
every_autoencoder = pytest.mark.parametrize("estimator", ESTIMATORS)
those_that_are_centred = pytest.mark.parametrize(
    "estimator",
    [p for p in ESTIMATORS if not callable(p.values[0].loss) and getattr(p.values[0], "noise", None) != "masking"],
)
those_that_score_by_error = pytest.mark.parametrize("estimator", BY_ERROR)


def calls(model, X):
    """Every public call on a fitted model, ready to be made."""
    yield from (partial(getattr(model, method), X) for method in row_methods(model))
    if is_classifier(model):
        yield partial(model.predict, X)
        yield partial(model.score, X, labels(X))
    else:
        yield partial(model.inverse_transform, model.transform(X))
        yield partial(model.score, X)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("public", [c for c in PUBLIC_CLASSES if hasattr(c(), "max_iter")])
@pytest.mark.parametrize("given", [{}, {"max_iter": 7, "batch_size": 20, "learning_rate": 1e-3}])
def test_what_was_used_for_automatic_settings_is_told(public, given):
    """And a number means that number. The imputer's rate, which has a default of its own, is no news."""
    X = rows()
    model = public(**given).fit(X, labels(X)) if is_classifier(public()) else public(**given).fit(X)
    automatic = [name for name in ("learning_rate", "batch_size", "max_iter") if getattr(public(), name) == "auto"]
    assert automatic
    for name in automatic:
        used = getattr(model, f"{name}_")
        assert type(used) is (float if name == "learning_rate" else int)
        assert used == given[name] if given else used > 0


# What a search gives where its grid is an array; in place of defaults that are no numbers, or have no effect.
NUMBERS = {
    "alpha": 0.01, "batch_size": 20, "clean_fraction": 0.25, "contamination": 0.125, "contractive": 0.125,
    "decoder_hidden_layer_sizes": (128,), "decoder_variance": 0.5, "dropout": 0.25, "early_stopping": True,
    "free_bits": 0.125, "kl_warm_up": 2.0, "learning_rate": 0.0078125, "max_grad_norm": 0.5, "max_iter": 5,
    "n_active": 2, "n_bits": 8, "n_components": 2, "n_init": 2, "noise_level": 0.25, "sparsity_weight": 0.125,
    "tol": 0.25, "trim": 0.125,
}  # fmt: skip
TYPES = {bool: (np.bool_,), int: (np.int64, np.int32), float: (np.float64, np.float32)}


def numbers():
    """A case for each parameter of each class that takes a number, and for each of NumPy's types."""
    cases = []
    for public in PUBLIC_CLASSES:
        for name, default in public().get_params().items():
            value = NUMBERS.get(name, default)
            first = value[0] if isinstance(value, tuple) and value else value
            for to in TYPES.get(type(first), ()):
                given = tuple(map(to, value)) if isinstance(value, tuple) else to(value)
                plain = tuple(g.item() for g in given) if isinstance(value, tuple) else given.item()
                cases.append(
                    pytest.param(public, name, plain, given, id=f"{public.__name__}-{name}-{to.__name__}")
                )
    return cases


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("public", "name", "plain", "given"), numbers())
def test_numbers_of_numpy_are_as_good_as_those_of_python(public, name, plain, given):
    few = {"max_iter": 4, "n_estimators": 2, "random_state": 0}
    settings = {key: value for key, value in few.items() if key in public().get_params()}
    X = rows()
    expected, model = (public(**settings | {name: value}).fit(X, labels(X)) for value in (plain, given))
    for method in ("transform", "predict", "score_samples"):
        if hasattr(model, method):
            found = getattr(model, method)(X)
            assert_allclose(found, getattr(expected, method)(X), atol=1e-5)  # np.float32 rounds what it meets


# Determinism -----------------------------------------------------------------------------------------------


@every_estimator
def test_one_seed_one_model(estimator):
    assert_same_model(fitted(estimator), fitted(estimator))
    states = [np.random.RandomState(7) for _ in range(2)]
    assert_same_model(*(fitted(estimator, random_state=state) for state in states))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize(
    "estimator",
    [*EVERY_ESTIMATOR, *(pytest.param(e, id=name) for name, e in {**DETECTORS, **IMPUTERS, **TABULAR}.items())],
)
def test_a_fit_does_not_depend_on_the_gradient_mode_of_torch(estimator, mode):
    X = rows()
    with mode():
        model = fitted(estimator)
    expected = fitted(estimator)
    for method in ("transform", "score_samples", "impute"):
        if hasattr(model, method):
            assert_same(getattr(model, method)(X), getattr(expected, method)(X))
    if hasattr(estimator, "partial_fit"):  # outside of the mode, too
        assert_same_model(model.partial_fit(X), expected.partial_fit(X))


@every_estimator
def test_another_seed_another_model(estimator):
    X = rows()
    drawn = {} if is_classifier(estimator) else {"init": "glorot"}
    codes = [fitted(estimator, random_state=seed, **drawn).transform(X) for seed in (0, 1, None, None)]
    for i, j in ((0, 1), (0, 2), (2, 3)):
        assert not np.allclose(codes[i], codes[j])


@every_estimator
def test_no_global_generator_is_read_or_written(estimator):
    X = rows()

    def life(global_seed):
        torch.manual_seed(global_seed)
        np.random.seed(global_seed)  # noqa: NPY002
        before = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
        models = [fitted(estimator, random_state=0)]
        if hasattr(estimator, "partial_fit"):
            models.append(clone(estimator).partial_fit(X).partial_fit(X))
        fitted(estimator, random_state=None)
        for call in calls(models[0], X):
            call()
        after = torch.get_rng_state(), np.random.get_state()  # noqa: NPY002
        assert torch.equal(before[0], after[0])
        np.testing.assert_equal(before[1], after[1])
        return models

    for one, other in zip(life(1), life(2), strict=True):
        assert_same_model(one, other)


@every_autoencoder
def test_one_seed_one_noise_in_either_precision(estimator):
    """Rows in float32 and in float64 get the same weights, order and noise; what differs is rounding."""
    X = rows().astype(np.float32)
    # Not from PCA's solution: at an optimum, the gradients of linear networks are nothing but rounding.
    single, double = (fitted(estimator, x, dtype="auto", init="glorot") for x in (X, X.astype(np.float64)))
    assert next(single.encoder_.parameters()).dtype == torch.float32
    assert next(double.encoder_.parameters()).dtype == torch.float64
    assert_allclose(single.loss_curve_, double.loss_curve_, rtol=1e-3)
    with torch.no_grad():
        codes = single.encoder_(torch.from_numpy(X)), double.encoder_(torch.from_numpy(X).double())
    assert_allclose(*(torch.cat(code, 1) if isinstance(code, tuple) else code for code in codes), atol=1e-2)
    if hasattr(single, "sample"):
        assert_allclose(*(model.sample(50, random_state=0) for model in (single, double)), atol=1e-2)


# Using a fitted model --------------------------------------------------------------------------------------


@every_estimator
def test_transform_is_row_by_row(estimator):
    X = rows(50)
    model = fitted(estimator)
    for apply in (getattr(model, method) for method in row_methods(model)):
        result = apply(X)
        assert len(result) == 50
        rows_ = np.concatenate([apply(X[i : i + 1]) for i in range(50)])
        assert_allclose(rows_, result, rtol=1e-9, atol=1e-12)
        assert_allclose(apply(np.vstack([X, 1e3 * X]))[:50], result, rtol=1e-9, atol=1e-12)


@every_estimator
def test_using_a_model_does_not_change_it(estimator):
    X = rows()
    model, twin = fitted(estimator), fitted(estimator)
    names = set(vars(model))
    codes = model.transform(X)
    for call in calls(model, X):
        call()
    assert set(vars(model)) == names
    assert_same_model(model, twin)
    assert_same(model.transform(X), codes)


@every_autoencoder
def test_reconstruct_is_inverse_transform_of_transform(estimator):
    X = rows(30, seed=1)
    model = fitted(estimator)
    expected = model.inverse_transform(model.transform(X))
    assert expected.shape == X.shape
    assert_allclose(model.reconstruct(X), expected, rtol=1e-12)


@every_autoencoder
def test_fitted_networks_are_modules_from_data_to_data(estimator):
    X = rows()
    model = fitted(estimator)
    assert isinstance(model.encoder_, torch.nn.Module)
    assert isinstance(model.decoder_, torch.nn.Module)
    assert not model.encoder_.training
    assert not model.decoder_.training
    with torch.no_grad():
        codes = model.encoder_(torch.tensor(X))
        codes = codes[0] if isinstance(codes, tuple) else codes  # of a distribution, the mean
        assert_allclose(codes.numpy(), model.transform(X), rtol=1e-4, atol=1e-5)
        assert_allclose(model.decoder_(codes).numpy(), model.reconstruct(X), rtol=1e-4, atol=1e-5)


@every_autoencoder
def test_reconstruction_error(estimator):
    X = rows(30, seed=1)
    model = fitted(estimator)
    squares = (X - model.reconstruct(X)) ** 2
    assert_allclose(model.reconstruction_error(X, per_feature=True), squares, rtol=1e-9, atol=1e-15)
    assert_allclose(model.reconstruction_error(X), squares.mean(1), rtol=1e-9)


@those_that_score_by_error
def test_rows_score_minus_their_error(estimator):
    X = rows(30, seed=1)
    model = fitted(estimator)
    assert_allclose(model.score_samples(X), -model.reconstruction_error(X), rtol=1e-12)


@those_that_score_by_error
@pytest.mark.parametrize("constant_column", [False, True])
def test_score_is_variance_weighted_r2(estimator, constant_column):
    X = rows(30, seed=1)
    if constant_column:
        X[:, 2] = 3.0
    model = fitted(estimator)
    score = model.score(X)
    assert type(score) is float
    expected = r2_score(X, model.reconstruct(X), multioutput="variance_weighted")
    assert_allclose(score, expected, rtol=1e-9)


@pytest.mark.parametrize("value", [0.1, -0.03, 1e6 + 0.1])
def test_a_constant_column_has_no_variance_to_score(value):
    """Whatever the rounding of its mean, which sparse and dense rows sum in different orders."""
    model, X = AutoencoderTransformer(2, max_iter=2, tol=None, random_state=0).fit(rows()), rows(300, seed=1)
    X[:, 2] = value
    residual = np.square(model.reconstruct(X) - X)
    others = np.arange(X.shape[1]) != 2
    expected = 1 - residual[:, others].sum() / (np.square(X - X.mean(0))[:, others]).sum()
    assert_allclose([model.score(X), model.score(sparse.csr_array(X))], expected, rtol=1e-9)


@those_that_score_by_error
def test_score_of_rows_without_variance(estimator):
    model = fitted(estimator)
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(model.score(rows(1)))
    X = np.ones((5, 5))
    assert model.score(X) == r2_score(X, model.reconstruct(X), multioutput="variance_weighted") == 0


@every_autoencoder
def test_weights_in_score_count_rows(estimator):
    """A row of weight two counts twice, one of weight zero not at all; and no weight is a weight of one."""
    X, weight = rows(30, seed=1), np.arange(30) % 3
    model = fitted(estimator)
    score = model.score(X, sample_weight=weight)
    assert type(score) is float
    assert_allclose(score, model.score(np.repeat(X, weight, axis=0)), rtol=1e-9)
    assert_allclose(model.score(sparse.csr_array(X), sample_weight=weight.tolist()), score, rtol=1e-9)
    assert_allclose(model.score(X, sample_weight=np.ones(30)), model.score(X), rtol=1e-9)
    assert abs(score - model.score(X)) > 1e-6
    for bad in (weight[1:], -weight, 0 * weight):
        with pytest.raises(ValueError, match=r"(?i)sample.weight"):
            model.score(X, sample_weight=bad)


@every_autoencoder
def test_higher_score_for_a_better_model(estimator):
    X = rows(200)
    conditional = getattr(estimator, "decoder_variance", None) == "conditional"
    settings = {"init": "glorot"}
    if conditional and estimator.image_shape is not None:  # whose code of few channels may come to say nothing
        conditional, settings["hidden_layer_sizes"] = False, (16, 8)
    short = fitted(estimator, X, max_iter=1, **settings)
    long = fitted(estimator, X, max_iter=200, learning_rate=2e-2 if conditional else 5e-3, **settings)
    assert short.score(X) < long.score(X)
    assert r2_score(X, long.reconstruct(X), multioutput="variance_weighted") > 0.5
    assert long.score_samples(X).mean() > short.score_samples(X).mean()


@every_estimator
def test_feature_names_out(estimator):
    model = fitted(estimator)
    prefix = type(estimator).__name__.lower()
    expected = [f"{prefix}{i}" for i in range(model.transform(rows()).shape[1])]
    assert list(model.get_feature_names_out()) == expected


@every_estimator
def test_unfitted(estimator):
    others = ["predict"] if is_classifier(estimator) else ["inverse_transform"]
    for method in (*row_methods(estimator), *others):
        with pytest.raises(NotFittedError):
            getattr(clone(estimator), method)(rows())
    with pytest.raises(NotFittedError):
        clone(estimator).score(rows(), labels(rows()))
    with pytest.raises(NotFittedError):
        clone(estimator).get_feature_names_out()


@every_estimator
def test_nothing_prints(estimator, capfd):
    X = rows()
    model = fitted(estimator, X)
    if hasattr(model, "partial_fit"):
        model.partial_fit(X)
    for call in calls(model, X):
        call()
    if hasattr(model, "sample"):
        model.sample(3)
    repr(model.get_feature_names_out())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "frame",
    [lambda X: pd.DataFrame(X, index=[f"row {i}" for i in range(len(X))]), lambda X: pl.DataFrame(X)],
    ids=["pandas", "polars"],
)
@pytest.mark.parametrize("estimator", [*EVERY_ESTIMATOR, pytest.param(SPARSE_OUTPUT["sparse_output"], id="csr")])
def test_data_frames_keep_their_index_and_name_the_codes(estimator, frame):
    X = frame(rows())
    X.columns = list("abcde")
    kind = type(X).__module__.split(".")[0]
    model = fitted(estimator, X).set_output(transform=kind)
    for codes in (model.transform(X), clone(model).fit_transform(X, labels(X))):
        assert type(codes) is type(X)
        assert list(codes.columns) == list(model.get_feature_names_out())
        assert codes.columns[0] == f"{type(estimator).__name__.lower()}0"
        if kind == "pandas":
            assert list(codes.index) == list(X.index)
    made = {name: getattr(model, name)(X) for name in ("reconstruct", "denoise") if hasattr(model, name)}
    if hasattr(model, "inverse_transform"):
        made["inverse_transform"] = model.inverse_transform(model.transform(X))
    for frame in made.values():
        assert type(frame) is type(X)
        assert list(frame.columns) == list(X.columns)
        if kind == "pandas":
            assert list(frame.index) == list(X.index)
    if hasattr(model, "sample"):
        assert list(model.sample(3, random_state=0).columns) == list(X.columns)
        unnamed = fitted(estimator).set_output(transform=kind).sample(3, random_state=0)
        assert list(unnamed.columns) == ["x0", "x1", "x2", "x3", "x4"]
        assert_same(unnamed.to_numpy(), fitted(estimator).sample(3, random_state=0))


@those_that_are_centred
def test_a_billion_added_to_every_column_changes_nothing(estimator):
    """float32 knows every 64th number there: means are subtracted before the cast, and added back after it."""
    X = rows()
    model, reference = (fitted(estimator, x, dtype="float32", early_stopping=False) for x in (X + 1e9, X))
    assert_allclose(model.reconstruct(X + 1e9) - 1e9, reference.reconstruct(X), atol=0.02)
    assert_allclose(model.loss_curve_, reference.loss_curve_, rtol=1e-2)
    with torch.no_grad():
        codes = [m.encoder_(torch.tensor(x)) for m, x in ((model, X + 1e9), (reference, X))]
        codes = [code[0] if isinstance(code, tuple) else code for code in codes]
        assert_allclose(*codes, atol=0.02)
        assert_allclose(model.decoder_(codes[0]).double() - 1e9, reference.decoder_(codes[1]), atol=0.02)


@pytest.mark.parametrize("hidden_layer_sizes", [(), (32,)], ids=str)
@pytest.mark.parametrize("far", [0, 1e2, 1e4, 1e6])
def test_single_precision_loses_nothing_of_what_it_holds(far, hidden_layer_sizes):
    """Methods and modules agree on float32 rows far from zero, whichever way they subtract the mean."""
    X = (rows() + far).astype(np.float32)
    settings = {"hidden_layer_sizes": hidden_layer_sizes, "learning_rate": 1e-2, "max_iter": 20, "tol": None}
    model = AutoencoderTransformer(3, random_state=0, **settings).fit(X)
    codes = model.encoder_(torch.from_numpy(X)).detach()
    assert_allclose(model.transform(X), codes, atol=1e-3)
    assert_allclose(model.reconstruct(X), model.decoder_(codes).detach(), atol=1e-3 + 1e-7 * far)


# Inside scikit-learn ---------------------------------------------------------------------------------------


@every_estimator
def test_clone_copies_parameters_only(estimator):
    copied = clone(fitted(estimator))
    assert repr(copied) == repr(clone(estimator))
    assert copied.get_params(deep=False).keys() == estimator.get_params(deep=False).keys()
    if not is_classifier(estimator):
        assert copied.get_params() == estimator.get_params()
    assert not [name for name in vars(copied) if name.endswith("_") and not name.startswith("__")]


@every_estimator
def test_cross_validation_of_a_pipeline(estimator):
    scores = cross_val_score(make_pipeline(StandardScaler(), estimator), rows(), labels(rows()), cv=3)
    assert np.isfinite(scores).all()


@every_estimator
def test_a_routed_pipeline_is_scored_with_weights(estimator):
    """Weights that are asked for by ``score`` come through a pipeline and a cross-validation."""
    X, weight = rows(), np.linspace(0.2, 2, 60)
    last = clone(estimator)
    with config_context(enable_metadata_routing=True):
        if "sample_weight" in signature(last.fit).parameters:
            last.set_fit_request(sample_weight=False)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        pipe = make_pipeline(scaler, last.set_score_request(sample_weight=True)).fit(X, labels(X))
        score = pipe.score(X, labels(X), sample_weight=weight)
        expected = pipe[-1].score(pipe[0].transform(X), labels(X), sample_weight=weight)
        assert score == expected
        folds = cross_val_score(pipe, X, labels(X), cv=2, params={"sample_weight": weight})
    assert np.isfinite(folds).all()


@every_estimator
def test_parallel_search_equals_the_serial_one(estimator):
    X = rows()
    one, two = (GridSearchCV(clone(estimator), widths(estimator), cv=2, n_jobs=n_jobs) for n_jobs in (1, 2))
    searches = [one.fit(X, labels(X)), two.fit(X, labels(X))]
    for name in ("split0_test_score", "split1_test_score"):
        assert_same(*(search.cv_results_[name] for search in searches))
    assert_same_model(*(search.best_estimator_ for search in searches))
