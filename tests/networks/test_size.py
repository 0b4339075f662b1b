"""Networks that memory cannot hold are refused before anything is drawn."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skae import AutoencoderTransformer, SemanticHasher, StackedAutoencoder
from skae._networks import size

X = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32)


@pytest.mark.parametrize(("model", "told"), [
    (AutoencoderTransformer(8, hidden_layer_sizes=(5000, 100)), "Lower n_components or hidden_layer_sizes"),
    (StackedAutoencoder(8, hidden_layer_sizes=(5000, 100)), "5000.* Lower n_components"),
    (SemanticHasher(50000), "50000.* Lower n_bits"),
    (AutoencoderTransformer(2000, hidden_layer_sizes=(8,), image_shape=(8, 8), downsampling_factor=1),
     "Use code_layer='convolution', raise downsampling_factor, or lower n_components"),
], ids=["dense", "stacked", "hasher", "images"])  # fmt: skip
def test_networks_larger_than_the_machine_are_refused(monkeypatch, model, told):
    monkeypatch.setattr(size, "_physical_memory", lambda: 10_000_000)
    with pytest.raises(MemoryError, match=rf"networks have [\d,]+ weights, .* this machine has 0\.01 GB.*{told}"):
        model.fit(X)
    assert not hasattr(model, "encoder_")


def test_a_refused_refit_leaves_the_model_as_it_was(monkeypatch):
    model = AutoencoderTransformer(4, max_iter=2, random_state=0).fit(X)
    codes = model.transform(X)
    monkeypatch.setattr(size, "_physical_memory", lambda: 1000)
    with pytest.raises(MemoryError):
        model.fit(X)
    assert_array_equal(model.transform(X), codes)
    monkeypatch.setattr(size, "_physical_memory", lambda: None)  # where the system does not say
    model.fit(X)


def test_the_memory_of_this_machine_is_plausible():
    memory = size._physical_memory()
    assert memory is None or memory > 500_000_000
