"""Loss curves of one training phase or several."""

import pytest
from estimators import CLASSIFIERS, CONFIGURATIONS, configured, fitted, rows
from inspected import variational
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, StackedAutoencoder
from skae.inspection import (
    LossCurveDisplay,
)


@pytest.fixture(scope="module")
def tabular():
    """A pipeline on rows that are no images, which samples too."""
    return make_pipeline(StandardScaler(), variational()).fit(rows())


def test_training_and_validation_losses(tabular):
    model = fitted(CONFIGURATIONS["early_stopping"])
    (lines,) = LossCurveDisplay.from_estimator(make_pipeline(StandardScaler(), model)).lines_
    assert_allclose(lines["training"].get_xydata(), [*enumerate(model.loss_curve_, 1)])
    assert_allclose(lines["validation"].get_ydata(), model.validation_loss_curve_)
    ((name, curves),) = LossCurveDisplay.from_estimator(tabular).phases
    assert name == "training"
    vae = tabular[-1]
    expected = {"training": vae.loss_curve_, "reconstruction": vae.reconstruction_curve_, "KL": vae.kl_curve_}
    assert {kind: list(curve) for kind, curve in curves.items()} == expected
    display = LossCurveDisplay.from_curves([3, 2, 1], validation=[4, 3, 3.5], yscale="log")
    assert display.ax_.get_yscale() == "log"
    assert_allclose(display.ax_.lines[-1].get_xydata(), [[2, 3]])  # the best epoch
    with pytest.raises(TypeError, match="PCA has no loss_curve_"):
        LossCurveDisplay.from_estimator(PCA(2).fit(rows()))


def test_phases_follow_each_other():
    model = fitted(CONFIGURATIONS["stacked"])
    display = LossCurveDisplay.from_estimator(model)
    assert [name for name, _ in display.phases] == ["layer 0", "layer 1", "layer 2", "fine-tuning"]
    starts = [lines["training"].get_xdata()[0] for lines in display.lines_]
    assert starts == [1, 4, 7, 10]
    for lines, curve in zip(display.lines_, [*model.layer_loss_curves_, model.loss_curve_], strict=True):
        assert_allclose(lines["training"].get_ydata(), curve)
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["training"]
    untuned = fitted(configured(StackedAutoencoder, pretrain_max_iter=2, fine_tune=False))
    assert [name for name, _ in LossCurveDisplay.from_estimator(untuned).phases] == ["layer 0", "layer 1"]
    clf = fitted(CLASSIFIERS["classifier_watched"])
    assert [name for name, _ in LossCurveDisplay.from_estimator(clf).phases] == ["pretraining", "fine-tuning"]
    one = configured(AutoencoderTransformer).partial_fit(rows())
    assert LossCurveDisplay.from_estimator(one).lines_[0]["training"].get_marker() == "."
