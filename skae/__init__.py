"""Autoencoders for scikit-learn users: `fit`, `transform`, `inverse_transform`, trained by torch."""

from ._autoencoder import AutoencoderTransformer
from ._base import BaseAutoencoder
from ._denoising import DenoisingAutoencoder
from ._vae import VAESampler

__version__ = "0.1.0.dev0"

__all__ = ["AutoencoderTransformer", "BaseAutoencoder", "DenoisingAutoencoder", "VAESampler"]
