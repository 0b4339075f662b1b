"""Export fitted models and pipelines to ONNX, which other programs run without scikit-learn and torch.

Needs the extra ``onnx``: ``pip install "skae[onnx]"``. Importing this module registers a converter for every
estimator of skae with skl2onnx, so that ``skl2onnx.to_onnx`` converts them too.
"""

try:
    import onnx  # noqa: F401
    import skl2onnx  # noqa: F401
except ImportError as error:
    raise ImportError(
        'skae.onnx needs the packages onnx and skl2onnx. Install them with: pip install "skae[onnx]"'
    ) from error

from ._export import to_onnx

__all__ = ["to_onnx"]
