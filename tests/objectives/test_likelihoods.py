"""Likelihoods against SciPy's distributions and numerical integrals, and the columns they share out."""

import numpy as np
import pytest
import torch
from likelihood_cases import CASES, LAYOUTS, MIXED, decoder_of, densities, outputs, targets
from numpy.testing import assert_allclose
from scipy import sparse, special, stats

from skae import VAESampler
from skae._networks.activations import link_activation
from skae._objectives.likelihoods import (
    LIKELIHOODS,
    draw,
    link,
    negative_log_likelihood,
    partition,
    with_scale,
)

ROWS = 6


@pytest.mark.parametrize(("layout", "variance"), CASES)
def test_equals_scipy(layout, variance):
    parts = partition(LAYOUTS[layout], 4)
    decoder, x, output = decoder_of(parts, variance), targets(parts, (ROWS, 4)), outputs(parts, ROWS, variance)
    loss = negative_log_likelihood(parts, decoder)
    assert not loss.mean_over_features
    assert_allclose(-loss.per_row(output, x).detach(), densities(parts, decoder, output, x), rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in LIKELIHOODS if name not in ("categorical", "student_t")])
def test_integrates_to_one(name):
    """In one dimension, and in two as a product, for several parameters."""
    if name == "bernoulli":
        grid, width = torch.tensor([0.0, 1.0], dtype=torch.float64), 1.0
    elif name == "poisson":
        grid, width = torch.arange(200, dtype=torch.float64), 1.0
    else:
        lowest = -15 if name == "gaussian" else 0
        grid = torch.linspace(lowest, 60, 100_001, dtype=torch.float64)
        width = float(grid[1] - grid[0])
    weight = torch.full_like(grid, width)
    if name in ("gaussian", "exponential"):
        weight[[0, -1]] /= 2  # the trapezoidal rule
    parts = partition(name, 1)
    decoder = decoder_of(parts)
    for output in (-0.5, 0.0, 1.2):
        rows = negative_log_likelihood(parts, decoder).per_row(
            torch.full((len(grid), 1), output).double(), grid[:, None]
        )
        assert_allclose(((-rows.detach()).exp() * weight).sum(), 1, rtol=1e-6)
    if name in ("bernoulli", "poisson"):
        parts, small, few = partition(name, 2), grid[:40], weight[:40]
        plane = torch.cartesian_prod(small, small)
        output = torch.tensor([[0.3, -0.4]], dtype=torch.float64).expand(len(plane), 2)
        rows = negative_log_likelihood(parts, decoder_of(parts)).per_row(output, plane)
        assert_allclose(((-rows.detach()).exp() * torch.cartesian_prod(few, few).prod(1)).sum(), 1, rtol=1e-6)


def test_two_normal_columns_integrate_to_one():
    axis = torch.linspace(-12, 12, 601, dtype=torch.float64)
    plane, parts = torch.cartesian_prod(axis, axis), partition("gaussian", 2)
    output = torch.tensor([[0.3, -0.4]], dtype=torch.float64).expand(len(plane), 2)
    rows = negative_log_likelihood(parts, decoder_of(parts)).per_row(output, plane).detach()
    assert_allclose((-rows).exp().sum() * (axis[1] - axis[0]) ** 2, 1, rtol=1e-8)


def test_categories_sum_to_one():
    parts = partition([("categorical", [0, 2]), ("categorical", [1, 3, 4])], 5)
    cells = [torch.eye(n, dtype=torch.float64) for n in (2, 3)]
    rows = torch.stack([torch.stack([a[0], b[0], a[1], b[1], b[2]]) for a in cells[0] for b in cells[1]])
    output = torch.randn(1, 5, dtype=torch.float64).mul(3).expand(6, 5)
    loss = negative_log_likelihood(parts, decoder_of(parts)).per_row(output, rows)
    assert_allclose((-loss).exp().sum(), 1, rtol=1e-12)


def distribution(name, output, decoder):
    """SciPy's distribution of each column, of an output before the link."""
    scale = None if decoder.variance is None else decoder.variance.detach().sqrt().numpy()
    if name == "gaussian":
        return stats.norm(output, scale)
    if name == "student_t":
        return stats.t(decoder.degrees_of_freedom.detach().numpy(), output, scale)
    if name == "bernoulli":
        return stats.bernoulli(special.expit(output))
    if name == "categorical":
        return stats.bernoulli(special.softmax(output))
    return stats.poisson(np.exp(output)) if name == "poisson" else stats.expon(scale=np.exp(output))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_draws_have_the_distribution(name):
    """By its probabilities where they are few, by the Kolmogorov-Smirnov test otherwise."""
    parts, n = partition(name, 2), 50_000
    decoder, generator = decoder_of(parts), torch.Generator().manual_seed(0)
    output = torch.tensor([[0.5, -0.7]], dtype=torch.float64)
    x = draw(parts, decoder, output.repeat(n, 1), generator).numpy()
    expected = distribution(name, output[0].numpy(), decoder)
    for column in range(2):
        if name in ("bernoulli", "categorical", "poisson"):
            counts = np.bincount(x[:, column].astype(int), minlength=20)[:20] / n
            assert_allclose(counts, expected.pmf(np.arange(20)[:, None])[:, column], atol=0.01)
        else:
            assert stats.kstest(x[:, column], lambda v, c=column: expected.cdf(v[:, None])[:, c]).pvalue > 0.01
    assert abs(np.corrcoef(x.clip(-5, 5).T)[0, 1] + (name == "categorical")) < 0.02


@pytest.mark.parametrize("layout", ["gaussian", "student_t", "scales"])
def test_draws_of_conditional_variances(layout):
    """Each row has its own; other columns draw as ever."""
    parts = partition(LAYOUTS[layout], 4)
    decoder, output = decoder_of(parts, "conditional"), outputs(parts, 2, "conditional")
    scaled = list(with_scale(parts))
    deviation = decoder.variances_of(output[:, 4:]).sqrt().numpy()
    for row in range(2):
        x = draw(parts, decoder, output[[row]].repeat(20_000, 1), torch.Generator().manual_seed(0))
        standardised = ((x - output[row, :4])[:, scaled].numpy()) / deviation[row]
        dof = iter(() if decoder.log_dof is None else decoder.degrees_of_freedom.tolist())
        of_student = dict(zip((c for name, own in parts if name == "student_t" for c in own), dof, strict=True))
        for column, values in zip(scaled, standardised.T, strict=True):
            law = stats.t(of_student[column]) if column in of_student else stats.norm()
            assert stats.kstest(values, law.cdf).pvalue > 0.01


def test_inverse_links():
    mean = torch.tensor([[0.2, 0.8]], dtype=torch.float64)
    for name, family in LIKELIHOODS.items():
        output = family.inverse(mean)
        link_activation(family.link).apply_(output)
        assert_allclose(output, mean, err_msg=name)
        assert_allclose(link_activation(family.link).module()(family.inverse(mean)), mean, err_msg=name)
        assert torch.isfinite(family.inverse(torch.zeros(1))).all()
    assert torch.isfinite(LIKELIHOODS["bernoulli"].inverse(torch.ones(1))).all()


# Columns ---------------------------------------------------------------------------------------------------


def test_partition_sorts_and_joins():
    assert partition("poisson", 3) == (("poisson", (0, 1, 2)),)
    assert partition(MIXED, 4) == (("gaussian", (0, 3)), ("bernoulli", (1,)), ("poisson", (2,)))
    pairs = [("gaussian", np.array([2])), ("bernoulli", 1), ["gaussian", range(1)]]
    assert partition(pairs, 3) == (("gaussian", (0, 2)), ("bernoulli", (1,)))


def test_each_categorical_pair_is_a_variable():
    pairs = [("categorical", [5, 1]), ("gaussian", [0]), ("categorical", [3, 2]), ("gaussian", [4])]
    parts = (("gaussian", (0, 4)), ("categorical", (1, 5)), ("categorical", (2, 3)))
    assert partition(pairs, 6) == parts
    assert link(parts) == (("identity", (0, 4)), ("softmax", (1, 5)), ("softmax", (2, 3)))
    assert link(parts[1:2]) == "softmax"
    assert partition("categorical", 3) == (("categorical", (0, 1, 2)),)


@pytest.mark.parametrize(
    ("layout", "words"),
    [
        ([("gaussian", [0, 1])], r"no distribution for columns \[2\]"),
        ([("gaussian", [0, 1, 2]), ("poisson", [2])], "column 2 twice"),
        ([("gaussian", [0, 1, 3])], "column 3.*integers from 0 to 2"),
        ([("gaussian", [0, 1, -1])], "column -1"),
        ([("gaussian", [0, 1, 1.5])], "column 1.5"),
        ([("gaussian", [True, 0, 2])], "column True"),
        (
            [("normal", [0, 1, 2])],
            r"'normal'.*'gaussian', 'bernoulli', 'exponential', 'poisson', 'categorical', 'student_t'",
        ),
        (["gaussian", "poisson", "poisson"], "pair"),
        ([("gaussian",)], "pair"),
        ([(0, [0, 1, 2])], "pair"),
        ([], "no distribution"),
    ],
)
def test_what_is_no_partition(layout, words):
    with pytest.raises(ValueError, match=words):
        partition(layout, 3)
    with pytest.raises(ValueError, match=words):
        VAESampler(likelihood=layout).fit(np.ones((5, 3)))


def test_errors_say_how_many_columns_they_do_not_name():
    with pytest.raises(ValueError, match=r"no distribution for columns \[2, 3, .*, 11 and 8 more\]"):
        VAESampler(likelihood=[("gaussian", [0, 1])]).fit(np.ones((5, 20)))
    pairs = [("gaussian", [0, 1]), ("poisson", range(2, 20))]
    with pytest.raises(ValueError, match=r"columns \[2, 3, .*, 11 and 8 more\]"):
        VAESampler(likelihood=pairs).fit(-np.ones((5, 20)))


@pytest.mark.parametrize(
    ("likelihood", "X", "words"),
    [
        ("bernoulli", [[0.0, 2.0], [-1.0, 0.5]], ["minimum is -1", "maximum 2", "MinMaxScaler", "'gaussian'"]),
        ("poisson", [[0.0, 2.0], [-1.0, 0.5]], ["minimum is -1", "maximum 2", "standardised", "'gaussian'"]),
        ("exponential", [[0.0, 2.0], [-3.0, 0.5]], ["minimum is -3", "maximum 2", "'gaussian'"]),
        (
            [("gaussian", 0), ("bernoulli", 1)],
            [[-9.0, 0.5], [9.0, 1.5]],
            ["columns [1] in", "is 0.5", "maximum 1.5"],
        ),
        ("categorical", [[0.0, 1.0], [0.5, 0.5]], ["row 1", "column 0 holds 0.5", "OneHotEncoder"]),
        ("categorical", [[0.0, 1.0], [0.0, 0.0]], ["row 1", "all of them hold 0", "missing values"]),
        ("categorical", [[0.0, 1.0], [1.0, 1.0]], ["row 1", r"columns [0, 1] all hold 1"]),
        (
            [("gaussian", 0), ("categorical", [2, 3]), ("categorical", [1])],
            [[-9.0, 1.0, 0.0, 1.0], [9.0, 1.0, 3.0, 1.0]],
            ["one-hot columns [2, 3]", "row 1", "column 2 holds 3"],
        ),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_values_outside_the_support(likelihood, X, words, method):
    with pytest.raises(ValueError, match="likelihood=") as caught:
        getattr(VAESampler(likelihood=likelihood), method)(np.array(X))
    for word in words:
        assert word in str(caught.value)


def test_values_on_the_edge_are_fine():
    """Also what scaling to [0, 1] can return."""
    edges = {"bernoulli": [-1e-12, 1 + 2e-16], "poisson": [0.0, 1e9], "exponential": [-1e-9, 1e9]}
    for name, edge in edges.items():
        model = VAESampler(2, likelihood=name, max_iter=1, tol=None, random_state=0).fit(np.array([edge] * 3))
        assert np.isfinite(model.score_samples(np.array([edge]))).all()


def test_a_categorical_variable_may_be_missing_as_a_whole():
    X = np.array([[0.0, 1, 7], [np.nan, np.nan, 6], [1, 0, 5]] * 4)
    likelihood = [("categorical", [0, 1]), ("gaussian", 2)]
    model = VAESampler(1, likelihood=likelihood, missing_values=np.nan, max_iter=1, random_state=0).fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    X[5, :2] = 0
    with pytest.raises(ValueError, match="row 5 all of them hold 0"):
        model.fit(X)
    X[5, :2] = 5, -1
    with pytest.raises(ValueError, match="row 5 column 0 holds 5"):
        model.fit(X)


def test_one_hot_is_checked_in_sparse_rows():
    X = sparse.csr_matrix(np.array([[1.0, 0, 3], [0, 1, 4], [1, 0.25, 5]]))
    with pytest.raises(ValueError, match=r"row 2 column 1 holds 0\.25"):
        VAESampler(likelihood=[("categorical", [0, 1]), ("gaussian", 2)]).fit(X)


@pytest.mark.parametrize("likelihood", ["bernoulli", "poisson", "exponential", [("gaussian", 0), ("poisson", 1)]])
def test_an_output_activation_against_the_link(likelihood):
    with pytest.raises(ValueError, match=r"output_activation='tanh'.*'identity'"):
        VAESampler(likelihood=likelihood, output_activation="tanh").fit(np.ones((5, 2)))
