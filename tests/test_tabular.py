"""The sampler of tables: codes, draws, conditions, scores and holes, of data frames and arrays."""

import copy
import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
from estimators import TABULAR, assert_same, configured
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from recorder import Recorder
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from test_common_persistence import ROUND_TRIPS

from skae import AutoencoderOutlierDetector, TabularVAESampler, VAESampler
from skae._fitted import tables

every_sampler = pytest.mark.parametrize("estimator", [pytest.param(e, id=name) for name, e in TABULAR.items()])


def table(n=300, seed=0):
    """Ages that tell the pet, weights that the age tells, a gain that is mostly zero, and holes."""
    rng = np.random.default_rng(seed)
    pet = rng.integers(0, 3, n)
    age = np.rint(rng.normal(4 + 8 * pet, 1.5)).clip(0)
    frame = pd.DataFrame(
        {
            "age": age.astype(int),
            "weight": np.round(2 + 0.8 * age + rng.normal(size=n), 1),
            "pet": np.array(["cat", "dog", "owl"])[pet],
            "gain": np.where(rng.random(n) < 0.7, 0.0, np.round(rng.lognormal(5, 1, n))),
            "tame": pet < 2,
        }
    )
    hole = rng.random(n) < 0.2
    frame.loc[hole, "weight"] = np.nan
    frame["pet"] = frame["pet"].where(~(hole & (rng.random(n) < 0.5)), None)
    return frame


FRAME = table()
KINDS = {"pandas": lambda frame: frame, "polars": pl.from_pandas, "array": lambda f: f.to_numpy(dtype=object)}
every_kind = pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in KINDS.items()])


def names(make):
    """What columns are called by."""
    return [*FRAME.columns] if make is not KINDS["array"] else [*range(FRAME.shape[1])]


def cells(X):
    """The cells of a table of any kind as an array of objects, with None where there is none."""
    X = X if isinstance(X, np.ndarray) else X.to_numpy()
    array = np.array(X, dtype=object)
    array[pd.isna(array)] = None
    return array


@pytest.fixture(scope="module")
def model():
    return TabularVAESampler(4, hidden_layer_sizes=(32,), max_iter=1000, random_state=0).fit(FRAME)


# Frames in, frames out ---------------------------------------------------------------------------------------


@every_kind
@every_sampler
def test_kinds_of_tables_are_alike(estimator, make):
    """The same codes, scores and draws, in the table's own kind, dtypes and columns."""
    X, frame = make(FRAME), FRAME
    model, reference = clone(estimator).fit(X), clone(estimator).fit(frame)
    assert_allclose(model.transform(X), reference.transform(frame), rtol=1e-12)
    assert_allclose(model.score_samples(X), reference.score_samples(frame), rtol=1e-12)
    assert_allclose(model.score_features(X), reference.score_features(frame), rtol=1e-12)
    for method in (
        lambda m, x, c: m.sample(20, random_state=1),
        lambda m, x, c: m.sample(20, random_state=1, with_missing=True),
        lambda m, x, c: m.sample(20, random_state=1, given={c[2]: "dog"}),
        lambda m, x, c: m.inverse_transform(m.transform(x)),
        lambda m, x, c: m.impute(x),
        lambda m, x, c: m.impute(x, sample=True, random_state=2),
    ):
        out = method(model, X, names(make))
        assert type(out) is type(X)
        assert_array_equal(cells(out), cells(method(reference, frame, [*FRAME.columns])))
        if isinstance(out, pl.DataFrame):
            assert out.schema == X.schema
        elif isinstance(out, pd.DataFrame):
            assert_array_equal(out.dtypes, X.dtypes)
            assert [*out.columns] == [*X.columns]
        else:
            assert out.dtype == X.dtype


@every_sampler
def test_rows_do_not_depend_on_each_other(estimator):
    model = clone(estimator).fit(FRAME)
    for method in ("transform", "score_samples", "score_features"):
        whole, part = (getattr(model, method)(X) for X in (FRAME, FRAME[5:9]))
        assert_allclose(part, whole[5:9], rtol=1e-9, atol=1e-12)
    assert_frame_equal(model.impute(FRAME[5:9]), model.impute(FRAME)[5:9])


@every_sampler
def test_fits_are_repeatable_and_write_nothing(estimator):
    X = FRAME.copy()
    first, second = clone(estimator).fit(X), clone(estimator).fit(X)
    assert_same(first.transform(X), second.transform(X))
    assert_frame_equal(first.sample(9, random_state=0), second.sample(9, random_state=0))
    assert not first.sample(9).equals(first.sample(9))
    first.impute(X), first.score_features(X)
    assert_frame_equal(X, FRAME)


def test_precision_of_codes():
    X = FRAME[["age", "weight"]].to_numpy()
    model = configured(TabularVAESampler).fit(X)
    assert model.transform(X).dtype == model.score_samples(X).dtype == np.float64
    single = X.astype(np.float32)
    assert model.transform(single).dtype == model.score_samples(single).dtype == np.float32
    assert model.sample(3).dtype == X.dtype
    assert configured(TabularVAESampler).fit(single).sample(3).dtype == np.float32
    frame = pd.DataFrame(single, columns=["age", "weight"])
    for same in (frame, frame.astype("Float32"), pl.from_pandas(frame)):
        assert configured(TabularVAESampler).fit(same).transform(same).dtype == np.float32


# New rows ------------------------------------------------------------------------------------------------------


def test_draws_look_like_the_data(model):
    new, other = model.sample(2000, random_state=0), table(2000, seed=1)
    for name in ("age", "weight", "gain"):
        assert abs(new[name].mean() - other[name].mean()) < 0.2 * other[name].std()
        assert new[name].between(FRAME[name].min(), FRAME[name].max()).all()
    shares = pd.concat([new.pet.value_counts(normalize=True), other.pet.value_counts(normalize=True)], axis=1)
    assert abs(shares.iloc[:, 0] - shares.iloc[:, 1]).max() < 0.08
    assert abs((new.gain == 0).mean() - 0.7) < 0.06
    assert np.corrcoef(new.age, new.weight)[0, 1] > 0.85
    means = new.groupby("pet").age.mean()
    assert means["cat"] < 7 < means["dog"] < 17 < means["owl"]
    assert not new.isna().any(axis=None)


def test_draws_under_conditions(model):
    rows = model.sample(1000, random_state=0, given={"pet": "owl"})
    assert (rows.pet == "owl").all()
    real = FRAME[FRAME.pet == "owl"]
    assert abs(rows.age.mean() - real.age.mean()) < 2
    assert rows.tame.mean() < 0.1
    rows = model.sample(500, random_state=0, given={"age": 12, "gain": 0})
    assert (rows.age == 12).all()
    assert (rows.gain == 0).all()
    assert abs(rows.weight.mean() - 11.6) < 1
    assert rows.pet.value_counts(normalize=True).dog > 0.8


def test_given_numbers_come_back_as_they_were_given(model):
    x = np.random.default_rng(0).normal(size=(200, 2))
    for value in (1.0, 0.1, 1 / 3):
        drawn = (
            configured(TabularVAESampler).fit(pd.DataFrame(x, columns=["a", "b"])).sample(3, given={"a": value})
        )
        assert drawn["a"].tolist() == [value] * 3
    assert model.sample(3, given={"age": 12.0})["age"].tolist() == [12] * 3
    with pytest.raises(ValueError, match=r"given\['age'\]=12.5 is no integer"):
        model.sample(3, given={"age": 12.5})


@every_sampler
def test_a_row_without_any_cell_scores_zero(estimator):
    X = FRAME[["age", "pet"]].iloc[:200]
    model = clone(estimator).fit(X)
    empty = pd.concat([X.iloc[:2], pd.DataFrame({"age": [np.nan], "pet": [None]})])
    scores = model.score_samples(empty)
    assert scores[2] == 0
    assert_same(scores[:2], model.score_samples(X.iloc[:2]))
    with pytest.warns(UserWarning, match="cow"):
        assert model.score_samples(empty.assign(pet="cow"))[2] == 0


def test_given_decimal_numbers_and_fractions():
    prices = [Decimal(number).scaleb(-2) for number in range(110, 150)]
    large = [2**60 + 3 * number for number in range(40)]
    X = pl.DataFrame({"price": pl.Series(prices, dtype=pl.Decimal(9, 2)), "share": [0.1, 0.2, 0.3, 1.2] * 10})
    model = configured(TabularVAESampler).fit(X.with_columns(large=pl.Series(large)))
    for number in (0, 7, 39):  # the least and the largest, too, which are no floats
        drawn = model.sample(3, random_state=0, given={"price": prices[number]})
        assert drawn["price"].to_list() == [prices[number]] * 3
        drawn = model.sample(3, random_state=0, given={"large": Decimal(large[number])})
        assert drawn["large"].to_list() == [large[number]] * 3
    for value in (Decimal("0.1"), Fraction(1, 10)):
        assert model.sample(3, random_state=0, given={"share": value})["share"].to_list() == [0.1] * 3


def test_holes_are_drawn_as_they_are_in_the_data(model):
    rows = model.sample(4000, random_state=0, with_missing=True)
    assert_allclose(rows.isna().mean(), FRAME.isna().mean(), atol=0.03)
    both = (FRAME.pet.isna() & FRAME.weight.isna()).mean()
    assert abs((rows.pet.isna() & rows.weight.isna()).mean() - both) < 0.03
    rows = model.sample(200, random_state=0, with_missing=True, given={"pet": "cat"})
    assert (rows.pet == "cat").all()
    assert rows.weight.isna().any()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"color": "red"}, ValueError, r"given names 'color', but the columns are \['age',"),
        ({"pet": "cow"}, ValueError, r"given\['pet'\]='cow' is none of .*'cat', 'dog', 'owl'"),
        ({"pet": None}, ValueError, "None is a missing value. Leave the column out"),
        ({"weight": pd.NA}, ValueError, "NA> is a missing value"),
        ({"age": 3.5}, ValueError, r"given\['age'\]=3.5 is no integer, but the column holds integers"),
        (["pet"], TypeError, r"given=\['pet'\] must be a dict"),
        (5, TypeError, "given=5 must be a dict"),
        ({"age": "old"}, TypeError, r"given\['age'\]='old' is no number"),
        ({"age": float("nan")}, ValueError, "nan is a missing value"),
        ({"age": 1e6}, ValueError, r"outside of what the column holds: \d+ to \d+"),
        ({"weight": Decimal("inf")}, ValueError, r"'weight'\]=inf is outside of what the column holds"),
        ({"weight": Fraction(10**400)}, ValueError, r"'weight'\]=inf is outside of what the column holds"),
        ({"weight": Decimal("nan")}, ValueError, r"Decimal\('NaN'\) is a missing value"),
        ({"age": Decimal("3.5")}, ValueError, r"given\['age'\]=3.5 is no integer, but the column holds integers"),
        ({"pet": np.array("cat")}, TypeError, r"given\['pet'\], of type ndarray, must be one value"),
        ({"pet": ("cat", [])}, TypeError, r"given\['pet'\], of type tuple, must be one value"),
        ({"pet": ["cat"]}, TypeError, r"given\['pet'\], of type list, must be one value"),
        ({"age": pd.Series([3])}, TypeError, r"given\['age'\], of type Series, must be one value"),
        (FRAME, TypeError, "given, of type DataFrame, must be a dict of columns and values, one for each column"),
        (pl.from_pandas(FRAME), TypeError, "given, of type DataFrame, must be a dict"),
        (np.array(["cat"]), TypeError, "given, of type ndarray, must be a dict"),
    ],
)
def test_conditions_that_cannot_be(model, given, error, message):
    with pytest.raises(error, match=message):
        model.sample(5, random_state=0, given=given)


def test_conditions_outside_are_told_all_that_the_column_holds():
    X = np.r_[np.zeros(20), np.linspace(1000.001, 2000.002, 30)][:, None]
    model = TabularVAESampler(1, max_iter=1, hidden_layer_sizes=(4,), random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"outside of what the column holds: 1000.001 to 2000.002, or 0\.$"):
        model.sample(given={0: 500})
    assert model.sample(given={0: 2000.002}) == 2000.002


@pytest.mark.parametrize("make", [*KINDS.values(), lambda f: f.astype({"age": "Int8"})])
def test_conditions_on_integers_are_integers(make):
    X = make(FRAME[["age", "weight"]])
    model = TabularVAESampler(2, hidden_layer_sizes=(4,), max_iter=1, random_state=0).fit(X)
    age, weight = ("age", "weight") if not isinstance(X, np.ndarray) else (0, 1)
    with pytest.raises(ValueError, match=r"12.5 is no integer"):
        model.sample(2, given={age: 12.5})
    assert len(model.sample(2, given={age: 12.0})) == len(model.sample(2, given={weight: 12.5})) == 2


def test_names_that_are_tuples_or_integers():
    """Integers are positions in categorical_features, and names in given."""
    frame = pd.DataFrame({("a", "x"): [1, 2] * 20, ("a", "y"): np.arange(40.0), ("b", "x"): ["u", "v"] * 20})
    model = TabularVAESampler(2, hidden_layer_sizes=(4,), max_iter=1, random_state=0)
    chosen = clone(model).set_params(categorical_features=[("a", "x"), ("b", "x")]).fit(frame)
    assert [*chosen.categories_] == [("a", "x"), ("b", "x")]
    assert set(chosen.sample(3, given={("b", "x"): "u"})[("b", "x")]) == {"u"}
    with pytest.raises(ValueError, match=r"names \('b', 'z'\), but the columns of X are \[\('a', 'x'\)"):
        clone(model).set_params(categorical_features=[("b", "z")]).fit(frame)
    numbered = frame.set_axis([2, 7, 0], axis=1)
    chosen = clone(model).set_params(categorical_features=[0, 2]).fit(numbered)
    assert [*chosen.categories_] == [2, 0]
    assert set(chosen.sample(3, given={0: "v"})[0]) == {"v"}
    with pytest.raises(ValueError, match="has the number 7, but X has 3 columns: numbers count them, from 0 to 2"):
        clone(model).set_params(categorical_features=[7]).fit(numbered)


def test_conditions_that_are_too_rare(model, monkeypatch):
    monkeypatch.setattr(tables, "POOL", 30)
    monkeypatch.setattr(tables, "MOST_POOLS", 2)
    with pytest.raises(ValueError, match=r"'age': 2}.* is too rare: of 60 draws, only about \d\.\d agree"):
        model.sample(5, random_state=0, given={"pet": "owl", "age": 2})


@pytest.mark.parametrize(("n_samples", "error"), [(0, ValueError), (True, TypeError), (2.5, TypeError)])
def test_numbers_of_samples(model, n_samples, error):
    with pytest.raises(error, match="n_samples"):
        model.sample(n_samples)
    assert len(model.sample(np.int64(2))) == 2


# Scores --------------------------------------------------------------------------------------------------------


def test_scores_find_impossible_rows_and_name_the_column(model):
    new = table(400, seed=2).dropna()
    odd = new.assign(pet="owl")[new.age < 7]
    assert np.median(model.score_samples(odd)) < np.quantile(model.score_samples(new), 0.05)
    reasons = model.score_features(odd)
    assert reasons.shape == odd.shape
    named = np.array(FRAME.columns)[reasons.argmin(1)]
    assert np.isin(named, ["pet", "tame", "age", "weight"]).mean() > 0.95
    assert (named == "pet").mean() > 0.5


def test_scores_are_never_infinite(model):
    odd = pd.DataFrame(
        {"age": [10**6, -(10**6)], "weight": [1e300, -1e300], "pet": ["cat"] * 2, "gain": [1e9, 3.0]}
    )
    odd["tame"] = True
    scores = model.score_samples(odd)
    assert np.isfinite(scores).all()
    assert (scores < model.score_samples(FRAME).min()).all()
    assert np.isfinite(model.score_features(odd)).all()
    assert np.isfinite(model.transform(odd)).all()


def test_unknown_categories_are_missing(model):
    new = FRAME[:6].copy()
    new["pet"] = ["cow", *new.pet[1:]]
    holes = new.assign(pet=new.pet.where(new.pet != "cow", None))
    for method in (model.transform, model.score_samples, model.score_features):
        with pytest.warns(UserWarning, match="'pet' holds values that fit did not see, such as 'cow'") as caught:
            values = method(new)
        assert len(caught) == 1
        assert_array_equal(values, method(holes))
    assert_array_equal(model.score_features(holes)[0, 2], 0)


@every_kind
def test_numbers_that_were_not_seen_are_kept(make):
    few = pd.DataFrame({"rooms": np.repeat([1, 2, 3], 20), "pet": ["cat", "dog"] * 30})
    sampler = configured(TabularVAESampler).fit(make(few))
    new = few[:3].assign(rooms=[4, 1, 9], pet=[None, "dog", "cat"])
    with pytest.warns(UserWarning, match="'rooms' holds|0 holds"):
        filled = sampler.impute(make(new))
    assert cells(filled)[:, 0].tolist() == [4, 1, 9]
    assert cells(filled)[0, 1] in ("cat", "dog")


@pytest.mark.parametrize(
    "columns",
    [
        pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["first", None]),
        pd.Index([("a", 1), ("a", 2), ("b", 1)], tupleize_cols=False),
        pd.Index([1, 2, 3], name="what"),
    ],
    ids=["levels", "tuples", "named"],
)
def test_the_index_of_columns_comes_back(columns):
    frame = FRAME[["age", "weight", "pet"]].set_axis(columns, axis=1)
    sampler = pickle.loads(pickle.dumps(configured(TabularVAESampler).fit(frame)))
    for new in (sampler.sample(5), sampler.inverse_transform(np.zeros((2, 2))), sampler.impute(frame)):
        pd.testing.assert_index_equal(new.columns, columns)


def test_inactive_units_are_said_with_parameters_that_there_are():
    with pytest.warns(UserWarning, match="All 2 units .* inactive.*Lower beta") as caught:
        configured(TabularVAESampler).fit(pd.DataFrame({"age": [3] * 40, "pet": ["cat"] * 40}))
    assert "kl_warm_up" not in str(caught[0].message)


def test_the_score_is_the_mean(model):
    each, weight = model.score_samples(FRAME), np.arange(len(FRAME))
    assert_allclose(model.score(FRAME), each.mean())
    assert_allclose(model.score(FRAME, sample_weight=weight), np.average(each, weights=weight))
    assert type(model.score(FRAME)) is float


def test_the_prior_is_that_of_draws_and_scores():
    """log p(x) of one normal column: its normal scores are standard normal, whatever the code is."""
    x = np.random.default_rng(0).normal(size=(2000, 1))
    for prior in ("mixture", "normal"):
        model = TabularVAESampler(2, hidden_layer_sizes=(8,), prior=prior, max_iter=20, random_state=0).fit(x)
        grid = np.linspace(-8, 8, 4001)[:, None]
        scores = model._codec.variables[0].scores.scores(grid[:, 0].clip(x.min(), x.max()))
        inside = (grid[:, 0] > x.min()) & (grid[:, 0] < x.max())
        density = np.exp(model.score_samples(grid[inside]))
        assert abs(np.trapezoid(density, scores[inside]) - 1) < 0.03


# Holes ---------------------------------------------------------------------------------------------------------


def test_holes_are_filled_by_what_the_rest_tells(model):
    whole = table(600, seed=3).dropna()
    for name, close in (
        ("pet", lambda a, b: (a == b).mean() > 0.9),
        ("weight", lambda a, b: (a - b).abs().mean() < 1.5),
    ):
        holes = whole.copy()
        holes[name] = pd.Series([None] * len(whole), index=whole.index, dtype=whole[name].dtype)
        filled = model.impute(holes)
        assert close(filled[name], whole[name])
        assert_frame_equal(filled.drop(columns=name), whole.drop(columns=name))
        assert filled.index.equals(whole.index)


def test_drawn_fillings_vary_as_the_data_do(model):
    whole = table(600, seed=3).dropna()
    holes = whole.assign(weight=np.nan)
    drawn = model.impute(holes, sample=True, random_state=0).weight - whole.weight
    expected = model.impute(holes).weight - whole.weight
    assert drawn.std() > 1.15 * expected.std()
    assert not model.impute(holes, sample=True).equals(model.impute(holes, sample=True))


def test_fillings_of_rows_of_which_little_is_known_are_as_the_table_is():
    """Draws of the code that all rows share gave all of them the same bias, of up to half a deviation."""
    rng = np.random.default_rng(0)
    known, u, v = rng.normal(size=(3, 500, 1))
    X = np.hstack([known, u + 0.05 * rng.normal(size=(500, 4)), v + 0.05 * rng.normal(size=(500, 4))])
    model = TabularVAESampler(random_state=1, max_iter=60).fit(X)
    new, holes = model.sample(2000, random_state=0), np.where(np.arange(9) > 0, np.nan, X)
    drawn = np.vstack([model.impute(holes, sample=True, random_state=i) for i in range(2)])
    assert_allclose(drawn[:, 1:].mean(0), new[:, 1:].mean(0), atol=0.2)
    assert_allclose(drawn[:, 1:].std(0), new[:, 1:].std(0), rtol=0.12)
    assert np.abs(model.impute(holes)[:, 1:].mean(0)).max() < 0.3


def test_the_number_of_draws_may_be_set_after_fit(model):
    model = copy.deepcopy(model)
    few = model.set_params(n_importance_samples=1).score_samples(FRAME)
    many = model.set_params(n_importance_samples=500).score_samples(FRAME)
    assert (many != few).mean() > 0.9


@pytest.mark.parametrize("make", [lambda frame: frame, pl.from_pandas], ids=["pandas", "polars"])
def test_observed_integers_of_any_size_stay(make):
    frame = pd.DataFrame({"id": 2**53 + 1 + np.arange(60), "x": np.random.default_rng(0).normal(size=60)})
    frame["sparse"] = np.arange(60) % 2.0
    if make(frame) is frame:
        frame = frame.astype({"sparse": pd.SparseDtype(float, 0)})
    frame.loc[0, "x"] = np.nan
    X = make(frame)
    model = configured(TabularVAESampler).fit(X)
    for filled in (model.impute(X), model.impute(X, sample=True)):
        assert [*filled["id"]] == [*X["id"]]
        assert [*filled["x"]][1:] == [*X["x"]][1:]
        assert not np.isnan(filled["x"][0])
    drawn = model.sample(200)
    assert [*drawn.dtypes] == [*X.dtypes]
    assert min(X["id"]) <= min(drawn["id"]) <= max(drawn["id"]) <= max(X["id"])


# In scikit-learn -----------------------------------------------------------------------------------------------


def test_in_pipelines_and_searches():
    X, y = FRAME.drop(columns="tame"), FRAME.tame
    sampler = configured(TabularVAESampler, max_iter=20, n_importance_samples=8)
    pipe = make_pipeline(sampler, LogisticRegression())
    assert cross_val_score(pipe, X, y, cv=2).mean() > 0.6
    search = GridSearchCV(sampler, {"n_components": [1, 2]}, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    both = make_union(sampler, clone(sampler).set_params(random_state=1)).fit_transform(X)
    assert both.shape == (300, 4)
    columns = make_column_transformer((sampler, ["pet", "gain"]), (StandardScaler(), ["age"]))
    assert columns.fit_transform(X).shape == (300, 3)


def test_output_as_frames(model):
    named = copy.copy(model).set_output(transform="pandas")
    codes = named.transform(FRAME.set_index(FRAME.index + 7))
    assert [*codes.columns] == [f"tabularvaesampler{i}" for i in range(4)]
    assert codes.index[0] == 7
    back = named.inverse_transform(codes)
    assert back.index.equals(codes.index)
    assert_frame_equal(back.reset_index(drop=True), model.inverse_transform(codes.to_numpy()))
    of_polars = configured(TabularVAESampler).fit(pl.from_pandas(FRAME))
    assert isinstance(of_polars.inverse_transform(pd.DataFrame(np.zeros((3, 2)), index=[7, 8, 9])), pl.DataFrame)
    assert isinstance(copy.copy(model).set_output(transform="polars").transform(FRAME), pl.DataFrame)


@every_kind
def test_saved_and_loaded(make, tmp_path):
    X = make(FRAME)
    model = configured(TabularVAESampler).fit(X)
    for round_trip in ROUND_TRIPS:
        loaded = round_trip(model, tmp_path)
        assert_same(loaded.transform(X), model.transform(X))
        assert_same(loaded.score_samples(X), model.score_samples(X))
        first, second = (m.sample(50, random_state=0, with_missing=True) for m in (model, loaded))
        assert type(first) is type(second)
        assert_array_equal(cells(first), cells(second))
        assert type(loaded.vae_) is VAESampler


def test_names_that_are_tuples_are_saved(tmp_path):
    X = FRAME[["pet", "weight"]].set_axis(pd.MultiIndex.from_tuples([("a", "pet"), ("a", "weight")]), axis=1)
    model = configured(TabularVAESampler).fit(X)
    for round_trip in ROUND_TRIPS:
        loaded = round_trip(model, tmp_path)
        assert loaded.categories_ == model.categories_
        assert list(model.categories_) == [("a", "pet")]
        assert loaded.sample(5, random_state=0).equals(model.sample(5, random_state=0))


def test_a_watched_sampler_is_saved_as_any_other():
    """Without callbacks' own parts, which hold the table."""
    plain = configured(TabularVAESampler).fit(FRAME)
    watched = configured(TabularVAESampler).set_callbacks(ScoringMonitor(scoring=scored)).fit(FRAME)
    for again in (pickle.loads(pickle.dumps(watched)), copy.deepcopy(watched)):
        assert_same(again.transform(FRAME), plain.transform(FRAME))
    assert pickle.dumps(watched.vae_) == pickle.dumps(plain.vae_)


def scored(sampler, X, y):
    """Return the scores of an epoch, whose samplers can be saved too."""
    return {"score": pickle.loads(pickle.dumps(sampler)).score(X)}


def test_callbacks_see_the_epochs():
    recorder, stopping = Recorder(), Recorder(stop_after=2)
    configured(TabularVAESampler, max_iter=3).set_callbacks(recorder).fit(FRAME)
    assert recorder.begun == ["setup", "fit", *["epoch"] * 3]
    assert recorder.ended == [*["epoch"] * 3, "fit", "teardown"]
    assert recorder.models[-1].sample(2, random_state=0).shape == (2, 5)
    assert configured(TabularVAESampler).set_callbacks(stopping).fit(FRAME).n_iter_ == 2


@pytest.mark.parametrize(("n_rows", "n_epochs"), [(300, 1500), (4900, 120), (5000, 200)])
def test_the_number_of_rows_tells_the_number_of_epochs(n_rows, n_epochs):
    sampler = TabularVAESampler(2, hidden_layer_sizes=(4,), random_state=0)
    sampler.set_callbacks(Recorder(stop_after=1)).fit(table(n_rows)[["age", "pet"]])
    assert sampler.vae_.max_iter_ == n_epochs
    assert sampler.vae_.batch_size_ == 200
    assert sampler.n_iter_ == 1


def test_early_stopping_and_rows_to_watch():
    for settings, data in (({"early_stopping": True}, {}), ({}, {"X_val": table(80, seed=5)})):
        model = configured(TabularVAESampler, **settings).fit(FRAME, **data)
        assert len(model.validation_loss_curve_) == model.n_iter_ == 4
        assert model.best_loss_ == min(model.validation_loss_curve_)
    with pytest.raises(ValueError, match=r"^In X_val: .* Column 'tame' is not in its place"):
        configured(TabularVAESampler).fit(FRAME, X_val=FRAME[FRAME.columns[::-1]])
    again = model.fit(FRAME)
    assert not hasattr(again, "validation_loss_curve_")


def test_rows_to_explain_outliers_by():
    detector = AutoencoderOutlierDetector(
        configured(TabularVAESampler, max_iter=30), n_estimators=2, random_state=0
    )
    detector.fit(FRAME)
    assert detector.score_features(FRAME).shape == FRAME.shape
    assert np.isfinite(detector.score_samples(FRAME)).all()


# Refused -------------------------------------------------------------------------------------------------------


def test_portions_are_refused_with_the_reason():
    model = TabularVAESampler()
    assert not hasattr(model, "partial_fit")
    with pytest.raises(AttributeError) as caught:
        model.partial_fit(FRAME)
    assert "quantiles and categories are of the whole table" in str(caught.value.__cause__)


def test_bad_input_is_named_by_column_and_leaves_nothing(model):
    bad = {
        "'day' holds dates": FRAME.assign(day=pd.Timestamp("2020-01-01")),
        "'age' contains infinity": FRAME.assign(age=np.inf),
        "'pet' has 300 categories": FRAME.assign(pet=[f"id {i}" for i in range(300)]),
        "'weight' has no value at all": FRAME.assign(weight=np.nan),
    }
    unfitted, fitted = configured(TabularVAESampler), configured(TabularVAESampler).fit(FRAME)
    before = pickle.dumps(fitted)
    for message, frame in bad.items():
        for X in (frame, pl.from_pandas(frame)):
            with pytest.raises(ValueError, match=message):
                fitted.fit(X)
            assert pickle.dumps(fitted) == before
            with pytest.raises(ValueError, match=message):
                unfitted.fit(X)
            assert not hasattr(unfitted, "vae_")
            assert not hasattr(unfitted, "n_features_in_")
    with pytest.raises(ValueError, match=r"'age' has dtype .* but held numbers"):
        model.transform(FRAME.assign(age="old"))
    for method in (model.transform, model.impute, model.score_samples):
        with pytest.raises(ValueError, match=r"'pet' has dtype int64 and holds 1, .* such as 'cat'\. Convert"):
            method(FRAME.assign(pet=1))
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(FRAME[["weight", "age", "pet", "gain", "tame"]])
    with pytest.raises(ValueError, match="yet now missing:\n- age"):
        model.transform(FRAME.drop(columns="age"))
    with pytest.raises(ValueError, match="X has 4 features, but TabularVAESampler is expecting 5"):
        configured(TabularVAESampler).fit(cells(FRAME)).transform(cells(FRAME)[:, :4])
    with pytest.raises(ValueError, match=r"Z has 3 columns.*n_components=4"):
        model.inverse_transform(np.zeros((2, 3)))
