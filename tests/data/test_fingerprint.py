"""Rows of `fit` that are given to an outlier detector again, with other last digits, beside new ones."""

import io

import numpy as np
import pandas as pd
import pytest
from estimators import detector
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer
from skae._data.fingerprint import fingerprint, places


def table():
    """Wines with a number of many digits, one as of a clock, a column that does not vary and two gross errors."""
    X = load_wine(as_frame=True).data
    generator = np.random.default_rng(0)
    X["ratio"] = X["proline"] / X["alcohol"]
    X["seconds"] = 1.6e9 + 1e7 * generator.random(len(X))
    X["constant"] = 0.1
    X.loc[3, "hue"] *= 100
    X.loc[5, "proline"] *= -1000
    return X


def by_text(X):
    return pd.read_csv(io.StringIO(X.to_csv(float_format="%.7g", index=False)))


def by_json(X):
    return pd.read_json(io.StringIO(X.to_json()))


def in_single_precision(X):
    return X.astype(np.float32)


CHANGES = [in_single_precision, by_text, by_json, lambda X: X * (1 + 1e-15)]


@pytest.mark.parametrize("change", CHANGES)
def test_rounded_rows_are_known(change):
    X = table()
    model = detector().fit(X)
    chosen = np.random.default_rng(1).permutation(len(X))[:100]
    given = change(X.iloc[chosen])
    expected = model.p_values(X, left_out=True)[chosen]
    assert_array_equal(model.p_values(given, left_out=True), expected)
    assert_array_equal([model.p_values(given.iloc[[i]], left_out=True)[0] for i in range(5)], expected[:5])
    exact = model.score_features(X.iloc[chosen], left_out=True)
    assert_allclose(model.score_features(given, left_out=True), exact, rtol=0.1, atol=0.1)
    assert not np.allclose(model.score_features(given), exact, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    "step", [PCA(8), AutoencoderTransformer(5, max_iter=30, random_state=0)], ids=["PCA", "autoencoder"]
)
def test_rows_through_a_pipeline_one_by_one_are_known(step):
    X = load_wine(as_frame=True).data
    model = make_pipeline(StandardScaler(), step, detector()).fit(X)
    p = model[-1].p_values(model[:-1].transform(X), left_out=True)
    given = np.vstack([model[:-1].transform(X.iloc[[i]]) for i in range(len(X))])
    assert_array_equal(model[-1].p_values(given, left_out=True), p)
    part = model[:-1].transform(X.iloc[50::-7])
    assert_array_equal(model[-1].p_values(part, left_out=True), p[50::-7])


def test_odd_rows_are_told_to_be_rows_of_fit_whatever_their_last_digits():
    X = load_wine().data / 3
    with pytest.warns(UserWarning, match="X are the rows of fit"):
        detector().fit(X).predict(X.astype(np.float32))


@pytest.mark.parametrize("n_columns", [2, 13, 784])
def test_rows_that_differ_by_more_than_rounding_are_new(n_columns):
    generator = np.random.default_rng(0)
    X = 5 + generator.normal(size=(500, n_columns))
    known = fingerprint(X)
    assert (places(X.astype(np.float32), known) == np.arange(500)).all()
    for new in (X + 1e-3, generator.normal(size=(500, n_columns)) + 5, 1e4 * X, 1e300 * X, -X):
        assert (places(new, known) == -1).all()
        assert (places(new[:3], known) == -1).all()
    X[:, 0] += 0.01
    assert (places(X, known) == -1).all()


def test_tolerance_is_less_than_what_is_between_rows():
    generator = np.random.default_rng(0)
    X, new = generator.normal(size=(2, 50_000, 1))
    known = fingerprint(X)
    assert (places(X, known) == np.arange(len(X))).all()
    assert (places(new, known) >= 0).mean() < 0.005
    steps = 1 + 1e-8 * np.arange(300)[:, None] * [1.0, 2.0]
    assert_array_equal(places(steps, fingerprint(steps[::2])) >= 0, np.arange(300) % 2 == 0)


def test_equal_rows_are_known_in_their_order():
    X = np.random.default_rng(0).normal(size=(20, 3))
    again = X[[4, 1, 4, 7, 4]]
    known = fingerprint(np.vstack([X, again]))
    expected = [4, 1, 20, 7, 22, 24, 24]
    for change in (np.asarray, np.float32):
        assert_array_equal(places(change(X[[4, 1, 4, 7, 4, 4, 4]]), known), [4, 1, 20, 7, 22, 24, 24])
    mixed = np.vstack([X[[4, 1]], X[[4, 7, 4, 4, 4]].astype(np.float32)])
    assert_array_equal(places(mixed, known), expected)


def test_words_and_missing_cells_have_to_be_the_same():
    generator = np.random.default_rng(0)
    X = pd.DataFrame({"word": generator.choice(["a", "b"], 60), "n": generator.normal(size=60) / 3, "m": 1.0})
    X.loc[::5, "m"] = np.nan
    X.loc[::7, "word"] = None
    known, rounded = fingerprint(X), X.astype({"n": np.float32})
    assert (places(rounded, known) == np.arange(60)).all()
    assert (places(rounded.to_numpy(dtype=object), known) == np.arange(60)).all()
    assert (places(rounded.assign(word=X["word"].map({"a": "b", "b": "a"})).dropna(), known) == -1).all()
    assert (places(rounded.assign(m=2.0), known) == -1).all()
    assert (places(rounded.assign(m=X["m"].fillna(0.0)), known)[::5] == -1).all()


def test_sparse_rows_are_dense_rows():
    X = sparse.random_array((200, 40), density=0.2, rng=np.random.default_rng(0), format="csr")
    X.data[::50] = np.nan
    for known in (fingerprint(X), fingerprint(X.toarray())):
        for given in (X, X.astype(np.float32), X.toarray(), X.toarray().astype(np.float32)):
            assert_array_equal(places(given, known), np.arange(200))
        assert (places(2 * X, known) == -1).all()


def test_fingerprints_of_older_files():
    X = np.random.default_rng(0).normal(size=(30, 3))
    older = fingerprint(X)["hashes"]
    assert_array_equal(places(X[::-1], older), np.arange(30)[::-1])
    assert (places(X.astype(np.float32), older) == -1).all()
    assert (places(X, None) == -1).all()


def test_zeros_and_missing_values_have_no_sign():
    """That of the NaN of 0 / 0 is another than that of `numpy.nan` on most processors."""
    X = np.array([[0.0, np.nan, i] for i in range(5)])
    for signs in ([-1, 1, 1], [1, -1, 1]):
        assert_array_equal(places(np.copysign(X, signs * np.ones(X.shape)), fingerprint(X)), np.arange(5))
