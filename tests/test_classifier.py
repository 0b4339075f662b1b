"""The classifier: which rows have a label, what is frozen, what the autoencoder decides, and what it is worth."""

import copy
import io
import pickle
import pickletools

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from estimators import assert_same, assert_same_model, classifier, configured, fourth_power, labels, rows
from numpy.testing import assert_allclose
from recorder import Recorder
from scipy import sparse
from sklearn.base import clone
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skae import (
    AutoencoderClassifier,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    StackedAutoencoder,
    VAESampler,
)
from skae._training.fine_tuning import FineTuning

skops_io = pytest.importorskip("skops.io")

X = rows(90)
y = np.digitize(X[:, 0], np.quantile(X[:, 0], [1 / 3, 2 / 3]))
SOME = np.where(np.arange(90) % 3 == 0, y, -1)  # a third of the labels


def own_modules():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    return {"encoder": encoder, "decoder": nn.Linear(2, 5)}


AUTOENCODERS = {
    "default": None,
    "plain": configured(AutoencoderTransformer, random_state=None),
    "tied": configured(AutoencoderTransformer, tied_weights=True, random_state=None),
    "contractive": configured(AutoencoderTransformer, contractive=0.1, activation="tanh", random_state=None),
    "cross_entropy": configured(DenoisingAutoencoder, output_activation="sigmoid", random_state=None),
    "own_loss": configured(AutoencoderTransformer, loss=fourth_power, random_state=None),
    "own_modules": configured(AutoencoderTransformer, **own_modules(), random_state=None),
    "denoising": configured(DenoisingAutoencoder, noise="masking", random_state=None),
    "stacked": configured(StackedAutoencoder, hidden_layer_sizes=(8, 4), pretrain_max_iter=2, random_state=None),
    "stacked_alone": configured(
        StackedAutoencoder, pretrain_max_iter=2, fine_tune=False, noise="gaussian", random_state=None
    ),
    "float32": configured(AutoencoderTransformer, dtype="float32", random_state=None),
    "bfloat16": configured(AutoencoderTransformer, dtype="bfloat16", random_state=None),
}
every_autoencoder = pytest.mark.parametrize("autoencoder", AUTOENCODERS.values(), ids=AUTOENCODERS)


def short(autoencoder="stacked", **parameters):
    autoencoder = AUTOENCODERS[autoencoder] if isinstance(autoencoder, str) else autoencoder
    autoencoder = None if autoencoder is None else clone(autoencoder)
    return classifier(autoencoder, **{"max_iter": 10, **parameters})


def weights(network):
    return {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}


# Rows without a label --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.float64, object])
def test_minus_one_marks_rows_without_a_label(dtype):
    model = short().fit(X, SOME.astype(int).astype(dtype) if dtype is not object else mixed_labels(SOME))
    assert len(model.classes_) == 3
    assert -1 not in list(model.classes_)
    assert_same(model.predict_proba(X), short().fit(X, SOME).predict_proba(X))
    assert set(model.predict(X)) <= set(model.classes_)


def mixed_labels(codes):
    """Strings, and the integer -1, as in sklearn.semi_supervised."""
    return np.array(["abc"[code] if code >= 0 else -1 for code in codes], dtype=object)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.where(y == 0, -1, 1), [-1, 1]),
        (np.where(y == 0, -1.0, 1.0), [-1.0, 1.0]),
        (np.where(y == 0, "-1", "1"), ["-1", "1"]),
        (np.where(y == 0, "-", "+"), ["+", "-"]),
        (y == 1, [False, True]),
        (y + 7, [7, 8, 9]),
        (y - 1, [0, 1]),
        (y - 2, [-2, 0]),
        (y.astype(np.uint8), [0, 1, 2]),
    ],
    ids=["pair", "floats", "strings", "signs", "bools", "high", "zero", "minus_two", "unsigned"],
)
def test_when_minus_one_is_a_class(labels, classes):
    """It is where fewer than two classes remain without it; no warning where it is one of a usual pair."""
    model = short().fit(X, labels)
    assert model.classes_.tolist() == classes
    assert model.predict(X).dtype == labels.dtype
    assert model.predict_proba(X).shape == (90, len(classes))
    n_labelled = np.isin(labels, classes).sum()
    whole = short(max_iter=1, batch_size=1000, semi_supervised=False).fit(X, labels)
    shown = whole.set_params(learning_rate=1e-14).fit(X, labels)
    kept = np.isin(labels, classes)
    assert n_labelled == kept.sum()
    assert_allclose(
        shown.loss_, log_loss(labels[kept].astype(str), shown.predict_proba(X[kept]), labels=[*map(str, classes)])
    )


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.where(y == 0, 0, -1), "y holds -1 and one other label, 0, so that -1 is a class"),
        (np.where(y == 0, 2.0, -1.0), "one other label, 2.0, so that"),
        (np.where(y == 0, "-1", "spam"), "y holds the string '-1', which is a class"),
        (np.array(["-1", "ham", "spam"])[y], "y holds the string '-1', which is a class"),
        (np.array(["-1", "ham", "spam"], dtype=object)[y], "y holds the string '-1', which is a class"),
        (np.array(["-", "b", "c"])[y], r"the string '-' \(NumPy cuts -1"),
    ],
)
def test_minus_one_that_may_be_meant_as_no_label(labels, message):
    with pytest.warns(UserWarning, match=message) as caught:
        model = short().fit(X, labels)
    assert len(caught) == 1
    assert len(model.classes_) == len(np.unique(labels))


@pytest.mark.parametrize("names", ["abc", ["ham", "eggs", "spam"]])
def test_the_advice_on_the_string_minus_one(names):
    labels = np.array([*names])[y]
    labels[30:] = -1
    with pytest.warns(UserWarning, match="the string '-1?'"):
        short().fit(X, labels)
    labels = np.array(labels, dtype=object)
    labels[labels == ("-" if names == "abc" else "-1")] = -1
    assert short().fit(X, labels).classes_.tolist() == sorted(names)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize(
    "make",
    [
        lambda values: np.array(values, dtype=object),
        list,
        lambda values: pd.Series(values, dtype=object),
        lambda values: pd.Series(values, dtype="string"),
        lambda values: pd.Series(values, dtype="category"),
    ],
)
def test_missing_labels_are_told_how_to_be_marked(make, missing):
    labels = make([missing if i % 2 else "abc"[code] for i, code in enumerate(y)])
    with pytest.raises(ValueError, match=r"Input y contains .*without a label by the number -1.*fillna\(-1\)"):
        short().fit(X, labels)
    if isinstance(labels, pd.Series):
        assert short().fit(X, labels.astype(object).fillna(-1)).classes_.tolist() == ["a", "b", "c"]
    numbers = pd.Series([missing if i % 2 else code for i, code in enumerate(y)], dtype="Int64")
    for given in (numbers, numbers.astype(float)):
        with pytest.raises(ValueError, match=r"Input y contains NaN.*without a label by the number -1"):
            short().fit(X, given)
        assert short().fit(X, given.fillna(-1)).classes_.tolist() == [0, 1, 2]


@pytest.mark.parametrize("other", [-1, 3.5, b"a"])
def test_labels_of_types_that_cannot_be_sorted(other):
    labels = np.array(["a" if code else other for code in y], dtype=object)
    if other != -1:
        labels[:5] = "b"
    with pytest.raises(ValueError, match=r"types that cannot be sorted, such as .*Make all of them strings"):
        short().fit(X, labels)


def test_the_autoencoder_sees_all_rows_and_the_head_the_labelled_ones():
    model = short("plain").fit(X, SOME)
    alone = clone(AUTOENCODERS["plain"]).set_params(random_state=model.autoencoder_.random_state).fit(X)
    assert_same_model(model.autoencoder_, alone)
    assert_allclose(model.autoencoder_.offset_, X.mean(0))
    changed = np.where(SOME == -1, y[::-1], SOME)  # other labels where there were none
    assert not np.array_equal(short("plain").fit(X, changed).predict_proba(X), model.predict_proba(X))
    other_rows = X.copy()
    other_rows[SOME == -1] += 1
    assert not np.allclose(short("plain").fit(other_rows, SOME).autoencoder_.offset_, model.autoencoder_.offset_)


@pytest.mark.parametrize("wrong", [np.linspace(0, 1, 90), np.eye(3)[y], np.full(90, np.nan)])
def test_labels_that_are_none(wrong):
    with pytest.raises(ValueError, match=r"(?i)label|y should be|NaN"):
        short().fit(X, wrong)


# What comes out --------------------------------------------------------------------------------------------


@every_autoencoder
def test_every_autoencoder_can_be_inside(autoencoder):
    model = short(autoencoder, max_iter=60, learning_rate=0.02).fit(X, SOME)
    assert type(model.autoencoder_) is type(autoencoder or DenoisingAutoencoder())
    assert model.transform(X).shape == (90, model.autoencoder_.n_components)
    probabilities = model.predict_proba(X)
    assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
    assert (probabilities >= 0).all()
    assert_same(model.predict(X), model.classes_[probabilities.argmax(1)])
    assert model.score(X, y) == (model.predict(X) == y).mean() > 0.6
    with torch.no_grad():
        logits = model.head_(model.encoder_(torch.tensor(X)).to(model.head_.weight.dtype))
    assert_allclose(torch.softmax(logits, 1), probabilities, rtol=1e-3, atol=1e-5)
    assert not model.encoder_.training
    assert not model.head_.training


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities_have_the_rows_floating_dtype(dtype):
    model = short().fit(X, SOME)
    probabilities = model.predict_proba(X.astype(dtype))
    assert probabilities.dtype == dtype
    assert_allclose(probabilities.sum(1), 1, rtol=1e-6 if dtype == np.float32 else 1e-12)
    assert model.transform(X.astype(dtype)).dtype == dtype
    assert model.predict_proba(np.round(X).astype(int)).dtype == np.float64


def test_attributes_of_a_fit():
    model = short(early_stopping=True, alpha=0.1).fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_loss_curve_) == 10
    assert model.loss_ == model.loss_curve_[-1]
    assert model.best_loss_ <= min(model.validation_loss_curve_)  # that at the start is not among them
    assert model.device_ == torch.device("cpu")
    parameters = [*model.encoder_.parameters(), *model.head_.parameters()]
    assert (
        model.n_parameters_ == sum(p.numel() for p in parameters) == 5 * 8 + 8 + 8 * 4 + 4 + 4 * 2 + 2 + 2 * 3 + 3
    )
    model = model.set_params(early_stopping=False).fit(X, y)
    assert not hasattr(model, "validation_loss_curve_")
    assert model.best_loss_ == min(model.loss_curve_)


def test_the_loss_is_the_mean_cross_entropy_and_the_penalty():
    settings = {"learning_rate": 1e-14, "max_iter": 1, "alpha": 0.25, "batch_size": 20}
    model = short(semi_supervised=False, **settings).fit(X, SOME)
    matrices = [p for p in (*model.encoder_.parameters(), *model.head_.parameters()) if p.ndim == 2]
    penalty = 0.125 * sum(float(p.detach().square().sum()) for p in matrices)
    kept = SOME != -1
    assert_allclose(model.loss_, log_loss(SOME[kept], model.predict_proba(X[kept])) + penalty, rtol=1e-9)


def test_feature_names_and_containers():
    frame = pd.DataFrame(X, columns=list("abcde"), index=np.arange(100, 190))
    model = short().set_output(transform="pandas").fit(frame, SOME)
    assert list(model.feature_names_in_) == list("abcde")
    names = ["autoencoderclassifier0", "autoencoderclassifier1"]
    assert list(model.get_feature_names_out()) == names
    codes = model.transform(frame)
    assert list(codes.columns) == names
    assert list(codes.index) == list(frame.index)
    assert type(model.predict_proba(frame)) is np.ndarray
    assert_allclose(model.predict_proba(frame), short().fit(X, SOME).predict_proba(X), rtol=1e-9)
    codes = model.set_output(transform="polars").transform(frame)
    assert type(codes) is pl.DataFrame
    assert codes.columns == names
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"a": "z"}))


def test_sparse_rows():
    counts = np.random.default_rng(0).poisson(0.7, size=(90, 5)).astype(float)
    dense = short().fit(counts, SOME)
    for make in (sparse.csr_array, sparse.csc_matrix, sparse.coo_array):
        model = short().fit(make(counts), SOME)
        assert_allclose(model.predict_proba(make(counts)), dense.predict_proba(counts), rtol=1e-7)
        assert_allclose(model.transform(make(counts)), dense.transform(counts), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform"])
def test_errors_about_rows(method):
    model = short().fit(X, SOME)
    with pytest.raises(ValueError, match="3 features"):
        getattr(model, method)(X[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        getattr(model, method)(np.full((2, 5), np.nan))
    with pytest.raises(ValueError, match=r"reshape\(len\(X\), -1\)"):
        short().fit(np.zeros((4, 2, 3)), [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"autoencoder": LogisticRegression()}, "'autoencoder' parameter"),
        ({"autoencoder": AutoencoderTransformer}, "'autoencoder' parameter"),
        ({"n_frozen_layers": -1}, "'n_frozen_layers' parameter"),
        ({"n_frozen_layers": 4}, r"n_frozen_layers=4.*3 layers"),
        ({"class_weight": "equal"}, "'class_weight' parameter"),
        ({"autoencoder__device": "abacus"}, "device"),
        ({"autoencoder__n_components": 0}, "'n_components' parameter"),
        ({"learning_rate": 0}, "'learning_rate' parameter"),
        ({"learning_rate": 1e300, "batch_size": 10}, "diverged"),
        ({"early_stopping": True, "validation_fraction": 0.999}, r"n_samples=30\b.*validation_fraction=0.999"),
    ],
)
def test_a_refit_that_fails_leaves_the_old_model(parameters, message):
    model, twin = short().fit(X, SOME), short().fit(X, SOME)
    names = set(vars(model))
    model.set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit(X[:, ::-1], np.where(SOME == -1, -1, SOME + 5))
    assert set(vars(model)) == names
    assert_same(model.classes_, twin.classes_)
    assert_same_model(model.autoencoder_, twin.autoencoder_)
    assert_same(model.predict_proba(X), twin.predict_proba(X))
    unfitted = short().set_params(**parameters)
    with pytest.raises(ValueError, match=message):
        unfitted.fit(X, SOME)
    assert not [name for name in vars(unfitted) if name.endswith("_") and not name.startswith("_")]


# Frozen layers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_frozen_layers", [0, 1, 2, 3])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_frozen_layers_keep_their_weights_and_the_others_do_not(n_frozen_layers, alpha):
    model = short(n_frozen_layers=n_frozen_layers, alpha=alpha).fit(X, SOME)
    tuned, pretrained = (weights(network) for network in (model.encoder_, model.autoencoder_.encoder_))
    assert list(tuned) == list(pretrained)
    for name in pretrained:
        frozen = name == "offset" or int(name.split(".")[0]) < n_frozen_layers
        assert np.array_equal(tuned[name], pretrained[name]) == frozen, name


@pytest.mark.parametrize("n_frozen_layers", [0, 2, 3])
def test_frozen_layers_of_own_modules(n_frozen_layers):
    """Their normalisation stands still too, statistics and all."""
    model = short("own_modules", n_frozen_layers=n_frozen_layers).fit(X, SOME)
    tuned, pretrained = (weights(network) for network in (model.encoder_, model.autoencoder_.encoder_))
    for name in pretrained:
        frozen = int(name.split(".")[0]) < n_frozen_layers
        assert np.array_equal(tuned[name], pretrained[name]) == frozen, name


def test_all_layers_frozen_is_a_softmax_regression(digits):
    target = load_digits().target[:400]
    autoencoder = AutoencoderTransformer(8, max_iter=20, tol=None)
    alpha = 0.01
    settings = {"n_frozen_layers": 2, "alpha": alpha, "max_iter": 1500, "batch_size": 400, "learning_rate": 0.03}
    model = AutoencoderClassifier(autoencoder, **settings, tol=None, random_state=0).fit(digits[:400], target)
    codes = model.transform(digits[:400])
    assert_same(codes, model.autoencoder_.transform(digits[:400]))
    reference = LogisticRegression(C=1 / (400 * alpha), max_iter=5000, tol=1e-8).fit(codes, target)
    assert_allclose(model.predict_proba(digits[:400]), reference.predict_proba(codes), atol=1e-5)
    # softmax weights are free up to a constant; the penalty centres them, as it does the reference's
    assert_allclose(model.head_.weight.detach().numpy(), reference.coef_, atol=1e-4)


def test_fine_tuning_leaves_the_pretrained_autoencoder_alone():
    model = short("plain").fit(X, SOME)
    still = short("plain", learning_rate=1e-14).fit(X, SOME)
    assert_same_model(model.autoencoder_, still.autoencoder_)
    assert_allclose(still.transform(X), still.autoencoder_.transform(X), atol=1e-9)
    assert not np.allclose(model.transform(X), model.autoencoder_.transform(X), atol=1e-3)


def test_the_autoencoder_given_is_not_touched():
    autoencoder = clone(AUTOENCODERS["plain"])
    before = dict(vars(autoencoder))
    model = classifier(autoencoder, max_iter=2).fit(X, SOME)
    assert vars(autoencoder) == before
    assert model.autoencoder is autoencoder
    assert model.autoencoder_ is not autoencoder


# Weights of classes, early stopping ------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
def test_class_weights(early_stopping):
    rare = np.where((y == 2) & (np.arange(90) % 5 > 0), 0, np.minimum(y, 2))
    settings = {"early_stopping": early_stopping, "max_iter": 30}
    recall = {}
    for class_weight in (None, "balanced", {0: 1, 1: 1, 2: 50}):
        model = short("plain", class_weight=class_weight, **settings).fit(X, rare)
        recall[str(class_weight)] = model.predict_proba(X)[rare == 2, 2].mean()
    plain, balanced, heavy = recall.values()
    assert plain < balanced < heavy


def test_class_weights_are_ratios_and_weigh_the_loss():
    settings = {"batch_size": 1000, "max_iter": 5}
    counts = np.bincount(y)
    by_hand = {k: len(y) / (3 * n) for k, n in enumerate(counts)}
    balanced, expected, scaled = (
        short(class_weight=class_weight, **settings).fit(X, y).predict_proba(X)
        for class_weight in ("balanced", by_hand, {k: 7 * v for k, v in by_hand.items()})
    )
    assert_allclose(balanced, expected, rtol=1e-9)
    assert_allclose(scaled, expected, rtol=1e-6)
    still = short(class_weight={0: 5, 1: 1, 2: 1}, learning_rate=1e-14, max_iter=1).fit(X, y)
    weight = np.where(y == 0, 5.0, 1.0)
    assert_allclose(still.loss_, log_loss(y, still.predict_proba(X), sample_weight=weight), rtol=1e-9)


def test_a_class_of_weight_zero_is_as_good_as_absent():
    model = short(class_weight={0: 0}, max_iter=300, learning_rate=0.05).fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.predict_proba(X)[:, 0].max() < 0.2


def held_out_rows(labels, **parameters):
    """The rows of each class that a fit holds out: those that no gradient comes from."""
    model = short("plain", early_stopping=True, **parameters).fit(X, labels)
    kept = labels != -1
    codes = np.searchsorted(model.classes_, labels[kept])
    run = FineTuning(model, X[kept], codes)
    held_out, trained = run.data.validation_rows.numpy(), run.data.train_rows.numpy()
    assert sorted([*held_out, *trained]) == list(range(kept.sum()))
    return np.bincount(codes[held_out], minlength=len(model.classes_))


def test_early_stopping_holds_out_of_each_class():
    assert held_out_rows(y, validation_fraction=0.2).tolist() == [6, 6, 6]
    uneven = np.repeat([0, 1, 2], [60, 20, 10])
    assert held_out_rows(uneven, validation_fraction=0.1).tolist() == [6, 2, 1]
    assert held_out_rows(SOME, validation_fraction=0.2).sum() >= 6


def test_early_stopping_leaves_a_class_of_one_row_to_the_training():
    few = np.full(90, -1)
    few[:21] = [0] * 10 + [1] * 10 + [2]
    assert held_out_rows(few, validation_fraction=0.1).tolist() == [1, 1, 0]


def test_early_stopping_with_one_row_a_class():
    few = np.full(90, -1)
    few[:3] = [0, 1, 2]
    with pytest.raises(ValueError, match=r"n_samples=3\b.*validation_fraction=0.1"):
        short(early_stopping=True).fit(X, few)
    assert short().fit(X, few).n_iter_ == 10


@pytest.mark.parametrize("scale", [1, 100])
def test_rows_of_weight_zero_are_as_good_as_left_out_and_weights_of_one_as_none(scale):
    """Wherever they lie. The default autoencoder takes no weights."""
    rng = np.random.default_rng(0)
    X, y, weight = rng.normal(size=(90, 4)), rng.integers(0, 2, 90), np.r_[np.ones(60), np.zeros(30)]
    X[60:] *= scale
    model = AutoencoderClassifier(max_iter=5, random_state=0)
    expected = clone(model).fit(X[:60], y[:60]).predict_proba(X)
    assert_allclose(clone(model).fit(X, y, sample_weight=weight).predict_proba(X), expected, atol=1e-10)
    assert_allclose(
        clone(model).fit(X[:60], y[:60], sample_weight=np.ones(60)).predict_proba(X), expected, atol=1e-10
    )


@pytest.mark.parametrize("autoencoder", [VAESampler, DenoisingAutoencoder])
def test_what_stands_for_missing_values_is_refused(autoencoder):
    X, marked = rows(), rows()
    marked[3, 1] = -999
    member = configured(autoencoder, missing_values=-999, random_state=None)
    told = r"^X contains -999, which stands for a missing value.*AutoencoderImputer\(missing_values=-999\)\.$"
    with pytest.raises(ValueError, match=told):
        classifier(member).fit(marked, labels(X))
    model = classifier(member).fit(X, labels(X))
    for method in ("predict", "predict_proba", "predict_log_proba", "transform"):
        with pytest.raises(ValueError, match=told):
            getattr(model, method)(marked)


def test_early_stopping_gives_back_the_best_weights():
    settings = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 200, "learning_rate": 0.05}
    settings["semi_supervised"] = False  # where the learning rate depends on how long the training is
    model = short("plain", **settings).fit(X, SOME)
    best = int(np.argmin(model.validation_loss_curve_)) + 1
    assert best < 200
    assert_same(
        model.predict_proba(X), short("plain", **{**settings, "max_iter": best}).fit(X, SOME).predict_proba(X)
    )
    stopped = short("plain", **settings).set_params(tol=1e-3, n_iter_no_change=3).fit(X, SOME)
    assert stopped.n_iter_ < 200


def test_the_warning_of_a_short_fit_points_at_its_caller():
    with pytest.warns(ConvergenceWarning, match="max_iter=10") as caught:
        short(tol=1e-9).fit(X, SOME)
    assert [warning.filename for warning in caught] == [__file__]


# Seeds -----------------------------------------------------------------------------------------------------


def test_the_seed_is_handed_on():
    first, second, other = (short("plain", random_state=seed).fit(X, SOME) for seed in (0, 0, 1))
    assert type(first.autoencoder_.random_state) is int
    assert first.autoencoder_.random_state == second.autoencoder_.random_state
    assert first.autoencoder_.random_state != other.autoencoder_.random_state
    assert_same_model(first, second)
    states = [np.random.RandomState(3) for _ in range(2)]
    assert_same_model(*(short("plain", random_state=state).fit(X, SOME) for state in states))
    assert short("plain", random_state=None).fit(X, SOME).autoencoder_.random_state is None


def test_an_autoencoders_own_seed_rules():
    autoencoder = clone(AUTOENCODERS["plain"]).set_params(random_state=5)
    one, other = (short(autoencoder, random_state=seed).fit(X, SOME) for seed in (0, 1))
    assert_same_model(one.autoencoder_, other.autoencoder_)
    assert_same_model(one.autoencoder_, clone(autoencoder).fit(X))
    assert not np.allclose(one.head_.weight.detach(), other.head_.weight.detach())


# Device and dtype ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float32", torch.float32), ("float64", torch.float64), ("bfloat16", torch.float32)]
)
def test_the_autoencoders_dtype_is_the_classifiers(dtype, expected):
    autoencoder = clone(AUTOENCODERS["plain"]).set_params(dtype=dtype)
    model = short(autoencoder, max_iter=40).fit(X, y)
    for network in (model.encoder_, model.head_):
        assert {p.dtype for p in network.parameters()} == {expected}
    double = short(clone(autoencoder).set_params(dtype="float64"), max_iter=40).fit(X, y)
    tolerance = {"float32": 1e-3, "float64": 0, "bfloat16": 0.3}[dtype]
    assert_allclose(model.predict_proba(X), double.predict_proba(X), atol=tolerance)
    if dtype == "bfloat16":
        assert not np.allclose(model.predict_proba(X), double.predict_proba(X), atol=1e-5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_missing_device_is_the_autoencoders_error():
    with pytest.raises(RuntimeError, match="device"):
        short(clone(AUTOENCODERS["plain"]).set_params(device="cuda")).fit(X, y)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_on_cuda():
    model = short(clone(AUTOENCODERS["plain"]).set_params(device="cuda", dtype="float32"), max_iter=40).fit(
        X, SOME
    )
    assert model.device_ == model.autoencoder_.device_
    assert {p.device.type for network in (model.encoder_, model.head_) for p in network.parameters()} == {"cuda"}
    cpu = short(clone(AUTOENCODERS["plain"]).set_params(dtype="float32"), max_iter=40).fit(X, SOME)
    assert_allclose(model.predict_proba(X), cpu.predict_proba(X), atol=0.02)
    assert_same(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


# Callbacks -------------------------------------------------------------------------------------------------


@every_autoencoder
def test_callbacks_do_not_change_the_fit(autoencoder):
    recorder = Recorder()
    watched = short(autoencoder).set_callbacks(recorder).fit(X, SOME)
    assert_same(watched.predict_proba(X), short(autoencoder).fit(X, SOME).predict_proba(X))
    assert recorder.begun == ["setup", "fit", "pretrain", "fine-tune", *["epoch"] * 10]
    assert recorder.ended == ["pretrain", *["epoch"] * 10, "fine-tune", "fit", "teardown"]


@pytest.mark.parametrize("autoencoder", ["plain", "own_modules", "stacked"])
@pytest.mark.parametrize("n_frozen_layers", [0, 1])
def test_the_model_of_an_epoch_is_a_fit_that_stopped_there(autoencoder, n_frozen_layers):
    recorder = Recorder()
    short(autoencoder, n_frozen_layers=n_frozen_layers, max_iter=3).set_callbacks(recorder).fit(X, SOME)
    models = [m for name, m in zip(recorder.ended, recorder.models, strict=False) if name == "epoch"]
    for n_epochs, model in enumerate(models, start=1):
        expected = short(autoencoder, n_frozen_layers=n_frozen_layers, max_iter=n_epochs).fit(X, SOME)
        assert_same(model.predict_proba(X), expected.predict_proba(X))
        assert model.n_iter_ == n_epochs
    assert len(models) == 3


@pytest.mark.parametrize("labels", [y, SOME, np.array(["a", "b", "c"])[y]], ids=["all", "some", "strings"])
def test_scoring_monitor_scores_against_the_labels(labels):
    monitor = ScoringMonitor(scoring="accuracy")
    model = short(max_iter=5).set_callbacks(monitor).fit(X, labels)
    log = monitor.get_logs().data
    accuracies = [entry["accuracy"] for entry in log if entry["task_name"] == "epoch"]
    kept = labels != -1 if labels.dtype.kind == "i" else np.ones(90, dtype=bool)
    # Stopped, not shorter: the learning rate depends on max_iter where some rows have no label.
    fits = [short(max_iter=5).set_callbacks(Recorder(stop_after=n)).fit(X, labels) for n in (1, 2, 3, 4, 5)]
    assert accuracies == [fit.score(X[kept], labels[kept]) for fit in fits]
    of_fit = [entry["accuracy"] for entry in log if entry["task_name"] == "fit"]
    assert of_fit == [model.score(X[kept], labels[kept])]


def test_a_callback_stops_the_fine_tuning():
    model = short(tol=1e-9).set_callbacks(Recorder(stop_after=3)).fit(X, SOME)
    assert model.n_iter_ == 3
    assert_same(model.predict_proba(X), short(max_iter=3).fit(X, SOME).predict_proba(X))


def test_an_interrupt_keeps_what_has_been_learnt():
    model = short(tol=1e-9).set_callbacks(Recorder(interrupt_after=3))
    with pytest.warns(UserWarning, match="interrupted after 3 epochs") as caught:
        model.fit(X, SOME)
    assert len(caught) == 1
    assert_same(model.predict_proba(X), short(max_iter=3).fit(X, SOME).predict_proba(X))


def test_progress_bar_shows_pretraining_too(capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "200")
    model = short().set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, SOME)
    printed = capsys.readouterr().out
    for task in ("AutoencoderClassifier", "StackedAutoencoder", "pretrain-layer-2", "fine-tune"):
        assert task in printed
    assert_same(model.predict_proba(X), short().fit(X, SOME).predict_proba(X))


def test_printed_lines(capsys):
    short().fit(X, SOME)
    assert capsys.readouterr() == ("", "")
    model = short(verbose=1).fit(X, SOME)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert f"{model.loss_:.8f}" in lines[-1]


# Saving ----------------------------------------------------------------------------------------------------


def through_pickle(model):
    return pickle.loads(pickle.dumps(model))


def through_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


def through_skops(model):
    data = skops_io.dumps(model)
    return skops_io.loads(data, trusted=skops_io.get_untrusted_types(data=data))


ROUND_TRIPS = [through_pickle, through_joblib, copy.deepcopy, through_skops]


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
@every_autoencoder
def test_a_loaded_model_is_the_model(autoencoder, round_trip):
    model = short(autoencoder, early_stopping=True).fit(X, y)
    loaded = round_trip(model)
    for method in ("predict", "predict_proba", "transform"):
        assert_same(getattr(loaded, method)(X), getattr(model, method)(X))
    assert_same(loaded.autoencoder_.transform(X), model.autoencoder_.transform(X))
    fitted = {name for name in vars(model) if name.endswith("_") and not name.startswith("_")}
    assert fitted == {name for name in vars(loaded) if name.endswith("_") and not name.startswith("_")}
    for name in (
        "loss_curve_",
        "validation_loss_curve_",
        "n_iter_",
        "n_parameters_",
        "classes_",
        "n_features_in_",
    ):
        assert_same(getattr(loaded, name), getattr(model, name))
    assert loaded.device_ == model.device_
    assert not loaded.encoder_.training
    assert repr(loaded) == repr(model)
    assert_same(loaded.fit(X, y).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
def test_a_loaded_pipeline_and_search(round_trip):
    pipeline = make_pipeline(StandardScaler(), short("plain"))
    search = GridSearchCV(pipeline, {"autoencoderclassifier__autoencoder__n_components": [1, 3]}, cv=2).fit(X, y)
    loaded = round_trip(search)
    assert_same(loaded.predict_proba(X), search.predict_proba(X))
    assert loaded.best_params_ == search.best_params_


def test_a_pickle_holds_neither_torch_nor_data():
    many, labels = rows(3000), np.arange(3000) % 3
    pickled = pickle.dumps(short("plain").fit(many, labels))
    words = [argument for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)]
    assert not [word for word in words if word.split(".")[0] == "torch"]
    assert len(pickled) < 20_000


# Use and worth ---------------------------------------------------------------------------------------------


def test_a_search_over_the_width_of_the_code(digits):
    target = load_digits().target[:300]
    model = AutoencoderClassifier(
        AutoencoderTransformer(max_iter=10, tol=None, batch_size=50),
        n_frozen_layers=2,
        max_iter=60,
        learning_rate=0.05,
        tol=None,
        random_state=0,
    )
    search = GridSearchCV(model, {"autoencoder__n_components": [1, 16]}, cv=3).fit(digits[:300], target)
    assert search.best_params_ == {"autoencoder__n_components": 16}
    assert search.best_score_ > 0.75
    assert search.best_estimator_.autoencoder_.n_components == 16
    assert model.autoencoder.n_components == 16, "its default: the search works on clones"


def test_few_labels_of_many_digits(digits):
    """A hundred labels, 1797 rows: better than the same network that has seen the hundred alone."""
    target = load_digits().target
    some = target.copy()
    some[100:] = -1
    autoencoder = StackedAutoencoder(
        32,
        code_activation="relu",
        noise="masking",
        noise_level=0.25,
        learning_rate=1e-3,
        batch_size=200,
        pretrain_max_iter=20,
        fine_tune=False,
    )
    gains, scores = [], []
    for seed in (0, 1):
        model = AutoencoderClassifier(autoencoder, max_iter=60, tol=None, random_state=seed)
        scores.append(clone(model).fit(digits, some).score(digits[100:], target[100:]))
        gains.append(scores[-1] - clone(model).fit(digits[:100], target[:100]).score(digits[100:], target[100:]))
    assert min(scores) > 0.7
    assert np.mean(gains) > 0.01


def test_digits(digits):
    target = load_digits().target
    model = AutoencoderClassifier(
        AutoencoderTransformer(32, max_iter=10, tol=None, dtype="float32"), max_iter=30, tol=None, random_state=0
    )
    assert cross_val_score(model, digits, target, cv=3).mean() > 0.92
