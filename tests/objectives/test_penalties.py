"""Penalties of a variant's own: a term for each row, its shape checked, weighted as rows are."""

import pytest
import torch
from estimators import configured, rows
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer, BaseAutoencoder
from skae._objectives.penalties import mean_over_rows

X = rows(61)


@pytest.mark.parametrize(
    ("penalty", "shape"),
    [
        (lambda x, code: code.abs().sum(), r"\(\)"),
        (lambda x, code: code.abs(), r"\(20, 2\)"),
        (lambda x, code: code.abs().sum(1, keepdim=True), r"\(20, 1\)"),
        (lambda x, code: code.abs().sum(0), r"\(2,\)"),
        (lambda x, code: x[1:, 0], r"\(19,\)"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_penalties_of_wrong_shapes(penalty, shape, method):
    class Wrong(BaseAutoencoder):
        def _penalty(self, x, code):
            return penalty(x, code)

    model = configured(Wrong, batch_size=20)
    with pytest.raises(ValueError, match=rf"_penalty returned shape {shape} for 20 rows.*shape \(20,\).*sum\(1\)"):
        getattr(model, method)(X)
    assert not hasattr(model, "encoder_")


def test_a_batch_of_one_row_needs_one_value():
    class Row(BaseAutoencoder):
        def _penalty(self, x, code):
            return code.square().sum(1)

    assert configured(Row, batch_size=20).fit(X).n_iter_ == 4  # 61 rows leave one over


def test_the_term_is_averaged_over_rows_by_their_weight():
    value = mean_over_rows(lambda x, code: code.sum(1))
    code = torch.arange(6.0).view(3, 2)
    assert float(value(code, code, None)) == 5
    assert_allclose(float(value(code, code, torch.tensor([[0.0], [1.0], [2.0]]))), (5 + 2 * 9) / 3)


def test_what_a_penalty_is_given():
    """Rows as they enter the encoder, centred, and their codes; both of the batch's size."""
    given = []

    class Looking(AutoencoderTransformer):
        def _penalty(self, x, code):
            given.append((x.detach().clone(), code.detach().clone(), x.requires_grad))
            return 0 * code[:, 0]

    model = configured(Looking, learning_rate=1e-14, max_iter=1, shuffle=False, batch_size=30).fit(X)
    assert [len(x) for x, _, _ in given] == [30, 30, 1]
    assert all(takes_gradient for _, _, takes_gradient in given)
    assert_allclose(torch.cat([x for x, _, _ in given]), X - X.mean(0), atol=1e-12)
    assert_allclose(torch.cat([code for _, code, _ in given]), model.transform(X), atol=1e-9)


def test_held_out_rows_are_judged_without_the_penalty():
    class Constant(AutoencoderTransformer):
        def _penalty(self, x, code):
            return 0 * code[:, 0] + 5

    settings = {"early_stopping": True, "validation_fraction": 0.2}
    plain, penalized = (configured(cls, **settings).fit(X) for cls in (AutoencoderTransformer, Constant))
    assert_allclose(penalized.loss_curve_, [loss + 5 for loss in plain.loss_curve_], rtol=1e-10)
    assert_allclose(penalized.validation_loss_curve_, plain.validation_loss_curve_, rtol=1e-8)


@pytest.mark.parametrize(
    ("term", "told"),
    [
        (lambda code: code.detach().square().sum(1), pytest.warns(UserWarning, match="_penalty has no effect")),
        (lambda code: 0 * code.detach()[:, 0] + 1, pytest.warns(UserWarning, match="has no gradient")),
        (lambda code: code.detach().numpy()[:, 0], pytest.raises(ValueError, match="_penalty returned ndarray")),
    ],
    ids=["detached", "constant", "numpy"],
)
def test_penalties_that_torch_cannot_derive(term, told):
    class Own(AutoencoderTransformer):
        def _penalty(self, x, code):
            return term(code)

    with told:
        Own(2, max_iter=3, random_state=0).fit(X)


def test_a_penalty_on_the_rows_alone_is_told():
    class OfRows(AutoencoderTransformer):
        def _penalty(self, x, code):
            return (x**2).mean(1)

    with pytest.warns(UserWarning, match=r"OfRows._penalty has no effect: .* the rows x alone\. Compute"):
        OfRows(2, max_iter=3, random_state=0).fit(X)
