"""The classifier with unlabelled rows: what these teach, where they are not believed, use in other estimators."""

import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from estimators import assert_same, assert_same_model, classifier, configured, of_images, rows
from numpy.testing import assert_allclose
from recorder import Recorder
from scipy import sparse
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from skae import AutoencoderClassifier, AutoencoderTransformer, DenoisingAutoencoder
from skae._training import teacher


def short(autoencoder=None, **parameters):
    if autoencoder is None:
        autoencoder = configured(AutoencoderTransformer, random_state=None)
    return classifier(autoencoder, **{"max_iter": 6, **parameters})


def clusters(n_samples=120, seed=0):
    """Three classes, each a cluster, and a label for one row in ten."""
    rng = np.random.default_rng(seed)
    y = np.arange(n_samples) % 3
    X = 4 * np.eye(3, 5)[y] + rng.normal(size=(n_samples, 5))
    return X, y, np.where(np.arange(n_samples) % 30 < 3, y, -1)


X, y, SOME = clusters()


@pytest.fixture(scope="module")
def few_digits():
    """600 digits, of which 40 have a label, and others to be tested on."""
    digits, target = load_digits(return_X_y=True)
    some = np.full(600, -1)
    for digit in range(10):
        some[np.flatnonzero(target[:600] == digit)[:4]] = digit
    return digits[:600] / 16, some, digits[600:1200] / 16, target[:600], target[600:1200]


# What unlabelled rows are worth ----------------------------------------------------------------------------


def test_unlabelled_rows_help(few_digits):
    X, some, X_test, y, y_test = few_digits
    with_them = AutoencoderClassifier(random_state=0).fit(X, some)
    without = AutoencoderClassifier(semi_supervised=False, random_state=0).fit(X, some)
    assert with_them.score(X_test, y_test) > without.score(X_test, y_test) + 0.05
    assert (with_them.transduction_ == y)[some == -1].mean() > 0.9
    assert (with_them.predict(X) == y)[some == -1].mean() > 0.9
    assert not hasattr(without, "transduction_")


def test_where_classes_are_no_clusters_a_linear_model_teaches():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1200, 10))
    X /= np.sqrt(X[:600].var(0).mean())
    y = (X @ rng.normal(size=10) > 0).astype(int)
    some = np.where(np.arange(1200) < 50, y, -1)
    model = AutoencoderClassifier(random_state=0).fit(X[:600], some[:600])
    plain = AutoencoderClassifier(semi_supervised=False, random_state=0).fit(X[:600], some[:600])
    linear = LogisticRegression().fit(X[:50], y[:50])
    assert model.score(X[600:], y[600:]) > plain.score(X[600:], y[600:])
    assert model.score(X[600:], y[600:]) > linear.score(X[600:], y[600:]) - 0.05
    assert_same(model.transduction_, linear.predict(X[:600]))


def test_labels_that_are_drawn_unevenly(few_digits):
    """The frequencies of labels say nothing of those of the rows."""
    X, some, _, y, _ = few_digits
    skewed = some.copy()
    skewed[np.flatnonzero(y == 3)[:25]] = 3
    models = [AutoencoderClassifier(random_state=0).fit(X, labels) for labels in (some, skewed)]
    even, uneven = ((model.predict(X) == y)[skewed == -1].mean() for model in models)
    assert uneven > even - 0.04
    assert (models[1].predict(X) == 3).mean() < 0.12, "of which a tenth are threes"


# The graph -------------------------------------------------------------------------------------------------


def spread_densely(points, codes, n_classes):
    """Zhou et al. (2004) with all pairs of rows at once, in another way than by iteration."""
    squares = np.square(points[:, None] - points[None]).sum(2)
    np.fill_diagonal(squares, np.inf)
    nearest = np.sort(squares, 1)[:, 7]
    weights = np.where(squares <= nearest[:, None], np.exp(-squares / np.sqrt(np.outer(nearest, nearest))), 0)
    weights = np.maximum(weights, weights.T)
    scale = 1 / np.sqrt(weights.sum(1))
    flow = 0.95 * scale[:, None] * weights * scale
    labels = (codes[:, None] == np.arange(n_classes)) / np.bincount(codes[codes >= 0])
    reached = sum(np.linalg.matrix_power(flow, k) @ labels for k in range(60)) * 0.05
    reached += np.linalg.matrix_power(flow, 60) @ labels
    reached /= reached.sum(0)
    return reached / reached.sum(1, keepdims=True)


def test_distributions_are_those_of_label_spreading_on_rows_and_codes():
    model = short().fit(X, SOME)
    codes = model.autoencoder_.transform(X)
    points = np.hstack([each / np.sqrt(each.var(0).sum()) for each in (X, codes)])
    assert_allclose(model.label_distributions_, spread_densely(points, SOME, 3), rtol=1e-6, atol=1e-12)
    assert_same(model.transduction_, model.label_distributions_.argmax(1))
    named = short().fit(X, np.array(["a", "b", "c", -1], dtype=object)[SOME])
    assert_allclose(named.label_distributions_, model.label_distributions_)
    assert_same(named.transduction_, named.classes_[model.transduction_])


def test_there_are_distributions_only_where_rows_have_no_label():
    model = short().fit(X, SOME)
    assert not hasattr(model.fit(X, y), "label_distributions_")
    assert not hasattr(short(semi_supervised=False).fit(X, SOME), "transduction_")


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array])
def test_more_rows_than_the_graph_has_nodes(make, monkeypatch):
    X, y, some = clusters(600)
    monkeypatch.setattr(teacher, "MOST_NODES", 60)
    model = short().fit(make(X), some)
    assert_allclose(model.label_distributions_.sum(1), 1)
    assert (model.transduction_ == y).mean() > 0.95
    again = short().fit(make(X), some)
    assert_same(again.label_distributions_, model.label_distributions_)


@pytest.mark.filterwarnings("ignore:Column 0 of 5 carries nearly all of the loss")
def test_equal_rows_and_rows_far_away():
    """Distances that are all zero, and one that is past any reach."""
    repeated = np.vstack([X, np.repeat(X[:2], 30, axis=0), [[1e6, 0, 0, 0, 0]]])
    model = short().fit(repeated, np.append(SOME, np.full(61, -1)))
    assert np.isfinite(model.label_distributions_).all()
    assert_allclose(model.label_distributions_.sum(1), 1)
    assert (model.transduction_[120:150] == y[0]).all()


@pytest.mark.parametrize("n_rows", [4, 9])
def test_fewer_rows_than_neighbours(n_rows):
    model = short().fit(X[:n_rows], [0, 1, *[-1] * (n_rows - 2)])
    assert model.label_distributions_.shape == (n_rows, 2)


def test_memory_does_not_grow_with_pairs_of_rows():
    X, _, some = clusters(4000)
    tracemalloc.start()
    short(max_iter=1).fit(X, some)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4000 * 4000  # a byte for each pair


# Weights ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [y, SOME], ids=["all", "some"])
def test_rows_of_weight_zero_are_as_good_as_absent(labels):
    weight = np.append(np.ones(120), np.zeros(20))
    more_rows = np.vstack([X, rows(20, seed=1)])
    more_labels = np.append(labels, np.tile([0, 1, 2, -1], 5) if -1 in labels else np.zeros(20))
    model = short().fit(more_rows, more_labels, sample_weight=weight)
    assert_allclose(model.predict_proba(X), short().fit(X, labels).predict_proba(X), rtol=1e-6)


def test_weights_count():
    flipped = np.where((y == 2) & (np.arange(120) % 2 == 0), 0, y)
    light, heavy = (np.where(flipped != y, w, 1.0) for w in (0.05, 20))
    settings = {"max_iter": 60, "autoencoder": configured(AutoencoderTransformer, random_state=None)}
    probabilities = [
        short(**settings).fit(X, flipped, sample_weight=w).predict_proba(X)[flipped != y, 0].mean()
        for w in (light, None, heavy)
    ]
    assert probabilities[0] < probabilities[1] < probabilities[2]


def test_weights_of_any_kind():
    as_list = short().fit(X, SOME, sample_weight=[1.0] * 120)
    assert_same_model(as_list, short().fit(X, SOME, sample_weight=np.ones(120)))
    with pytest.raises(ValueError, match="Negative values in data"):
        short().fit(X, SOME, sample_weight=-np.ones(120))
    with pytest.raises(ValueError, match="sample_weight"):
        short().fit(X, SOME, sample_weight=np.ones(7))
    noisy = short(configured(DenoisingAutoencoder, random_state=None))
    assert noisy.fit(X, SOME, sample_weight=np.ones(120)).n_iter_ == 6
    assert noisy.score(X, y, sample_weight=np.arange(120)) == np.average(
        noisy.predict(X) == y, weights=np.arange(120)
    )


# Input, output ---------------------------------------------------------------------------------------------


def test_no_labels_at_all():
    for nothing in (np.full(120, -1), np.full(120, -1.0), np.full(120, -1, dtype=object)):
        with pytest.raises(ValueError, match="-1 for all n_samples=120"):
            short().fit(X, nothing)


def test_logarithms_of_probabilities():
    model = short().fit(X, SOME)
    assert_allclose(model.predict_log_proba(X), np.log(model.predict_proba(X)), rtol=1e-9)
    far = 1e4 * X
    assert np.isfinite(model.predict_log_proba(far)).all()
    assert model.predict_log_proba(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("labels", [y, SOME], ids=["all", "some"])
def test_tensors(labels):
    reference = short().fit(X, labels)
    with config_context(array_api_dispatch=True):
        model = short().fit(torch.tensor(X), torch.tensor(labels))
        for name in ("predict", "predict_proba", "predict_log_proba", "transform"):
            result = getattr(model, name)(torch.tensor(X))
            assert isinstance(result, torch.Tensor)
            assert_allclose(result.numpy(), getattr(reference, name)(X), rtol=1e-9)
        assert_allclose(model.score(torch.tensor(X), torch.tensor(y)), reference.score(X, y), rtol=1e-6)
        assert isinstance(model.classes_, torch.Tensor)
        if -1 in labels:
            assert isinstance(model.label_distributions_, torch.Tensor)
            assert_same(model.transduction_.numpy(), reference.transduction_)
        named = short().fit(torch.tensor(X), np.array(["a", "b", "c"])[y])
        most_probable = named.predict_proba(torch.tensor(X)).argmax(1)
        assert_same(named.predict(torch.tensor(X)), np.array(["a", "b", "c"])[most_probable])
        loaded = pickle.loads(pickle.dumps(model))
        assert_same(loaded.predict(torch.tensor(X)), model.predict(torch.tensor(X)))


def test_sparse_rows_are_as_dense_ones():
    counts = np.random.default_rng(0).poisson(0.7, size=(120, 5)).astype(float)
    dense, thin = (short().fit(make(counts), SOME) for make in (np.asarray, sparse.csr_array))
    assert_allclose(thin.predict_proba(counts), dense.predict_proba(counts), rtol=1e-6)
    assert_allclose(thin.label_distributions_, dense.label_distributions_, rtol=1e-6)


def test_images():
    model = short(of_images(AutoencoderTransformer, random_state=None), max_iter=30).fit(X, SOME)
    assert model.score(X, y) > 0.8


def test_wide_rows_are_projected_for_the_graph():
    wide = X @ np.random.default_rng(0).normal(size=(5, 1500))
    model = short().fit(wide, SOME)
    assert (model.transduction_ == y).mean() > 0.9


# Training --------------------------------------------------------------------------------------------------


def test_one_seed_one_noise_in_either_precision():
    single, double = (short().fit(x, SOME) for x in (X.astype(np.float32), X.astype(np.float32).astype(float)))
    assert_allclose(single.predict_proba(X), double.predict_proba(X), atol=1e-5)


def test_the_same_seed_gives_the_same_classifier():
    first, second, other = (short(random_state=seed).fit(X, SOME) for seed in (0, 0, 1))
    assert_same_model(first, second)
    assert_same(first.label_distributions_, second.label_distributions_)
    assert not np.allclose(first.predict_proba(X), other.predict_proba(X), atol=1e-6)


def test_schedules_of_the_learning_rate():
    """By default the rate ends at zero; others are as they are named."""
    fits = {name: short(learning_rate_schedule=name).fit(X, SOME) for name in ("auto", "constant", "linear")}
    assert fits["auto"].loss_curve_[0] == fits["constant"].loss_curve_[0]
    assert len({model.loss_ for model in fits.values()}) == 3


def test_early_stopping_holds_out_labelled_rows():
    settings = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 10}
    model = short(**settings).fit(X, SOME)
    assert len(model.validation_loss_curve_) == 10
    assert model.best_loss_ == min(model.validation_loss_curve_)


def test_epochs_and_callbacks():
    recorder = Recorder()
    model = short().set_callbacks(recorder).fit(X, SOME)
    assert recorder.begun == ["setup", "fit", "pretrain", "fine-tune", *["epoch"] * 6]
    assert_same(model.predict_proba(X), short().fit(X, SOME).predict_proba(X))
    glimpse = next(m for name, m in zip(recorder.ended, recorder.models, strict=False) if name == "epoch")
    assert glimpse.transduction_.shape == (120,)
    stopped = short().set_callbacks(Recorder(stop_after=3)).fit(X, SOME)
    assert stopped.n_iter_ == 3
    with pytest.warns(UserWarning, match="interrupted after 2 epochs"):
        interrupted = short().set_callbacks(Recorder(interrupt_after=2)).fit(X, SOME)
    assert interrupted.score(X, y) > 0.4
    assert short(max_iter="auto").fit(X, SOME).n_iter_ == 400  # 800 steps of 100 rows


# In other estimators ---------------------------------------------------------------------------------------


def test_in_other_estimators():
    model = short(max_iter=30)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model), {"autoencoderclassifier__alpha": [0, 1e-3]}, cv=2
    )
    assert search.fit(X, y).score(X, y) > 0.8
    names = np.array(["a", "b", "c"])[y]
    assert CalibratedClassifierCV(model, cv=2).fit(X, names).score(X, names) > 0.8
    assert SelfTrainingClassifier(model, max_iter=2).fit(X, SOME).score(X, y) > 0.8
    boosted = AdaBoostClassifier(model, n_estimators=2, random_state=0).fit(X, names)
    assert boosted.score(X, names) > 0.8


@pytest.mark.parametrize("n_columns", [1, 2])
def test_a_cloud_of_few_columns_is_learnt_as_well_as_from_labels_alone(n_columns):
    """Noise in one of few columns moves rows across the border between classes."""
    accuracy = {"auto": [], False: []}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(400, n_columns))
        y = (X[:, 0] > 0).astype(int)
        labels = np.where(np.arange(400) < 30, y, -1)
        for semi_supervised, found in accuracy.items():
            model = AutoencoderClassifier(semi_supervised=semi_supervised, random_state=0)
            found.append(model.fit(X, labels).score(X[30:], y[30:]))
    assert np.mean(accuracy["auto"]) > np.mean(accuracy[False]) - 0.05
