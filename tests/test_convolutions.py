"""Convolutional networks: which layers they have, that they compute what torch's do, and what is refused."""

import pickle

import numpy as np
import pytest
import torch
from estimators import assert_same, configured, of_images, rows
from numpy.testing import assert_allclose
from torch import nn
from torch.nn import functional as F

from skae import (
    AutoencoderClassifier,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
    VAESampler,
)


def images(n_samples=30, shape=(8, 6, 1), seed=0):
    """Blurred noise in [0, 1], flattened in C order; float64."""
    height, width, channels = shape
    rng = np.random.default_rng(seed)
    coarse = rng.random((n_samples, -(-height // 2), -(-width // 2), channels))
    X = np.repeat(np.repeat(coarse, 2, axis=1), 2, axis=2)[:, :height, :width]
    return (0.9 * X + 0.1 * rng.random(X.shape)).reshape(n_samples, -1)


def fitted(estimator_class=AutoencoderTransformer, X=None, **parameters):
    settings = {"n_components": 3, "hidden_layer_sizes": (4, 6), "image_shape": (8, 6), "max_iter": 2}
    model = estimator_class(**{"tol": None, "random_state": 0, **settings, **parameters})
    return model.fit(images() if X is None else X)


def layers(network):
    """Name the layers of each block, without what only changes the view."""
    return [[name for layer in block if (name := describe(layer))] for block in network]


def describe(layer):
    kind = type(layer).__name__
    match layer:
        case nn.Conv2d() | nn.ConvTranspose2d():
            return f"{kind} {layer.in_channels}-{layer.out_channels} {layer.kernel_size[0]}/{layer.stride[0]}"
        case nn.Linear():
            return f"{kind} {layer.in_features}-{layer.out_features}"
        case nn.MaxPool2d():
            return f"{kind} {layer.kernel_size}"
        case nn.Upsample():
            return f"{kind} {layer.size[0]}x{layer.size[1]}"
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            return f"{kind} {layer.num_features}"
    return None if kind in ("ToImages", "ToRows") else kind


# Layers ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pixels():
    """Rows of 28 x 28 numbers."""
    return images(12, (28, 28, 1)).astype(np.float32)


def test_strided_net_with_batch_normalization(pixels):
    """32-64 strided with a dense code, the variational autoencoder of many tutorials."""
    model = fitted(
        VAESampler,
        pixels,
        n_components=20,
        hidden_layer_sizes=(32, 64),
        image_shape=(28, 28),
        normalization="batch",
        likelihood="bernoulli",
    )
    assert layers(model.encoder_) == [
        ["Convolution 1-32 3/2", "BatchNorm2d 32", "ReLU"],
        ["Convolution 32-64 3/2", "BatchNorm2d 64", "ReLU"],
        ["Linear 3136-40"],
    ]
    assert layers(model.decoder_) == [
        ["Linear 20-3136", "BatchNorm1d 3136", "ReLU"],
        ["TransposedConvolution 64-32 3/2", "BatchNorm2d 32", "ReLU"],
        ["TransposedConvolution 32-1 3/2"],
    ]
    assert model.transform(pixels).shape == (12, 20)
    assert model.reconstruct(pixels).shape == (12, 784)
    assert model.sample(2, random_state=0).shape == (2, 784)


def test_pooling_net_with_a_convolutional_code(pixels):
    """16-8-8 with 2 x 2 pooling, which ends in 4 x 4 x 8."""
    model = fitted(
        X=pixels,
        n_components=128,
        hidden_layer_sizes=(16, 8),
        image_shape=(28, 28),
        downsampling="pool",
        downsampling_factor=(2, 2, 2),
        code_layer="convolution",
        code_activation="relu",
        loss="binary_cross_entropy",
    )
    assert layers(model.encoder_) == [
        ["Convolution 1-16 3/1", "ReLU", "MaxPool2d 2"],
        ["Convolution 16-8 3/1", "ReLU", "MaxPool2d 2"],
        ["Convolution 8-8 3/1", "ReLU", "MaxPool2d 2"],
    ]
    assert layers(model.decoder_) == [
        ["Upsample 7x7", "Convolution 8-8 3/1", "ReLU"],
        ["Upsample 14x14", "Convolution 8-16 3/1", "ReLU"],
        ["Upsample 28x28", "Convolution 16-1 3/1"],
    ]
    assert model.transform(pixels).shape == (12, 128)


def test_pooling_net_with_a_bottleneck(pixels):
    """64-128 with pooling and a bottleneck of 256 channels that keeps the sides."""
    model = fitted(
        X=pixels,
        n_components=7 * 7 * 256,
        hidden_layer_sizes=(64, 128),
        image_shape=(28, 28, 1),
        downsampling="pool",
        code_layer="convolution",
        max_iter=1,
    )
    assert layers(model.encoder_) == [
        ["Convolution 1-64 3/1", "ReLU", "MaxPool2d 2"],
        ["Convolution 64-128 3/1", "ReLU", "MaxPool2d 2"],
        ["Convolution 128-256 3/1"],
    ]
    assert layers(model.decoder_) == [
        ["Convolution 256-128 3/1", "ReLU"],
        ["Upsample 14x14", "Convolution 128-64 3/1", "ReLU"],
        ["Upsample 28x28", "Convolution 64-1 3/1"],
    ]


def test_pooling_net_with_a_dense_bottleneck(pixels):
    model = fitted(
        X=pixels,
        n_components=256,
        hidden_layer_sizes=(64, 128),
        image_shape=(28, 28),
        downsampling="pool",
        max_iter=1,
    )
    assert layers(model.encoder_)[2:] == [["Linear 6272-256"]]
    assert layers(model.decoder_) == [
        ["Linear 256-6272", "ReLU"],
        ["Upsample 14x14", "Convolution 128-64 3/1", "ReLU"],
        ["Upsample 28x28", "Convolution 64-1 3/1"],
    ]


def test_parameters_shape_the_layers():
    model = fitted(
        X=images(shape=(8, 6, 3)),
        image_shape=[8, 6, 3],
        kernel_size=5,
        downsampling_factor=(1, 3),
        decoder_hidden_layer_sizes=(7, 5),
        normalization="layer",
        output_activation="sigmoid",
        activation="elu",
    )
    assert layers(model.encoder_) == [
        ["Convolution 3-4 5/1", "GroupNorm", "ELU"],
        ["Convolution 4-6 5/3", "GroupNorm", "ELU"],
        ["Linear 36-3"],  # 3 x 2 places
    ]
    assert layers(model.decoder_) == [
        ["Linear 3-42", "LayerNorm", "ELU"],
        ["TransposedConvolution 7-5 5/3", "GroupNorm", "ELU"],
        ["Convolution 5-3 5/1", "Sigmoid"],
    ]


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_dense_networks_are_normalised_too(normalization):
    model = fitted(image_shape=None, normalization=normalization)
    name = {"batch": "BatchNorm1d", "layer": "LayerNorm"}[normalization]
    assert [[type(layer).__name__ for layer in block] for block in [*model.encoder_, *model.decoder_]] == 2 * [
        ["Linear", name, "ReLU"],
        ["Linear", name, "ReLU"],
        ["Linear"],
    ]


def test_without_convolution_blocks_the_networks_are_dense():
    plain, shaped = fitted(image_shape=None, hidden_layer_sizes=()), fitted(hidden_layer_sizes=())
    assert_same(plain.transform(images()), shaped.transform(images()))


@pytest.mark.parametrize("tied_weights", [False, True])
@pytest.mark.parametrize("downsampling", ["stride", "pool"])
@pytest.mark.parametrize("factor", [1, 2, 3, (3, 2), (2, 5)])
@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (9, 1), (1, 4), (5, 7, 3)])
def test_odd_sides_are_restored(shape, factor, downsampling, tied_weights):
    height, width, channels = (*shape, 1)[:3]
    X = images(5, (height, width, channels))
    model = fitted(
        X=X,
        image_shape=shape,
        downsampling_factor=factor,
        downsampling=downsampling,
        tied_weights=tied_weights,
        max_iter=1,
    )
    x, entries = torch.tensor(X), [X.shape[1]]
    with torch.no_grad():
        for block in model.encoder_:
            x = block(x)
            entries.append(x.shape[1])
        for block in model.decoder_:
            x = block(x)
            entries.append(x.shape[1])
    assert entries == entries[::-1]
    a, b = (factor, factor) if isinstance(factor, int) else factor
    smaller = -(-height // a), -(-width // a)
    assert entries[1] == smaller[0] * smaller[1] * 4
    assert entries[2] == -(-smaller[0] // b) * -(-smaller[1] // b) * 6
    assert model.reconstruct(X).shape == X.shape


# What they compute -----------------------------------------------------------------------------------------


def by_hand(model, X, shape, downsampling):
    """Send rows through the fitted layers as torch's functions on images in its own layout."""
    height, width, channels = shape
    first, second, code = (block.linear for block in model.encoder_)
    up, third, fourth = (block.linear for block in model.decoder_)
    x = torch.tensor(X.reshape(-1, height, width, channels)).permute(0, 3, 1, 2).contiguous()
    x = (x - mean(model, shape)) / model.unit_
    if downsampling == "stride":
        x = F.relu(F.conv2d(x, first.weight, first.bias, 2, 1))
        x = F.relu(F.conv2d(x, second.weight, second.bias, 2, 1))
    else:
        x = F.max_pool2d(F.relu(F.conv2d(x, first.weight, first.bias, 1, 1)), 2, ceil_mode=True)
        x = F.max_pool2d(F.relu(F.conv2d(x, second.weight, second.bias, 1, 1)), 2, ceil_mode=True)
    smallest = x.shape[1:]
    z = F.linear(x.permute(0, 2, 3, 1).flatten(1), code.weight, code.bias)  # the dense layer takes C order
    y = F.relu(F.linear(z, up.weight, up.bias)).unflatten(1, (*smallest[1:], smallest[0])).permute(0, 3, 1, 2)
    middle = (-(-height // 2), -(-width // 2))
    if downsampling == "stride":
        padding = [tuple((side + 1) % 2 for side in sides) for sides in (middle, (height, width))]
        y = F.relu(F.conv_transpose2d(y, third.weight, third.bias, 2, 1, padding[0]))
        y = F.conv_transpose2d(y, fourth.weight, fourth.bias, 2, 1, padding[1])
    else:
        y = y.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, : middle[0], : middle[1]]
        y = F.relu(F.conv2d(y, third.weight, third.bias, 1, 1))
        y = y.repeat_interleave(2, 2).repeat_interleave(2, 3)[:, :, :height, :width]
        y = F.conv2d(y, fourth.weight, fourth.bias, 1, 1)
    return z, (y * model.unit_ + mean(model, shape)).permute(0, 2, 3, 1).flatten(1)


def mean(model, shape):
    return torch.tensor(model.offset_.reshape(shape)).permute(2, 0, 1)


@pytest.mark.parametrize("downsampling", ["stride", "pool"])
@pytest.mark.parametrize("shape", [(8, 6, 1), (7, 5, 3)])
def test_the_networks_are_those_of_torch(shape, downsampling):
    X = images(20, shape)
    model = fitted(X=X, image_shape=shape, downsampling=downsampling)
    with torch.no_grad():
        codes, restored = by_hand(model, X, shape, downsampling)
    assert_allclose(model.transform(X), codes.numpy(), rtol=1e-9, atol=1e-12)
    assert_allclose(model.reconstruct(X), restored.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("downsampling", ["stride", "pool"])
def test_training_is_that_of_a_plain_loop(downsampling):
    """Adam on torch's own layers and layout, from the same weights, has the same losses."""
    shape, X = (7, 5, 3), images(20, (7, 5, 3))
    settings = {"image_shape": shape, "downsampling": downsampling, "learning_rate": 0.01}
    start = fitted(X=X, **{**settings, "learning_rate": 1e-30, "max_iter": 1})
    trained = fitted(X=X, max_iter=8, **settings)
    parameters = [*start.encoder_.parameters(), *start.decoder_.parameters()]
    adam, losses = torch.optim.Adam(parameters, lr=0.01), []
    for _ in range(8):
        adam.zero_grad()
        _, restored = by_hand(start, X, shape, downsampling)
        loss = F.mse_loss(restored, torch.tensor(X))
        losses.append(loss.item())
        (loss / start.unit_**2).backward()
        adam.step()
    assert_allclose(trained.loss_curve_, losses, rtol=1e-6)


@pytest.mark.parametrize("downsampling", ["stride", "pool"])
@pytest.mark.parametrize("sides", [(8, 6), (7, 5)])
def test_a_tied_convolution_is_the_transpose(sides, downsampling):
    """<A x, y> = <x, A' y> for the linear map of the encoder's block, pooling aside."""
    model = fitted(X=images(9, (*sides, 1)), image_shape=sides, tied_weights=True, downsampling=downsampling)
    up, down = model.encoder_[0].linear, model.decoder_[-1].linear
    x = torch.randn(3, 1, *sides, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        forth = F.conv2d(x, up.weight, None, up.stride, up.padding)
        y = torch.randn(forth.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        back = down(y) - down.bias
    assert_allclose(float((forth * y).sum()), float((x * back).sum()), rtol=1e-9)
    free = fitted(X=images(9, (*sides, 1)), image_shape=sides, downsampling=downsampling)
    shared = sum(block.linear.weight.numel() for block in model.encoder_)
    assert free.n_parameters_ - model.n_parameters_ == shared


def test_first_weights_are_glorots():
    model = fitted(learning_rate=1e-30, max_iter=1, hidden_layer_sizes=(40, 60))
    for block in (*model.encoder_, *model.decoder_):
        weight = block.linear.weight.detach()
        bound = (6 / ((weight.shape[0] + weight.shape[1]) * weight[0, 0].numel())) ** 0.5
        assert 0.9 * bound < weight.abs().max() <= bound
        assert block.linear.bias.detach().abs().max() < 1e-20


def test_a_convolutional_code_is_flattened_in_c_order():
    X = images()
    model = fitted(X=X, n_components=4 * 3 * 5, hidden_layer_sizes=(4,), code_layer="convolution")
    first, second = (block.linear for block in model.encoder_)
    with torch.no_grad():
        x = torch.tensor((X - model.offset_) / model.unit_).view(-1, 1, 8, 6)
        x = F.conv2d(F.relu(F.conv2d(x, first.weight, first.bias, 2, 1)), second.weight, second.bias, 1, 1)
    codes = model.transform(X).reshape(-1, 4, 3, 5)
    assert_allclose(codes, x.permute(0, 2, 3, 1).numpy(), rtol=1e-9, atol=1e-12)


def test_mean_and_variance_of_a_convolutional_code_are_channels_apart():
    """The encoder that a classifier takes over returns the means, place by place."""
    X, y = images(), np.arange(30) % 2
    vae = configured(VAESampler, n_components=4 * 3 * 2, image_shape=(8, 6), code_layer="convolution")
    classifier = AutoencoderClassifier(vae, learning_rate=1e-30, max_iter=1, tol=None, random_state=0).fit(X, y)
    assert_allclose(classifier.transform(X), classifier.autoencoder_.transform(X), rtol=1e-9)
    half = classifier.encoder_[-1].linear
    assert half.weight.shape == (2, 8, 3, 3)
    loaded = pickle.loads(pickle.dumps(classifier))
    assert_same(loaded.predict_proba(X), classifier.predict_proba(X))


def test_images_are_never_copied_between_blocks():
    """Rows in C order are images with channels last, which is also how convolutions return them."""
    model, seen = fitted(image_shape=(4, 4, 3), X=images(9, (4, 4, 3)), dtype="float32"), []
    for network in (model.encoder_, model.decoder_):
        for block in network:
            for layer in block:
                layer.register_forward_hook(lambda layer, args, result: seen.append((layer, args[0], result)))
    with torch.no_grad():
        model.decoder_(model.encoder_(torch.rand(9, 48)))
    views = [(x, y) for layer, x, y in seen if type(layer).__name__ in ("ToImages", "ToRows")]
    assert len(views) == 8
    assert all(x.data_ptr() == y.data_ptr() for x, y in views)


def test_many_rows_pass_through_a_few_at_a_time():
    shape = (32, 32, 1)
    model = fitted(X=images(10, shape), image_shape=shape, hidden_layer_sizes=(64,), downsampling="pool")
    sizes, X = [], images(100, shape)
    model.encoder_[0].register_forward_hook(lambda block, args, result: sizes.append(len(args[0])))
    codes = model.transform(X)
    assert sum(sizes) == 100
    assert max(sizes) * 32 * 32 * 64 * 8 <= 1 << 22
    assert_allclose(codes, np.vstack([model.transform(x[np.newaxis]) for x in X]), rtol=1e-9)


def test_bfloat16_learns_what_float32_does():
    X = images(200).astype(np.float32)
    full, mixed = (
        fitted(X=X, dtype=dtype, learning_rate=1e-3, batch_size=200, max_iter=30)
        for dtype in ("float32", "bfloat16")
    )
    assert all(p.dtype == torch.float32 for p in mixed.encoder_.parameters())
    assert_allclose(mixed.loss_, full.loss_, rtol=0.02)
    assert mixed.loss_curve_ != full.loss_curve_


@pytest.mark.parametrize("tied_weights", [False, True])
@pytest.mark.parametrize("sides", [(16, 1), (1, 16), (6, 1), (12, 2)], ids=str)
def test_bfloat16_learns_narrow_images(sides, tied_weights):
    """On some processors, the gradient held whatever was in memory where images were one number wide."""
    X = images(100, (*sides, 1)).astype(np.float32)
    settings = {"image_shape": sides, "tied_weights": tied_weights, "learning_rate": 1e-3, "max_iter": 10}
    full, mixed = (fitted(X=X, dtype=dtype, **settings).loss_ for dtype in ("float32", "bfloat16"))
    assert_allclose(mixed, full, rtol=0.02)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("downsampling", ["stride", "pool"])
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_models_are_restored_bit_for_bit_and_trained_further(dtype, downsampling, normalization):
    X = images(40, (7, 5, 1)).astype(np.float32)
    settings = {
        "image_shape": (7, 5),
        "dtype": dtype,
        "downsampling": downsampling,
        "normalization": normalization,
    }
    for tied_weights in (False, True):
        model = fitted(X=X, tied_weights=tied_weights, warm_start=True, **settings)
        loaded = pickle.loads(pickle.dumps(model))
        assert_same(loaded.transform(X), model.transform(X))
        assert_same(loaded.reconstruct(X), model.reconstruct(X))
        assert_same(loaded.fit(X).reconstruct(X), model.fit(X).reconstruct(X))
        assert_same(loaded.partial_fit(X).reconstruct(X), model.partial_fit(X).reconstruct(X))


# Normalization ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image_shape", [None, (8, 6)])
@pytest.mark.parametrize("n_samples", [21, 41])
def test_a_last_batch_of_one_row_joins_the_one_before(image_shape, n_samples):
    X = images(n_samples)
    model = fitted(X=X, normalization="batch", image_shape=image_shape, batch_size=20)
    assert np.isfinite(model.loss_curve_).all()
    batches = [
        m.num_batches_tracked for m in model.encoder_.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)
    ]
    assert [int(n) for n in batches] == 2 * [2 * (n_samples // 20)]


@pytest.mark.parametrize("image_shape", [None, (8, 6)])
def test_batch_normalization_of_single_rows_is_refused(image_shape):
    with pytest.raises(ValueError, match=r"n_samples=1 .*batch"):
        fitted(X=images(1), normalization="batch", image_shape=image_shape)
    with pytest.raises(ValueError, match="batch_size=1"):
        fitted(normalization="batch", image_shape=image_shape, batch_size=1)
    fitted(normalization="layer", image_shape=image_shape, batch_size=1)


def test_batch_normalization_uses_running_means_afterwards():
    """Exponential means over steps, with torch's weights: 0.1 for the latest batch."""
    X = images()
    model = fitted(X=X, normalization="batch", learning_rate=1e-30, max_iter=3, hidden_layer_sizes=(4,))
    norm = model.encoder_[0][2]
    x = torch.tensor((X - model.offset_) / model.unit_).view(-1, 1, 8, 6)
    x = F.conv2d(x, model.encoder_[0].linear.weight, None, 2, 1)
    weight = 1 - 0.9**3
    assert_allclose(norm.running_mean, weight * x.mean((0, 2, 3)).detach(), rtol=1e-6, atol=1e-9)
    assert_allclose(norm.running_var, 1 - weight + weight * x.var((0, 2, 3)).detach(), rtol=1e-6)
    assert model.encoder_[0].linear.bias is None  # the means would take it out again


def test_early_stopping_brings_the_running_means_of_the_best_epoch_back():
    """Held-out rows have the smallest loss of the curve again."""
    X = images(60)
    held_out = []

    class Watching(AutoencoderTransformer):
        def _fitted_attributes(self, fit, encoder, decoder):
            held_out.append(fit.setup.data.validation_rows)
            return {}

    model = fitted(
        Watching,
        X,
        normalization="batch",
        early_stopping=True,
        validation_fraction=0.3,
        learning_rate=0.03,
        activation="tanh",
        max_iter=40,
        batch_size=10,
    )
    assert model.best_loss_ < max(model.validation_loss_curve_)
    error = model.reconstruction_error(X[held_out[-1].numpy()]).mean()
    assert_allclose(error, model.best_loss_, rtol=1e-6)


def test_the_penalty_leaves_normalizations_out():
    models = [fitted(normalization=n, alpha=1.0, learning_rate=1e-30, max_iter=1) for n in ("layer", "batch")]
    free = [fitted(normalization=n, learning_rate=1e-30, max_iter=1) for n in ("layer", "batch")]
    for model, plain in zip(models, free, strict=True):
        squares = sum(b.linear.weight.square().sum().item() for b in (*model.encoder_, *model.decoder_))
        assert_allclose(model.loss_ - plain.loss_, squares / 2, rtol=1e-6)


def test_contractive_penalty_is_the_jacobian_of_the_images():
    X = images(6)
    model = fitted(X=X, contractive=1.0, normalization="layer", learning_rate=1e-30, max_iter=1)
    plain = fitted(X=X, normalization="layer", learning_rate=1e-30, max_iter=1)
    jacobians = [torch.autograd.functional.jacobian(model.encoder_, torch.tensor(x[np.newaxis])) for x in X]
    norm = np.mean([float(j.square().sum()) for j in jacobians])
    assert_allclose(model.loss_ - plain.loss_, norm, rtol=1e-6)


# The other estimators --------------------------------------------------------------------------------------


def test_stacked_blocks_are_trained_on_the_codings_below():
    X = images()
    settings = {"pretrain_max_iter": 3, "fine_tune": False, "activation": "elu", "shuffle": False}
    slow = fitted(StackedAutoencoder, X, learning_rate=1e-30, **settings)
    codings = torch.tensor((X - slow.offset_) / slow.unit_)
    with torch.no_grad():
        for curve, encode, decode in zip(
            slow.layer_loss_curves_, slow.encoder_, reversed([*slow.decoder_]), strict=True
        ):
            above = encode(codings)
            in_units = slow.unit_**2 if encode is slow.encoder_[0] else 1  # the data's, not those of codings
            assert_allclose(curve, 3 * [in_units * float((decode(above) - codings).square().mean())], rtol=1e-9)
            codings = above

    fast = fitted(StackedAutoencoder, X, learning_rate=0.01, **settings)
    codings = torch.tensor((X - fast.offset_) / fast.unit_)
    with torch.no_grad():
        for curve, encode, decode in zip(
            fast.layer_loss_curves_, fast.encoder_, reversed([*fast.decoder_]), strict=True
        ):
            above = encode(codings)
            # The block has learnt to restore these codings, which later blocks have left as they were.
            in_units = fast.unit_**2 if encode is fast.encoder_[0] else 1
            assert in_units * float((decode(above) - codings).square().mean()) < curve[-1] < curve[0]
            codings = above


@pytest.mark.parametrize("downsampling", ["stride", "pool"])
def test_stacked_logistic_blocks_restore_probabilities(downsampling):
    model = fitted(
        StackedAutoencoder,
        activation="logistic",
        normalization="layer",
        downsampling=downsampling,
        learning_rate=1e-30,
        pretrain_max_iter=1,
        fine_tune=False,
    )
    x = torch.tensor((images() - model.offset_) / model.unit_)
    encode, decode = model.encoder_[1], model.decoder_[1]
    with torch.no_grad():
        codings = model.encoder_[0](x)
        expected = F.binary_cross_entropy(decode(encode(codings)), codings)
    assert_allclose(model.layer_loss_curves_[1][0], float(expected), rtol=1e-6)


def test_sparse_codes_of_images():
    Z = fitted(SparseAutoencoder, n_components=12, sparsity="topk", n_active=2, max_iter=5).transform(images())
    assert ((Z != 0).sum(1) <= 2).all()
    with pytest.raises(ValueError, match=r"code_layer='convolution'.*'dense'"):
        fitted(SparseAutoencoder, n_components=12, code_layer="convolution")


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "poisson"])
@pytest.mark.parametrize("shape", [(8, 6, 1), (4, 4, 3)])
def test_a_variational_autoencoder_starts_at_the_means_of_channels(likelihood, shape):
    X = images(shape=shape)
    X[:, 5] = 0  # a constant column
    model = fitted(VAESampler, X, image_shape=shape, likelihood=likelihood, learning_rate=1e-30, max_iter=1)
    assert np.isfinite(model.loss_)
    means = X.reshape(-1, shape[2]).mean(0)
    bias = model.decoder_[-1].linear.bias.detach().numpy()
    expected = {"gaussian": 0 * means, "bernoulli": np.log(means / (1 - means)), "poisson": np.log(means)}
    assert_allclose(bias, expected[likelihood], rtol=1e-4, atol=1e-6)


def test_a_variational_autoencoder_of_images_learns_around_constant_pixels():
    """Pixels that never change do not drown the others, though a convolution treats all places alike."""
    places, centres = np.mgrid[:9, :9], np.random.default_rng(0).uniform(2, 7, (200, 2))
    X = np.exp(-np.square(places - centres[:, :, None, None]).sum(1) / 4)  # a spot somewhere
    X[:, :2], X[:, :, :2] = 0, 0
    X = X.reshape(200, -1)
    model = fitted(
        VAESampler,
        X,
        n_components=4,
        hidden_layer_sizes=(8, 8),
        image_shape=(9, 9),
        max_iter=60,
        batch_size=20,
        learning_rate=3e-3,
    )
    assert np.square(model.reconstruct(X) - X).sum() < 0.1 * np.square(X - X.mean(0)).sum()


def test_noise_acts_on_the_rows():
    """As the user's own noise sees it, and with pairs of its own."""
    X, seen = images(), []

    def noise(x, generator):
        seen.append(x.shape)
        return torch.zeros_like(x)

    fitted(DenoisingAutoencoder, X, noise=noise)
    assert set(seen) == {(30, 48)}
    model = DenoisingAutoencoder(3, image_shape=(8, 6), hidden_layer_sizes=4, max_iter=2, tol=None, random_state=0)
    assert model.fit(X, X_clean=images(seed=1)).denoise(X).shape == X.shape


@pytest.mark.parametrize("n_frozen_layers", [0, 2, 3])
def test_classifier_of_images_freezes_blocks(n_frozen_layers):
    X, y = images(60), np.arange(60) % 2
    autoencoder = of_images(StackedAutoencoder, image_shape=(8, 6), normalization="batch", pretrain_max_iter=2)
    classifier = AutoencoderClassifier(
        autoencoder, n_frozen_layers=n_frozen_layers, max_iter=3, tol=None, random_state=0
    ).fit(X, y)
    before, after = classifier.autoencoder_.encoder_, classifier.encoder_
    for i, (one, other) in enumerate(zip(before, after, strict=True)):
        same = all(
            torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        )
        assert same == (i < n_frozen_layers)
    assert classifier.predict(X).shape == (60,)


# Refusals --------------------------------------------------------------------------------------------------

REFUSED = {
    "product": ({"image_shape": (8, 8)}, r"8 x 8 x 1 = 64 .* n_features=48"),
    "channels": ({"image_shape": (8, 6, 3)}, r"8 x 6 x 3 = 144 .* n_features=48"),
    "one_side": ({"image_shape": (48,)}, r"image_shape=\(48,\) has 1 entries"),
    "four_sides": ({"image_shape": (2, 2, 2, 6)}, r"image_shape=\(2, 2, 2, 6\) has 4 entries"),
    "zero": ({"image_shape": (0, 6)}, r"image_shape=\(0, 6\) holds 0"),
    "fraction": ({"image_shape": (8.0, 6)}, r"image_shape=\(8.0, 6\) holds 8.0"),
    "even": ({"kernel_size": 4}, "kernel_size=4 .* odd"),
    "factors": ({"downsampling_factor": (2, 2, 2)}, r"downsampling_factor=\(2, 2, 2\) .* 2 convolution blocks"),
    "zero_factor": ({"downsampling_factor": (2, 0)}, r"downsampling_factor=\(2, 0\) holds 0"),
    "code": ({"n_components": 5, "code_layer": "convolution"}, r"n_components=5 .* multiple of 4"),
    "decoder": ({"decoder_hidden_layer_sizes": (4,)}, r"decoder_hidden_layer_sizes=\(4,\) and hidden_layer_sizes"),
    "mirror": ({"decoder_hidden_layer_sizes": (6, 5), "tied_weights": True}, "tied_weights.*decoder_hidden"),
    "contractive": ({"contractive": 0.1, "normalization": "batch"}, "contractive=0.1 .* normalization='batch'"),
    "kind": ({"normalization": "instance"}, "normalization"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_together_is_refused(case):
    parameters, message = REFUSED[case]
    model = AutoencoderTransformer(
        **{"n_components": 3, "hidden_layer_sizes": (4, 6), "image_shape": (8, 6), **parameters}
    )
    with pytest.raises(ValueError, match=message):
        model.fit(images())
    assert not hasattr(model, "encoder_")


@pytest.mark.parametrize("shape", [(30, 8, 6), (30, 8, 6, 1)])
def test_arrays_of_images_are_refused_with_the_remedy(shape):
    X = images().reshape(shape)
    for method in ("fit", "partial_fit", "transform"):
        model = fitted() if method == "transform" else AutoencoderTransformer(image_shape=(8, 6))
        with pytest.raises(ValueError, match=r"X\.reshape\(len\(X\), -1\).*image_shape"):
            getattr(model, method)(X)


def test_warm_start_with_another_image_shape_is_refused():
    model = fitted(warm_start=True)
    with pytest.raises(ValueError, match="image_shape"):
        model.set_params(downsampling_factor=1).fit(images())


def test_own_modules_need_no_image_shape():
    """With modules of the user's own for both networks there is nothing to shape."""
    X = rows()
    own = {"encoder": nn.Linear(5, 3), "decoder": nn.Linear(3, 5), "hidden_layer_sizes": (128,)}  # the default
    plain, shaped = (fitted(X=X, image_shape=shape, **own) for shape in (None, (5, 1)))
    assert_same(plain.transform(X), shaped.transform(X))
