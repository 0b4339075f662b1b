"""Loss curves of one training phase or several."""

import pickle

import joblib
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


def start_of_partial_fit(model):
    """Where the dotted line is, or None."""
    display = LossCurveDisplay.from_estimator(model)
    lines = {line.get_label(): line for line in display.ax_.lines}
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert ("partial_fit" in texts) == ("partial_fit" in lines)
    if "partial_fit" not in lines:
        return None
    assert lines["partial_fit"].get_linestyle() == ":"
    return lines["partial_fit"].get_xdata()[0]


@pytest.mark.parametrize("cls", [AutoencoderTransformer, StackedAutoencoder])
def test_passes_of_partial_fit_are_marked(cls):
    model = configured(cls, max_iter=5).fit(rows())
    before = sum(map(len, getattr(model, "layer_loss_curves_", ())))
    assert start_of_partial_fit(model) is None
    for _ in range(3):
        model.partial_fit(rows(20, seed=1))
        assert start_of_partial_fit(model) == before + 5.5
    assert start_of_partial_fit(make_pipeline(StandardScaler(), model)) == before + 5.5
    model.set_params(warm_start=True).fit(rows())  # a fit again
    assert start_of_partial_fit(model) is None
    assert start_of_partial_fit(model.partial_fit(rows())) == before + 5.5
    alone = configured(cls).partial_fit(rows()).partial_fit(rows())
    assert start_of_partial_fit(alone) is None


def test_the_mark_moves_with_a_curve_that_is_cut(monkeypatch):
    monkeypatch.setattr("skae._training.setup.MOST_PASSES", 6)
    model = configured(AutoencoderTransformer, max_iter=5).fit(rows())
    starts = [start_of_partial_fit(model.partial_fit(rows())) for _ in range(7)]
    assert starts == [5.5, 4.5, 3.5, 2.5, 1.5, None, None]


def test_the_mark_of_saved_models(tmp_path):
    skops = pytest.importorskip("skops.io")
    model = configured(AutoencoderTransformer, max_iter=5).fit(rows())
    saved = [pickle.loads(pickle.dumps(model))]
    joblib.dump(model, tmp_path / "model.joblib")
    skops.dump(model, tmp_path / "model.skops")
    untrusted = skops.get_untrusted_types(file=tmp_path / "model.skops")
    saved += [joblib.load(tmp_path / "model.joblib"), skops.load(tmp_path / "model.skops", trusted=untrusted)]
    for loaded in saved:
        assert start_of_partial_fit(loaded.partial_fit(rows())) == 5.5
        assert start_of_partial_fit(pickle.loads(pickle.dumps(loaded))) == 5.5
    del model._n_iter_of_fit  # as in files of older versions
    assert start_of_partial_fit(model.partial_fit(rows()).partial_fit(rows())) is None
