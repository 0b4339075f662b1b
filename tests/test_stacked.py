"""The stacked autoencoder: layers one at a time on the codings below, then all of them together."""

import gc
import weakref

import numpy as np
import pytest
import torch
from estimators import assert_same, assert_same_model, configured, fourth_power, rows
from numpy.testing import assert_allclose
from recorder import Recorder
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer, StackedAutoencoder
from skae._support.devices import random_streams
from skae._training import pretraining

X = rows()
NOISES = ["gaussian", "white", "masking", "salt_and_pepper"]


def stacked(**parameters):
    settings = {"hidden_layer_sizes": (8, 4), "pretrain_max_iter": 3, "batch_size": 20}
    return configured(StackedAutoencoder, **{**settings, **parameters})


def layers(network):
    """Weights and biases, from the input to the output."""
    return [(linear.weight.detach().numpy(), linear.bias.detach().numpy()) for linear in linears(network)]


def linears(network):
    return [block.linear for block in network]


PATHS = {
    "explicit": {},
    "autograd": {"loss": fourth_power},
    "tied": {"tied_weights": True},
    "logistic": {"activation": "logistic"},
    "noise": {"noise": "masking"},
    "early_stopping": {"early_stopping": True, "validation_fraction": 0.2},
    "no_fine_tuning": {"fine_tune": False},
}
every_path = pytest.mark.parametrize("parameters", PATHS.values(), ids=PATHS)


# Shapes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "encoder", "decoder"),
    [
        ((), [(5, 2)], [(2, 5)]),
        (7, [(5, 7), (7, 2)], [(2, 7), (7, 5)]),
        ((8, 4), [(5, 8), (8, 4), (4, 2)], [(2, 4), (4, 8), (8, 5)]),
        ([3, 9, 3, 6], [(5, 3), (3, 9), (9, 3), (3, 6), (6, 2)], [(2, 6), (6, 3), (3, 9), (9, 3), (3, 5)]),
    ],
)
def test_layers_are_the_hidden_ones_and_the_code(hidden, encoder, decoder):
    model = stacked(hidden_layer_sizes=hidden).fit(X)
    for network, widths in ((model.encoder_, encoder), (model.decoder_, decoder)):
        assert [weight.shape[::-1] for weight, _ in layers(network)] == widths
    assert [len(curve) for curve in model.layer_loss_curves_] == [3] * len(encoder)
    assert len(model.loss_curve_) == model.n_iter_ == 4


@every_path
def test_loss_curves(parameters):
    model = stacked(**parameters, pretrain_max_iter=5).fit(X)
    assert [len(curve) for curve in model.layer_loss_curves_] == [5, 5, 5]
    assert all(type(loss) is float and 0 < loss < np.inf for curve in model.layer_loss_curves_ for loss in curve)
    noisy = "noise" in parameters
    assert all(curve[-1] < curve[0] for curve in model.layer_loss_curves_ if not noisy)


def test_a_decoder_that_does_not_mirror_the_encoder_is_refused():
    model = stacked(decoder_hidden_layer_sizes=(4, 7))
    with pytest.raises(ValueError, match=r"decoder_hidden_layer_sizes=.*4, 7.*hidden_layer_sizes=.*8, 4") as error:
        model.fit(X)
    assert "StackedAutoencoder" in str(error.value)
    assert not hasattr(model, "encoder_")
    stacked(decoder_hidden_layer_sizes=(4, 8)).fit(X)


@pytest.mark.parametrize(
    "parameters",
    [{"pretrain_max_iter": 0}, {"pretrain_max_iter": 2.5}, {"fine_tune": "no"}, {"noise": "speckle"}],
)
def test_wrong_parameters(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        stacked(**parameters).fit(X)


# Layer by layer --------------------------------------------------------------------------------------------


def by_hand(model, X):
    """Train the pairs of layers of a fitted model one by one, each as an autoencoder of its own.

    Each starts from the weights that the stacked one started with, which are those of a plain autoencoder of
    the same shape, and sees batches in the order that the stacked one has come to.
    """
    order = random_streams(0).order
    start = AutoencoderTransformer(
        model.n_components,
        hidden_layer_sizes=model.hidden_layer_sizes,
        activation=model.activation,
        code_activation=model.code_activation,
        tied_weights=model.tied_weights,
        loss=model.loss,
        init="glorot",
        learning_rate=1e-300,
        max_iter=1,
        random_state=0,
    ).fit(X)
    weights = []
    codings = torch.tensor((X - start.offset_) / start.unit_)
    pairs = [*zip(start.encoder_, [*start.decoder_][::-1], strict=True)]
    for number, (encode, decode) in enumerate(pairs):
        probabilities = number > 0 and decode.activation == "sigmoid"
        parameters_ = [*encode.parameters(), *decode.parameters()]
        for linear in (encode.linear, decode.linear):
            linear.bias.data.zero_()  # where even the smallest step has moved them
        optimizer = torch.optim.SGD(parameters_, lr=model.learning_rate, momentum=model.momentum, nesterov=True)
        for _ in range(model.pretrain_max_iter):
            for index in torch.randperm(len(X), generator=order).split(model.batch_size):
                target = codings[index]
                with torch.enable_grad():
                    if probabilities:
                        output = decode.linear(encode(target))
                        objective = torch.nn.functional.binary_cross_entropy_with_logits(output, target)
                    elif number == 0 and callable(model.loss):
                        objective = model.loss(decode(encode(target)), target).mean()
                    else:
                        objective = (decode(encode(target)) - target).square().mean()
                optimizer.zero_grad()
                objective.backward()
                optimizer.step()
        weights.append([p.detach().numpy() for p in parameters_])
        with torch.no_grad():
            codings = encode(codings)
    return weights


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"activation": "tanh", "code_activation": "tanh"},
        {"activation": "logistic"},
        {"activation": "sigmoid", "code_activation": "sigmoid", "tied_weights": True},
        {"activation": "tanh", "tied_weights": True},
        {"loss": fourth_power},
        {"hidden_layer_sizes": (), "code_activation": "tanh"},
    ],
    ids=["relu", "tanh", "logistic", "all_logistic_tied", "tanh_tied", "own_loss", "one_layer"],
)
def test_each_layer_is_trained_on_the_codings_of_those_below(parameters):
    """The same weights as torch's own autograd and SGD reach, one shallow autoencoder after the other."""
    learning_rate = 0.001 if "loss" in parameters else 0.05
    model = stacked(**parameters, fine_tune=False, solver="sgd", learning_rate=learning_rate).fit(X)
    expected = by_hand(model, X)
    pairs = zip(linears(model.encoder_), linears(model.decoder_)[::-1], strict=True)
    for pair, weights in zip(pairs, expected, strict=True):
        found = [p.detach().numpy() for linear in pair for p in linear.parameters()]
        for one, other in zip(found, weights, strict=True):
            assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert all(curve[-1] < curve[0] for curve in model.layer_loss_curves_)


@pytest.mark.parametrize("tied", [False, True])
def test_the_first_layer_is_a_shallow_autoencoder_of_the_rows(tied):
    """More layers above it do not change it, and neither does fine-tuning's length."""
    settings = {"tied_weights": tied, "code_activation": "relu", "noise": "gaussian"}
    shallow = stacked(hidden_layer_sizes=(), n_components=8, fine_tune=False, **settings).fit(X)
    deep = stacked(hidden_layer_sizes=(8, 4), fine_tune=False, **settings).fit(X)
    assert deep.layer_loss_curves_[0][0] == pytest.approx(shallow.layer_loss_curves_[0][0], rel=0.5)
    short, long = (stacked(max_iter=n, **settings).fit(X) for n in (1, 4))
    assert short.layer_loss_curves_ == long.layer_loss_curves_ == deep.layer_loss_curves_


def test_fine_tuning_starts_where_pretraining_ended():
    pretrained = stacked(fine_tune=False).fit(X)
    still = stacked(learning_rate=1e-14).set_params(pretrain_max_iter=1).fit(X)
    assert_allclose(still.loss_curve_, still.loss_curve_[0], rtol=1e-9)
    tuned = stacked(max_iter=1, batch_size=60).fit(X)
    first = stacked(fine_tune=False, batch_size=60).fit(X)
    assert tuned.loss_curve_[0] == pytest.approx(first.loss_, rel=1e-9)
    assert pretrained.layer_loss_curves_ == stacked().fit(X).layer_loss_curves_


def test_pretraining_alone():
    model = stacked(fine_tune=False).fit(X)
    assert model.n_iter_ == len(model.layer_loss_curves_[-1]) == 3, "of the last layer"
    assert model.set_params(warm_start=True).fit(X).n_iter_ == 3, "nothing is left to train"
    assert model.partial_fit(X).partial_fit(X).n_iter_ == 2, "passes over the whole"
    model = stacked(fine_tune=False).fit(X)
    assert model.loss_curve_ == []
    assert model.loss_ == pytest.approx(np.square(model.reconstruct(X) - X).mean(), rel=1e-9)
    assert model.best_loss_ == model.loss_
    model = stacked(fine_tune=False, tol=1e-4).fit(X)  # and no ConvergenceWarning
    assert np.isfinite(model.loss_)


def test_a_short_fine_tuning_warns_and_short_pretraining_does_not():
    with pytest.warns(ConvergenceWarning, match="max_iter=4") as caught:
        stacked(tol=1e-9).fit(X)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_tied_weights_are_one_in_every_phase():
    for fine_tune in (False, True):
        model = stacked(tied_weights=True, fine_tune=fine_tune).fit(X)
        shapes = [(5, 8), (8, 4), (4, 2)]
        assert model.n_parameters_ == sum(a * b + a + b for a, b in shapes)
        codes = np.eye(2)
        weights = [weight for weight, _ in layers(model.encoder_)]
        biases = [linear.bias.detach().numpy() for linear in linears(model.decoder_)]
        hidden = np.maximum(codes @ weights[2] + biases[0], 0)
        hidden = np.maximum(hidden @ weights[1] + biases[1], 0)
        expected = (hidden @ weights[0] + biases[2]) * model.unit_ + model.offset_
        assert_allclose(model.inverse_transform(codes), expected, rtol=1e-9)


@pytest.mark.parametrize("noise", NOISES)
def test_noise_comes_in_at_every_level(noise):
    """With a solver that stands still, every phase's loss varies from epoch to epoch with noise alone."""
    settings = {"learning_rate": 1e-14, "pretrain_max_iter": 4}
    noisy, clean = (stacked(**noises, **settings).fit(X) for noises in ({"noise": noise, "noise_level": 0.5}, {}))
    for curve in (*noisy.layer_loss_curves_, noisy.loss_curve_):
        assert len(set(curve)) == 4
        assert np.ptp(curve) > 1e-6 * curve[0]
    for curve in (*clean.layer_loss_curves_, clean.loss_curve_):
        assert_allclose(curve, curve[0], rtol=1e-9)


def test_white_noise_of_codings_is_as_strong_as_that_of_the_rows():
    """Codings have no unit of X: their noise is that share of their deviation which it is of that of the rows."""
    level = 1.5 / np.sqrt((10 * X).var(0).mean())
    noises = {"noise": "white", "noise_level": 1.5}, {"noise": "isotropic", "noise_level": level}
    white, isotropic = (stacked(**noise).fit(10 * X) for noise in noises)
    for one, other in zip(white.layer_loss_curves_, isotropic.layer_loss_curves_, strict=True):
        assert_allclose(one, other, rtol=1e-5)
    assert_allclose(white.transform(X), isotropic.transform(X), rtol=1e-4, atol=1e-4)
    constant = stacked(noise="white", noise_level=1.5, fine_tune=False).fit(np.ones((20, 5)))
    assert np.isfinite(constant.layer_loss_curves_).all()


def test_a_callable_noise_gets_rows_below_and_codings_above():
    given = []

    def noise(batch, generator):
        given.append(batch.numpy().copy())
        return batch

    model = stacked(noise=noise, batch_size=60, shuffle=False, fine_tune=False, pretrain_max_iter=2).fit(X)
    assert [batch.shape[1] for batch in given] == [5, 5, 8, 8, 4, 4, 5, 5]  # the last two measure losses
    assert_allclose(given[0], X, atol=1e-12)
    codings = torch.tensor(X)
    for encode, batch in zip(model.encoder_, (given[0], given[2], given[4]), strict=True):
        centred = codings if batch.shape[1] != 5 else (codings - model.encoder_.offset) / model.unit_
        assert_allclose(batch, codings.detach(), atol=1e-9)
        codings = encode(centred)


@pytest.mark.parametrize("parameters", [{}, {"fine_tune": False}, {"loss": fourth_power}, {"noise": "gaussian"}])
def test_codings_are_computed_once_and_not_kept(parameters, monkeypatch):
    kept, original = [], pretraining.codings

    def recording(*arguments):
        computed = original(*arguments)
        kept.append(weakref.ref(computed))
        return computed

    monkeypatch.setattr(pretraining, "codings", recording)
    model = stacked(**parameters).fit(X)
    assert len(kept) == 2, "nobody needs the codings of the last layer"
    gc.collect()
    assert [reference() for reference in kept] == [None, None]
    sizes = [v.size for v in vars(model).values() if isinstance(v, np.ndarray)]
    assert max(sizes) <= 5


# Early stopping --------------------------------------------------------------------------------------------


def test_early_stopping_ends_each_phase_by_itself():
    settings = {"early_stopping": True, "validation_fraction": 0.2, "tol": 1e-3, "n_iter_no_change": 2}
    model = stacked(**settings, pretrain_max_iter=500, max_iter=500, learning_rate=0.02).fit(rows(200))
    lengths = [len(curve) for curve in model.layer_loss_curves_]
    assert all(3 <= n < 500 for n in (*lengths, model.n_iter_))
    assert len(model.validation_loss_curve_) == model.n_iter_
    assert model.best_loss_ == min(model.validation_loss_curve_)


def test_each_phase_gives_back_its_best_weights():
    """With steps that overshoot, the rows held out see the best of each layer, not its last."""
    settings = {"early_stopping": True, "validation_fraction": 0.3, "shuffle": False, "fine_tune": False}
    settings |= {"hidden_layer_sizes": (), "solver": "sgd", "momentum": 0.0}
    curve = []

    def held_out(reconstruction, target):
        losses = (reconstruction - target).square().mean(1)
        if not reconstruction.requires_grad:
            curve.append(float(losses.mean()))
        return losses

    for learning_rate in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85):
        curve.clear()
        model = stacked(loss=held_out, **settings, learning_rate=learning_rate, pretrain_max_iter=12).fit(X)
        if curve[:12].index(min(curve[:12])) not in (0, 11):
            break
    else:
        pytest.fail("no step size overshoots")
    best = 1 + curve[:12].index(min(curve[:12]))
    stopped = stacked(loss=held_out, **settings, learning_rate=learning_rate, pretrain_max_iter=best).fit(X)
    assert_same(model.transform(X), stopped.transform(X))


def test_the_same_rows_are_held_out_in_every_phase():
    seen = []

    def noise(batch, generator):
        seen.append(batch.numpy().copy())
        return batch

    many = np.arange(60.0).reshape(-1, 1) * [1.0, 0.5]
    settings = {"early_stopping": True, "validation_fraction": 0.2, "shuffle": False, "batch_size": 60}
    model = stacked(noise=noise, **settings, hidden_layer_sizes=(3,), pretrain_max_iter=1, max_iter=1).fit(many)
    phases = [seen[1:3], seen[4:6], seen[7:9]]  # each begins with a look at the rows held out
    assert [[len(batch) for batch in phase] for phase in phases] == [[48, 12]] * 3
    assert_allclose(phases[0][1], phases[2][1])
    pretrained = stacked(**settings, hidden_layer_sizes=(3,), pretrain_max_iter=1, fine_tune=False).fit(many)
    first = linears(pretrained.encoder_)[0]
    with torch.no_grad():
        centred = torch.tensor(phases[0][1]) - pretrained.encoder_.offset
        expected = torch.relu(first(centred / pretrained.unit_))
    assert_allclose(phases[1][1], expected, rtol=1e-6, atol=1e-9)
    assert model.n_iter_ == 1


# Callbacks and the keyboard --------------------------------------------------------------------------------

PHASES = ["pretrain-layer-0", "pretrain-layer-1", "pretrain-layer-2", "fine-tune"]


class PhaseRecorder(Recorder):
    """Keeps the path of each task; acts on the epoch ``number`` of the phase ``name``."""

    def __init__(self, name=None, number=None, act="stop", begin=False):
        super().__init__()
        self.where, self.act, self.begin = (name, number), act, begin
        self.paths = []

    def _here(self, context):
        return context.task_name == "epoch" and (context.parent.task_name, context.task_id) == self.where

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None):
        super().on_fit_task_begin(estimator, context, X=X, y=y)
        if self.begin and self._here(context):
            raise KeyboardInterrupt

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        super().on_fit_task_end(estimator, context, X=X, y=y, fitted_estimator=fitted_estimator)
        parent = None if context.parent is None else context.parent.task_name
        self.paths.append((parent, context.task_name, context.task_id, context.max_subtasks))
        if self.begin or not self._here(context):
            return False
        if self.act == "interrupt":
            raise KeyboardInterrupt
        return True


class Blind(PhaseRecorder):
    """The same, for who does not ask for the model."""

    def on_fit_task_end(self, estimator, context, *, X=None, y=None):
        return super().on_fit_task_end(estimator, context, X=X, y=y)


def test_callbacks_see_the_phases():
    recorder = Blind()
    stacked().set_callbacks(recorder).fit(X)
    expected = ["setup", "fit"]
    for phase in PHASES:
        expected += [phase, *["epoch"] * (4 if phase == "fine-tune" else 3)]
    assert recorder.begun == expected
    ended = []
    for number, phase in enumerate(PHASES):
        n_epochs = 4 if phase == "fine-tune" else 3
        ended += [(phase, "epoch", i, 0) for i in range(n_epochs)] + [("fit", phase, number, n_epochs)]
    assert recorder.paths == [*ended, (None, "fit", 0, 4)]
    for given_X, given_y in recorder.arguments:
        assert_same(given_X, X)
        assert_same(given_y, X)


@pytest.mark.parametrize(
    ("parameters", "phases"),
    [({"fine_tune": False}, PHASES[:3]), ({"hidden_layer_sizes": ()}, [PHASES[0], PHASES[3]])],
)
def test_callbacks_see_only_the_phases_there_are(parameters, phases):
    recorder = Blind()
    stacked(**parameters).set_callbacks(recorder).fit(X)
    assert [name for name in recorder.begun if name in PHASES] == phases
    assert recorder.paths[-1] == (None, "fit", 0, len(phases))


@every_path
@pytest.mark.parametrize("kind", [Blind, PhaseRecorder])
def test_callbacks_do_not_change_the_fit(parameters, kind):
    plain = stacked(**parameters).fit(X)
    watched = stacked(**parameters).set_callbacks(kind()).fit(X)
    assert watched.layer_loss_curves_ == plain.layer_loss_curves_
    assert_same_model(watched, plain)


@pytest.mark.parametrize("parameters", [{}, {"loss": fourth_power}, {"tied_weights": True}, {"noise": "masking"}])
def test_the_model_seen_while_pretraining_holds_the_layers_as_they_are(parameters):
    """And it stays that: training on does not reach into it."""
    recorder = PhaseRecorder()
    final = stacked(**parameters).set_callbacks(recorder).fit(X)
    pretrained = stacked(**parameters, fine_tune=False).fit(X)
    models = dict(zip([path[:3] for path in recorder.paths], recorder.models, strict=True))
    before = models["pretrain-layer-0", "epoch", 0]
    first = stacked(**parameters, fine_tune=False, pretrain_max_iter=1).fit(X)
    for one, other in zip(layers(before.encoder_)[0], layers(first.encoder_)[0], strict=True):
        assert_same(one, other)
    last = models["pretrain-layer-2", "epoch", 2]
    assert_same(last.transform(X), pretrained.transform(X))
    assert_same(last.reconstruct(X), pretrained.reconstruct(X))
    assert_same(models["fine-tune", "epoch", 3].transform(X), final.transform(X))


@pytest.mark.parametrize("name", PHASES)
@pytest.mark.parametrize("kind", [Blind, PhaseRecorder])
def test_a_callback_stops_one_phase_alone(name, kind):
    model = stacked(tol=None).set_callbacks(kind(name, 1)).fit(X)
    lengths = [*(len(curve) for curve in model.layer_loss_curves_), model.n_iter_]
    expected = [3, 3, 3, 4]
    expected[PHASES.index(name)] = 2
    assert lengths == expected


@pytest.mark.parametrize("kind", [Blind, PhaseRecorder])
@pytest.mark.parametrize("name", PHASES[:3])
def test_an_interrupt_while_pretraining_keeps_the_layers_trained_so_far(name, kind):
    number = PHASES.index(name)
    model = stacked(tol=1e-9).set_callbacks(kind(name, 1, "interrupt"))
    with pytest.warns(UserWarning, match="interrupted") as caught:
        model.fit(X)
    assert len(caught) == 1, "no ConvergenceWarning besides"
    assert [len(curve) for curve in model.layer_loss_curves_] == [3] * number + [2]
    assert model.n_iter_ == 0
    assert np.isfinite(model.loss_)
    assert np.isfinite(model.reconstruct(X)).all()
    complete, untrained = (
        stacked(fine_tune=False).fit(X),
        AutoencoderTransformer(
            2, hidden_layer_sizes=(8, 4), init="glorot", learning_rate=1e-300, max_iter=1, random_state=0
        ).fit(X),
    )
    for i in range(3):
        found = layers(model.encoder_)[i][0]
        for reference, agrees in ((complete, i < number), (untrained, i > number)):
            assert np.allclose(found, layers(reference.encoder_)[i][0], rtol=1e-9) == agrees


@pytest.mark.parametrize("name", PHASES[1:])
def test_an_interrupt_before_a_phases_first_batch_keeps_the_layers_before_it(name):
    number = PHASES.index(name)
    model = stacked().set_callbacks(Blind(name, 0, begin=True))
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X)
    assert [len(curve) for curve in model.layer_loss_curves_][:number] == [3] * number
    complete = stacked(fine_tune=False).fit(X)
    for i in range(number):
        assert_same(layers(model.encoder_)[i][0], layers(complete.encoder_)[i][0])


def test_an_interrupt_before_anything_was_learnt_is_passed_on():
    model = stacked().fit(X)
    codes = model.transform(X)
    with pytest.raises(KeyboardInterrupt):
        model.set_callbacks(Blind(PHASES[0], 0, begin=True)).fit(X)
    assert_same(model.transform(X), codes)


def test_an_interrupt_while_fine_tuning():
    model = stacked(tol=1e-9).set_callbacks(Blind("fine-tune", 1, "interrupt"))
    with pytest.warns(UserWarning, match="interrupted after 2 epochs"):
        model.fit(X)
    assert_same(model.transform(X), stacked(max_iter=2).fit(X).transform(X))


def test_scoring_monitor_scores_every_epoch_of_every_phase():
    monitor = ScoringMonitor(scoring=lambda estimator, X, y: {"r2": estimator.score(X)})
    model = stacked().set_callbacks(monitor).fit(X)
    log = monitor.get_logs().data
    assert len([entry for entry in log if entry["task_name"] == "epoch"]) == 3 * 3 + 4
    assert [entry["r2"] for entry in log if entry["task_name"] == "fit"] == [model.score(X)]
    assert log[-1]["r2"] == model.score(X)


def test_progress_bar(capsys, monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setenv("COLUMNS", "200")
    stacked().set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X)
    printed = capsys.readouterr().out
    for phase in PHASES:
        assert phase in printed
    assert "100%" in printed


def test_one_line_an_epoch(capsys):
    stacked(verbose=1).fit(X)
    assert len(capsys.readouterr().out.splitlines()) == 3 * 3 + 4
    stacked(verbose=0).fit(X)
    assert capsys.readouterr() == ("", "")


# Going on --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fine_tune", [False, True])
def test_warm_start_does_not_pretrain_again(fine_tune):
    recorder = Blind()
    model = stacked(fine_tune=fine_tune).fit(X)
    curves = [list(curve) for curve in model.layer_loss_curves_]
    before = model.transform(X)
    model.set_params(warm_start=True, fine_tune=True, learning_rate=1e-14).set_callbacks(recorder).fit(X)
    assert [name for name in recorder.begun if name in PHASES] == ["fine-tune"]
    assert recorder.paths[-1] == (None, "fit", 0, 1)
    assert model.layer_loss_curves_ == curves
    assert_allclose(model.transform(X), before, atol=1e-9)
    assert model.n_iter_ == 4


def test_warm_start_without_fine_tuning_changes_nothing():
    model = stacked(fine_tune=False, warm_start=True).fit(X)
    codes, loss = model.transform(X), model.loss_
    assert_same(model.fit(X).transform(X), codes)
    assert model.loss_ == loss


def test_warm_start_without_fine_tuning_pretrains_what_partial_fit_has_not():
    passed = stacked(fine_tune=False, warm_start=True).partial_fit(X)
    before = passed.score(X)
    model = passed.fit(X)
    assert [len(curve) for curve in model.layer_loss_curves_] == [model.pretrain_max_iter] * 3
    assert model.n_iter_ == model.pretrain_max_iter
    assert model.score(X) != before
    codes, curves = model.transform(X), model.layer_loss_curves_
    assert_same(model.fit(X).transform(X), codes)
    assert model.layer_loss_curves_ == curves


def test_partial_fit_trains_all_layers_together():
    model = stacked().partial_fit(X)
    assert model.layer_loss_curves_ == []
    plain = configured(AutoencoderTransformer, hidden_layer_sizes=(8, 4), batch_size=20).partial_fit(X)
    assert_same_model(model, plain)
    pretrained = stacked().fit(X)
    curves = [list(curve) for curve in pretrained.layer_loss_curves_]
    assert pretrained.partial_fit(X).layer_loss_curves_ == curves
    assert pretrained.n_iter_ == 5


# Weights of rows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parameters", [{}, {"activation": "logistic"}, {"tied_weights": True}])
@pytest.mark.parametrize("fine_tune", [False, True])
def test_integer_weights_are_repeated_rows(parameters, fine_tune):
    weight = np.random.default_rng(0).integers(0, 4, len(X))
    repeated = np.repeat(X, weight, axis=0)
    settings = {"shuffle": False, "fine_tune": fine_tune, **parameters}
    weighted = stacked(batch_size=len(X), **settings).fit(X, sample_weight=weight)
    expected = stacked(batch_size=len(repeated), **settings).fit(repeated)
    assert_allclose(weighted.transform(X), expected.transform(X), rtol=1e-6, atol=1e-8)
    for one, other in zip(weighted.layer_loss_curves_, expected.layer_loss_curves_, strict=True):
        assert_allclose(one, other, rtol=1e-8)
    assert not np.allclose(
        stacked(batch_size=len(X), **settings).fit(X).transform(X), weighted.transform(X), rtol=1e-4
    )


# What the papers say ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("noise", [{}, {"noise": "masking", "noise_level": 0.1}], ids=["clean", "masking"])
def test_pretraining_helps_a_deep_logistic_net(noise, seed, digits):
    """Hinton and Salakhutdinov (2006), Bengio et al. (2006): after as many epochs of training all layers."""
    settings = {"hidden_layer_sizes": (64, 32, 16), "activation": "logistic", "learning_rate": 3e-3}
    settings |= {"batch_size": 100, "max_iter": 15, "tol": None, "random_state": seed, "dtype": "float32"}
    train, test = digits[:1200], digits[1200:]
    pretrained = StackedAutoencoder(8, pretrain_max_iter=15, **noise, **settings).fit(train)
    from_scratch = AutoencoderTransformer(8, **settings).fit(train)
    assert pretrained.loss_ < 0.9 * from_scratch.loss_
    assert pretrained.score(test) > from_scratch.score(test) + 0.1
    assert pretrained.loss_curve_[0] < from_scratch.loss_curve_[0]
