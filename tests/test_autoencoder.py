"""What the papers say of autoencoders: PCA's subspace, codes that beat it, Jacobians that contract."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer


def principal(X, n_components):
    """PCA, and the error of its reconstruction."""
    pca = PCA(n_components).fit(X)
    return pca, ((X - pca.inverse_transform(pca.transform(X))) ** 2).mean()


def linear(n_components, X, **parameters):
    """A linear autoencoder, trained on whole batches until nothing moves."""
    settings = {
        "hidden_layer_sizes": (),
        "batch_size": len(X),
        "learning_rate": 0.01,
        "max_iter": 1000,
        "tol": None,
    }
    return AutoencoderTransformer(n_components, random_state=0, **{**settings, **parameters}).fit(X)


@pytest.mark.parametrize(
    ("data", "n_components"), [("digits", 2), ("digits", 10), ("wine", 5), ("breast_cancer", 5)]
)
def test_a_linear_autoencoder_finds_the_principal_subspace(data, n_components, request):
    """Baldi and Hornik (1989)."""
    X = request.getfixturevalue(data)
    pca, error = principal(X, n_components)
    model = linear(n_components, X)
    assert 1 - 1e-9 < model.reconstruction_error(X).mean() / error <= 1.001
    decoder = model.decoder_[0].linear.weight.detach().numpy()
    assert np.degrees(subspace_angles(decoder, pca.components_.T).max()) < 3
    # the codes span what PCA's scores span
    codes, scores = (Z - Z.mean(0) for Z in (model.transform(X), pca.transform(X)))
    assert np.degrees(subspace_angles(codes, scores).max()) < 3


@pytest.mark.parametrize(
    "parameters",
    [
        {"tied_weights": True},
        {"hidden_layer_sizes": (8,), "activation": "identity"},
        {"dtype": "float32"},
        {"solver": "sgd", "learning_rate": 0.05, "max_iter": 2000},
    ],
    ids=["tied", "deep", "float32", "sgd"],
)
def test_the_principal_subspace_by_other_ways(parameters, breast_cancer):
    pca, error = principal(breast_cancer, 3)
    model = linear(3, breast_cancer, **parameters)
    assert model.reconstruction_error(breast_cancer).mean() / error <= 1.002
    change = np.eye(3, dtype=float)
    decoder = (model.inverse_transform(change) - model.inverse_transform(np.zeros((1, 3)))).T
    assert np.degrees(subspace_angles(decoder, pca.components_.T).max()) < 3


def test_the_mean_need_not_be_learnt(wine):
    """As PCA, it does not care where the data stand."""
    shifted = linear(3, wine + 100, max_iter=300)
    assert_allclose(shifted.transform(wine + 100), linear(3, wine, max_iter=300).transform(wine), atol=1e-6)
    assert_allclose(shifted.offset_, (wine + 100).mean(0))


@pytest.mark.parametrize("n_components", [8, 16])
def test_a_nonlinear_code_beats_pca_on_unseen_digits(n_components, digits):
    """Hinton and Salakhutdinov (2006): at equal width, by a wide margin."""
    train, test = digits[::2], digits[1::2]
    pca, _ = principal(train, n_components)
    error = ((test - pca.inverse_transform(pca.transform(test))) ** 2).mean()
    model = AutoencoderTransformer(n_components, tol=None, random_state=0).fit(train)
    assert model.reconstruction_error(test).mean() < 0.8 * error


def jacobian_norms(model, X):
    """Squared Frobenius norms of d code / d x, row by row, by torch's own means."""
    jacobian = torch.func.vmap(torch.func.jacrev(lambda x: model.encoder_(x[None])[0]))
    return jacobian(torch.tensor(X)).detach().square().sum((1, 2)).numpy()


CONTRACTIVE = {
    "explicit": {"hidden_layer_sizes": (), "code_activation": "sigmoid", "contractive": 3.0},
    "autograd": {"hidden_layer_sizes": (16,), "activation": "tanh", "contractive": 0.05},
}


@pytest.mark.parametrize("parameters", CONTRACTIVE.values(), ids=CONTRACTIVE)
def test_the_contractive_penalty_is_the_mean_squared_jacobian(parameters, wine):
    """With a solver that stands still, the objective's share is the norm of each row's own Jacobian."""
    settings = {"learning_rate": 1e-14, "max_iter": 1, "tol": None, "random_state": 0, "batch_size": 50}
    with_penalty, without = (
        AutoencoderTransformer(4, **settings, **{**parameters, "contractive": strength}).fit(wine)
        for strength in (0.7, 0.0)
    )
    share = with_penalty.loss_ - without.loss_
    assert_allclose(share, 0.7 * jacobian_norms(with_penalty, wine).mean(), rtol=1e-6)


@pytest.mark.parametrize("parameters", CONTRACTIVE.values(), ids=CONTRACTIVE)
def test_the_contractive_penalty_contracts(parameters, wine):
    """Rifai et al. (2011): codes five times less sensitive, at less than twice the error."""
    settings = {"learning_rate": 1e-2, "tol": None, "random_state": 0, "max_iter": 300}
    train, test = wine[::2], wine[1::2]
    contracted, free = (
        AutoencoderTransformer(6, **settings, **{**parameters, "contractive": strength}).fit(train)
        for strength in (parameters["contractive"], 0.0)
    )
    assert 5 * jacobian_norms(contracted, test).mean() < jacobian_norms(free, test).mean()
    assert contracted.reconstruction_error(test).mean() < 2 * free.reconstruction_error(test).mean()


def test_a_search_prefers_sixteen_codes_to_one(digits):
    pipeline = make_pipeline(
        StandardScaler(), AutoencoderTransformer(batch_size=50, max_iter=30, tol=None, random_state=0)
    )
    search = GridSearchCV(pipeline, {"autoencodertransformer__n_components": [1, 16]}, cv=3).fit(digits)
    assert search.best_params_ == {"autoencodertransformer__n_components": 16}
    one, sixteen = search.cv_results_["mean_test_score"]
    assert 0 < one < 0.3 < 0.6 < sixteen < 1


@pytest.mark.filterwarnings("ignore:n_components=40 is more than")
@pytest.mark.parametrize(
    ("parameters", "encoder", "decoder"),
    [
        ({}, [(13, 128), (128, 4)], [(4, 128), (128, 13)]),
        ({"hidden_layer_sizes": ()}, [(13, 4)], [(4, 13)]),
        ({"hidden_layer_sizes": 9}, [(13, 9), (9, 4)], [(4, 9), (9, 13)]),
        ({"hidden_layer_sizes": [30, 20]}, [(13, 30), (30, 20), (20, 4)], [(4, 20), (20, 30), (30, 13)]),
        ({"hidden_layer_sizes": np.array([9])}, [(13, 9), (9, 4)], [(4, 9), (9, 13)]),
        ({"decoder_hidden_layer_sizes": ()}, [(13, 128), (128, 4)], [(4, 13)]),
        ({"decoder_hidden_layer_sizes": (5, 6)}, [(13, 128), (128, 4)], [(4, 5), (5, 6), (6, 13)]),
        ({"n_components": 40, "hidden_layer_sizes": (50,)}, [(13, 50), (50, 40)], [(40, 50), (50, 13)]),
    ],
)
def test_the_layers_are_those_asked_for(parameters, encoder, decoder, wine):
    model = AutoencoderTransformer(**{"n_components": 4, **parameters}, max_iter=1, tol=None).fit(wine)
    for network, widths in ((model.encoder_, encoder), (model.decoder_, decoder)):
        linears = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
        assert [(m.in_features, m.out_features) for m in linears] == widths
    assert model.n_parameters_ == sum((fan_in + 1) * fan_out for fan_in, fan_out in encoder + decoder)


def test_a_tied_weight_is_counted_once_and_is_the_transpose(wine):
    model = AutoencoderTransformer(4, hidden_layer_sizes=(9,), tied_weights=True, max_iter=5, tol=None).fit(wine)
    assert model.n_parameters_ == 13 * 9 + 9 * 4 + (9 + 4) + (9 + 13)
    first, second = (m.weight for m in model.encoder_.modules() if isinstance(m, torch.nn.Linear))
    biases = [p for p in model.decoder_.parameters() if p.ndim == 1]
    assert [len(bias) for bias in biases] == [9, 13]
    codes = torch.tensor(model.transform(wine))
    restored = torch.relu(codes @ second + biases[0]) @ first + biases[1]
    assert_allclose(
        model.inverse_transform(codes.numpy()), restored.detach().numpy() + wine.mean(0), rtol=1e-6, atol=1e-9
    )


def test_tied_weights_need_a_mirrored_decoder(wine):
    with pytest.raises(ValueError, match=r"tied_weights=True.*decoder_hidden_layer_sizes"):
        AutoencoderTransformer(tied_weights=True, decoder_hidden_layer_sizes=(5,)).fit(wine)
    AutoencoderTransformer(4, tied_weights=True, decoder_hidden_layer_sizes=(128,), max_iter=1, tol=None).fit(wine)


@pytest.mark.parametrize("sizes", [(0,), (8, -1), (2.5,), (True,), ("8",)])
@pytest.mark.parametrize("name", ["hidden_layer_sizes", "decoder_hidden_layer_sizes"])
def test_widths_that_are_none(name, sizes, wine):
    with pytest.raises(ValueError, match=rf"{name}=.*integer"):
        AutoencoderTransformer(**{name: sizes}).fit(wine)


@pytest.mark.parametrize(("n_samples", "batch_size"), [(50, 50), (200, 16), (800, 50), (801, 50), (2000, 64)])
def test_batches_are_a_sixteenth_of_the_rows_by_default(n_samples, batch_size):
    X = np.random.default_rng(0).normal(size=(n_samples, 3))
    sizes = []

    def loss(reconstruction, target):
        sizes.append(len(target))
        return (reconstruction - target).square().mean(1)

    AutoencoderTransformer(2, loss=loss, max_iter=1).fit(X)
    left = n_samples % batch_size
    assert sizes == [batch_size] * (n_samples // batch_size) + ([left] if left else [])


@pytest.mark.parametrize(("dtype", "entries"), [(np.float64, 99_999), (np.float64, 100_002), (np.float32, 30)])
def test_the_dtype_of_the_training(dtype, entries):
    """Float64 where it costs nothing; else float32."""
    X = np.random.default_rng(0).normal(size=(entries // 3, 3)).astype(dtype)
    model = AutoencoderTransformer(2, hidden_layer_sizes=(), max_iter=1, tol=None).fit(X)
    expected = torch.float64 if dtype == np.float64 and entries <= 100_000 else torch.float32
    assert {p.dtype for p in model.encoder_.parameters()} == {expected}
