"""Autoencoders for scikit-learn users: `fit`, `transform`, `inverse_transform`, trained by torch."""

import os

# Threads of torch that wait for each other run in circles, and take the cores from those that they wait for where
# several processes train at once: a wide fit beside another took eight times as long. To wait quietly after a
# thousand circles costs one alone nothing. libgomp reads this as torch is first imported; workers inherit it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

from ._adversarial import AdversarialAutoencoder
from ._autoencoder import AutoencoderTransformer
from ._base import BaseAutoencoder
from ._classifier import AutoencoderClassifier
from ._denoising import DenoisingAutoencoder
from ._hasher import SemanticHasher
from ._imputer import AutoencoderImputer
from ._outliers import AutoencoderOutlierDetector
from ._sparse import SparseAutoencoder
from ._stacked import StackedAutoencoder
from ._support.data_parallel import data_parallel
from ._tabular import TabularVAESampler
from ._vae import VAESampler

__version__ = "0.1.0.dev0"

__all__ = [
    "AdversarialAutoencoder",
    "AutoencoderClassifier",
    "AutoencoderImputer",
    "AutoencoderOutlierDetector",
    "AutoencoderTransformer",
    "BaseAutoencoder",
    "DenoisingAutoencoder",
    "SemanticHasher",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "TabularVAESampler",
    "VAESampler",
    "data_parallel",
]
