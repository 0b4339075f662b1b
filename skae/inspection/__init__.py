"""Inspection of fitted autoencoders: displays, and the arrays behind them.

The displays need matplotlib, which ``pip install "skae[plot]"`` installs; the functions do not.
"""

from ._activation import maximize_activation, top_activating_samples
from ._feature_display import FeatureDisplay
from ._imputation_display import ImputationDisplay
from ._latent_display import LatentDisplay
from ._latent_grid import latent_grid
from ._loss_curve_display import LossCurveDisplay
from ._outlier_display import OutlierDisplay
from ._preferred_input_display import PreferredInputDisplay
from ._reconstruction_display import ReconstructionDisplay
from ._sample_display import SampleDisplay
from ._table_display import TableDisplay
from ._top_activation_display import TopActivationDisplay

__all__ = [
    "FeatureDisplay",
    "ImputationDisplay",
    "LatentDisplay",
    "LossCurveDisplay",
    "OutlierDisplay",
    "PreferredInputDisplay",
    "ReconstructionDisplay",
    "SampleDisplay",
    "TableDisplay",
    "TopActivationDisplay",
    "latent_grid",
    "maximize_activation",
    "top_activating_samples",
]
