"""Components: what each unit of the code adds to a row, where the decoder is linear."""

import numpy as np
import pytest
from estimators import PUBLIC_CLASSES, configured, rows
from numpy.testing import assert_allclose
from scipy.special import logit
from torch import nn

from skae import AutoencoderTransformer, BaseAutoencoder, SparseAutoencoder, VAESampler
from skae.inspection import FeatureDisplay

X = rows()
X01 = (X - X.min(0)) / np.ptp(X, axis=0)
AUTOENCODERS = [cls for cls in PUBLIC_CLASSES if issubclass(cls, BaseAutoencoder)]


def added(model, width):
    """What each unit adds where the others are zero."""
    return model.inverse_transform(np.eye(width)) - model.inverse_transform(np.zeros((width, width)))


@pytest.mark.parametrize("cls", AUTOENCODERS)
def test_components_are_what_units_add(cls):
    model = configured(cls, hidden_layer_sizes=())
    assert not hasattr(model, "components_")
    model.fit(X)
    width = model.get_feature_names_out().size
    assert model.components_.shape == (width, 5)
    assert_allclose(model.components_, added(model, width), atol=1e-6)
    assert not hasattr(configured(cls).fit(X), "components_")
    with pytest.raises(AttributeError, match=f"This {cls.__name__} has no components_.*hidden_layer_sizes"):
        _ = configured(cls).fit(X).components_


@pytest.mark.parametrize(
    "model",
    [
        configured(AutoencoderTransformer, hidden_layer_sizes=(8, 6), activation="identity"),
        configured(AutoencoderTransformer, hidden_layer_sizes=(), tied_weights=True),
        configured(AutoencoderTransformer, hidden_layer_sizes=(8,), decoder_hidden_layer_sizes=()),
        configured(AutoencoderTransformer, decoder=nn.Linear(2, 5)),
        configured(AutoencoderTransformer, decoder=nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 5, bias=False))),
        configured(VAESampler, hidden_layer_sizes=(), decoder_variance="conditional"),
        configured(VAESampler, decoder=nn.Linear(2, 5)),
    ],
    ids=["identity", "tied", "unmirrored", "own", "own_sequence", "variances", "own_in_vae"],
)
def test_linear_decoders_of_all_kinds(model):
    model.fit(X)
    assert_allclose(model.components_, added(model, 2), atol=1e-6)
    model.fit(X.astype(np.float32))
    assert model.components_.dtype == np.float32


def test_components_come_before_the_link():
    model = configured(AutoencoderTransformer, hidden_layer_sizes=(), loss="binary_cross_entropy").fit(X01)
    logits = logit(model.inverse_transform(np.eye(2))) - logit(model.inverse_transform(np.zeros((2, 2))))
    assert_allclose(model.components_, logits, atol=1e-6)


def test_components_follow_training_and_edits():
    model = configured(AutoencoderTransformer, hidden_layer_sizes=(), init="glorot").fit(X)
    before = model.components_.copy()
    assert np.abs(model.partial_fit(X).components_ - before).max() > 1e-6
    model.decoder_[0].linear.weight.data.mul_(2)
    assert_allclose(model.components_, added(model, 2), atol=1e-6)
    assert not hasattr(model.set_params(hidden_layer_sizes=(8,)).fit(X), "components_")


def test_a_sparse_dictionary_is_what_is_drawn():
    model = configured(SparseAutoencoder, n_components=6, sparsity="topk", hidden_layer_sizes=()).fit(X)
    drawn = FeatureDisplay.from_estimator(model).filters  # weights are those of rows in units of unit_
    assert abs(model.unit_ - 1) > 1e-3
    assert_allclose(drawn * model.unit_, model.components_, atol=1e-6)
    encoder = FeatureDisplay.from_estimator(model, network="encoder").filters
    assert np.abs(encoder - drawn).max() > 1e-3
    deep = configured(SparseAutoencoder, n_components=6, sparsity="topk").fit(X)
    same = [FeatureDisplay.from_estimator(deep, **network).filters for network in ({}, {"network": "encoder"})]
    assert_allclose(*same)
    with pytest.raises(ValueError, match="network='both' is none of 'auto'"):
        FeatureDisplay.from_estimator(model, network="both")
