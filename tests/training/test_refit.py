"""All rows of small tables, once those held out have told for how many epochs to train."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from recorder import Recorder
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.preprocessing import scale

from skae import AutoencoderTransformer, StackedAutoencoder
from skae._training import fit

X = scale(load_iris().data)


def weights(model):
    tensors = {**model.encoder_.state_dict(), **model.decoder_.state_dict(prefix="decoder.")}
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def assert_equal_weights(model, other):
    ours, theirs = weights(model), weights(other)
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        assert_array_equal(weight, theirs[name])


def best_epoch(model):
    return int(np.argmin(model.validation_loss_curve_)) + 1


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"activation": "tanh"},
        {"init": "glorot", "hidden_layer_sizes": (8,)},
        {"loss": "huber", "dropout": 0.1},
        {"alpha": 1e-3, "normalization": "batch", "hidden_layer_sizes": (8,)},
    ],
    ids=str,
)
def test_the_networks_are_those_of_the_best_number_of_epochs_on_all_rows(parameters):
    model = AutoencoderTransformer(1, random_state=0, **parameters).fit(X)
    assert model.n_refit_iter_ == best_epoch(model) > 0
    other = clone(model).set_params(max_iter=model.n_refit_iter_).fit(X)
    assert_equal_weights(model, other)
    assert (other.n_refit_iter_, other.batch_size_) == (0, model.batch_size_)


def test_weights_of_rows_and_sparse_rows():
    count = np.random.default_rng(0).integers(0, 3, len(X))
    for rows, weight in ((X, count), (sparse.csr_array(X), None)):
        model = AutoencoderTransformer(1, random_state=0).fit(rows, sample_weight=weight)
        other = clone(model).set_params(max_iter=model.n_refit_iter_).fit(rows, sample_weight=weight)
        assert_equal_weights(model, other)


@pytest.mark.parametrize("share", [1 / 150, 1e-9])
def test_only_ratios_of_weights_below_one_matter(share):
    """As shares that add up to one: PCA is told from what is better, and all rows are trained on."""
    whole = AutoencoderTransformer(1, random_state=0).fit(X)
    shared = clone(whole).fit(X, sample_weight=np.full(150, share))
    assert shared.n_refit_iter_ == whole.n_refit_iter_ > 0
    assert_allclose(shared.best_loss_, whole.best_loss_, rtol=1e-6)
    assert_allclose(shared.transform(X), whole.transform(X), atol=1e-6)
    kinds = np.eye(5)[np.arange(500) % 5]  # a few of which cannot be held out
    unsplit = AutoencoderTransformer(2, max_iter="auto", random_state=0)
    assert not hasattr(unsplit.fit(kinds, sample_weight=np.full(500, share)), "validation_loss_curve_")


def test_pretraining_is_done_anew_too():
    class Stacked(AutoencoderTransformer, StackedAutoencoder):
        pass

    settings = {"hidden_layer_sizes": (8, 4), "init": "glorot", "pretrain_max_iter": 5, "random_state": 0}
    model = Stacked(1, **settings).fit(X)
    other = clone(model).set_params(max_iter=model.n_refit_iter_).fit(X)
    assert_equal_weights(model, other)
    assert [len(curve) for curve in model.layer_loss_curves_] == [5, 5, 5]
    assert model.layer_loss_curves_ != other.layer_loss_curves_, "those of the rows without the ones held out"


def test_what_tells_of_training_is_of_the_one_with_rows_held_out():
    """It ends when thirty epochs have been no better for them."""
    model = AutoencoderTransformer(1, random_state=0).fit(X)
    assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_loss_curve_)
    assert model.n_iter_ == min(best_epoch(model) + 31, model.max_iter_)
    assert model.best_loss_ == min(model.validation_loss_curve_)
    assert model.max_iter_ > model.n_iter_
    # Of the 110 rows that are not held out, seven batches an epoch.
    assert (model.batch_size_, model.max_iter_) == (16, 300)
    long = AutoencoderTransformer(1, hidden_layer_sizes=(8,), init="glorot", random_state=0).fit(X)
    assert long.n_iter_ == long.max_iter_ == 300


@pytest.mark.parametrize(
    "parameters",
    [{"max_iter": 40}, {"early_stopping": False}, {"early_stopping": True}, {"ordered": True}],
    ids=str,
)
def test_only_where_the_number_of_epochs_is_automatic(parameters):
    model = AutoencoderTransformer(1, hidden_layer_sizes=(8,), random_state=0, **parameters).fit(X)
    assert model.n_refit_iter_ == 0


@pytest.mark.filterwarnings("ignore:The warm start has changed nothing")
def test_not_where_all_rows_are_trained_on_already():
    model = AutoencoderTransformer(1, random_state=0, warm_start=True)
    assert model.fit(X[::2], X_val=X[1::2]).n_refit_iter_ == 0
    assert model.fit(X).n_refit_iter_ == 0


def test_not_where_pca_is_as_good():
    noise = np.random.default_rng(0).normal(size=(80, 20))
    model = AutoencoderTransformer(5, random_state=0).fit(noise)
    assert (model.is_pca_, model.n_refit_iter_) == (True, 0)


def test_not_on_many_rows(monkeypatch):
    """Their training goes on to its end, however long there has been no better epoch."""
    monkeypatch.setattr(fit, "FEW_ROWS", len(X))
    model = AutoencoderTransformer(1, random_state=0).fit(X)
    assert model.n_iter_ == model.max_iter_ > best_epoch(model) + 31
    assert model.n_refit_iter_ == 0
    assert AutoencoderTransformer(1, random_state=0).fit(X[1:]).n_refit_iter_ > 0


def test_callbacks_see_the_epochs_with_rows_held_out():
    """And at the end the networks that are kept; where they stop the fit, nothing comes after."""
    recorder = Recorder()
    model = AutoencoderTransformer(1, random_state=0).set_callbacks(recorder).fit(X)
    assert_equal_weights(model, AutoencoderTransformer(1, random_state=0).fit(X))
    assert recorder.ended.count("epoch") == model.n_iter_
    assert_array_equal(recorder.models[-1].transform(X), model.transform(X))
    stopped = AutoencoderTransformer(1, random_state=0).set_callbacks(Recorder(stop_after=60)).fit(X)
    assert (stopped.n_iter_, stopped.n_refit_iter_) == (60, 0)


def test_it_is_printed(capsys):
    model = AutoencoderTransformer(1, random_state=0, verbose=1).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == model.n_iter_ + 1
    assert lines[-1] == f"Training anew on all 150 rows for {model.n_refit_iter_} epochs"


def test_the_best_of_several_starts_is_trained_again():
    model = AutoencoderTransformer(1, n_init=3, hidden_layer_sizes=(4,), init="glorot", random_state=0).fit(X)
    single = clone(model).set_params(n_init=1).fit(X)
    assert model.best_loss_ <= single.best_loss_
    assert model.n_refit_iter_ == best_epoch(model)


@pytest.mark.parametrize("first", [True, False])
def test_an_interrupt_leaves_the_networks_of_before(first):
    """A loss of the user's own presses Ctrl-C in the first or the last step."""
    calls, last = [], np.inf

    def loss(reconstruction, target):
        calls.append(len(target))
        if len(calls) == last:
            raise KeyboardInterrupt
        return (reconstruction - target).square().mean(1)

    model = AutoencoderTransformer(1, loss=loss, random_state=0).fit(X)
    n_steps = model.n_refit_iter_ * -(-len(X) // model.batch_size_)
    last, calls = len(calls) - (n_steps - 1 if first else 0), []
    interrupted = clone(model)
    with pytest.warns(UserWarning, match=f"interrupted after {model.n_iter_} epochs"):
        interrupted.fit(X)
    assert interrupted.n_refit_iter_ == 0 < model.n_refit_iter_
    assert interrupted.max_iter_ == model.max_iter_
    assert interrupted.validation_loss_curve_ == model.validation_loss_curve_
    assert interrupted.score(X) > 0.8
