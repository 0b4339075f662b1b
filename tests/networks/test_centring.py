"""Networks for another centre are the same maps."""

import numpy as np
import pytest
import torch
from estimators import of_images, rows

from skae import AutoencoderTransformer, VAESampler
from skae._networks.centring import can_recentre, recentre, recentre_statistics

X = torch.as_tensor(rows(n_features=6))
SETTINGS = {"hidden_layer_sizes": (8,), "max_iter": 3, "tol": None, "random_state": 0}


@pytest.mark.parametrize(
    "model",
    [
        AutoencoderTransformer(3, **SETTINGS),
        AutoencoderTransformer(3, **SETTINGS | {"hidden_layer_sizes": ()}),
        AutoencoderTransformer(5, ordered=True, **SETTINGS),
        AutoencoderTransformer(3, normalization="batch", **SETTINGS),
        AutoencoderTransformer(3, normalization="layer", tied_weights=True, **SETTINGS),
        VAESampler(3, decoder_variance=1.0, **SETTINGS),
    ],
    ids=str,
)
def test_they_are_the_same_maps(model):
    model.fit(X.numpy())
    encoder, decoder = model.encoder_, model.decoder_
    assert can_recentre(encoder, decoder)
    shift, target_shift = torch.arange(12.0, dtype=torch.float64).view(2, 6)
    codes, restored = model.transform(X.numpy()), model.reconstruct(X.numpy())
    recentre_statistics(encoder, shift)
    recentre(encoder, decoder, shift, target_shift)
    encoder.offset, decoder.offset = encoder.offset + shift, decoder.offset + target_shift
    np.testing.assert_allclose(model.transform(X.numpy()), codes, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.reconstruct(X.numpy()), restored, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "model",
    [
        of_images(AutoencoderTransformer, image_shape=(3, 2)),
        of_images(AutoencoderTransformer, image_shape=(3, 2), n_components=6, code_layer="convolution"),
        AutoencoderTransformer(2, decoder=torch.nn.Linear(2, 6, dtype=torch.float64), **SETTINGS),
    ],
    ids=["images", "images_of_codes", "own_decoder"],
)
def test_others_keep_their_centre(model):
    model.fit(X.numpy())
    assert not can_recentre(model.encoder_, model.decoder_)
    offset = model.offset_
    np.testing.assert_array_equal(model.partial_fit(X.numpy() + 1).offset_, offset)
