"""What skae is compared with: the peers' fits, and the least that the arithmetic alone costs.

Every fit takes ``(X, widths, epochs, batch_size)``, trains the same network with Adam at `LEARNING_RATE` on the
squared error, and returns a function that reconstructs rows.
"""

import contextlib
import logging
import os
import tempfile
from itertools import pairwise

import numpy as np
import torch
from sklearn.neural_network import MLPRegressor
from sklearn.utils import assert_all_finite
from torch import nn

from skae import AutoencoderTransformer, VAESampler

LEARNING_RATE = 1e-3


class Dense(nn.Sequential):
    """Linear layers of the given widths with rectifiers between them."""

    def __init__(self, widths):
        layers = [layer for shape in pairwise(widths) for layer in (nn.Linear(*shape), nn.ReLU())]
        super().__init__(*layers[:-1])


def skae(X, widths, epochs, batch_size, **parameters):
    """Fit this library's estimator; the code is rectified as well, as the peers' is."""
    middle = len(widths) // 2
    model = AutoencoderTransformer(
        widths[middle],
        hidden_layer_sizes=widths[1:middle],
        code_activation="relu",
        learning_rate=LEARNING_RATE,
        batch_size=batch_size,
        max_iter=epochs,
        tol=None,
        random_state=0,
        **parameters,
    )
    return model.fit(X).reconstruct


def scikit_learn(X, widths, epochs, batch_size):
    model = MLPRegressor(
        hidden_layer_sizes=widths[1:-1],
        alpha=0.0,
        learning_rate_init=LEARNING_RATE,
        batch_size=batch_size,
        max_iter=epochs,
        tol=0.0,
        n_iter_no_change=epochs + 1,
        random_state=0,
    )
    return model.fit(X, X).predict


def skorch(X, widths, epochs, batch_size, **parameters):
    from skorch import NeuralNetRegressor

    torch.manual_seed(0)
    model = NeuralNetRegressor(
        Dense,
        module__widths=widths,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=batch_size,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        verbose=0,
        **parameters,
    )
    return model.fit(X, X).predict


def by_hand(network, rows, epochs, batch_size, fused=None):
    """Train a network by the loop that one writes by hand, with the data in one tensor and no DataLoader."""
    adam = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=fused)
    for _ in range(epochs):
        total = 0.0
        for index in torch.randperm(len(rows)).split(batch_size):
            batch = rows[index]
            adam.zero_grad()
            loss = nn.functional.mse_loss(network(batch), batch)
            loss.backward()
            adam.step()
            total += loss.detach() * len(batch)
        float(total)  # what any loop reports once an epoch


def torch_loop(X, widths, epochs, batch_size, fused=None):
    """torch by hand; see `by_hand`."""
    torch.manual_seed(0)
    network = Dense(widths)
    by_hand(network, torch.from_numpy(X), epochs, batch_size, fused)

    def reconstruct(X):
        with torch.inference_mode():
            return network(torch.from_numpy(X)).numpy()

    return reconstruct


def fit_limit(X, widths, epochs, batch_size, shapes=None):
    """The matrix products of each step and one fused Adam over one vector; nothing else, and nothing learnt.

    ``shapes`` are the layers', where one's inputs are not the outputs of the one before.
    """
    shapes = [*pairwise(widths)] if shapes is None else shapes
    sizes = [fan_in * fan_out for fan_in, fan_out in shapes]
    parameters, gradient, mean, variance = (torch.rand(sum(sizes)).mul_(0.01) for _ in range(4))
    weights = [w.view(s) for w, s in zip(parameters.split(sizes), shapes, strict=True)]
    gradients = [g.view(s) for g, s in zip(gradient.split(sizes), shapes, strict=True)]
    n_steps, state = torch.ones(()), ([parameters], [gradient], [mean], [variance], [])
    settings = {"lr": 1e-9, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0, "eps": 1e-8}
    settings |= {"amsgrad": False, "maximize": False}
    n_batches = [*[batch_size] * (len(X) // batch_size), *[len(X) % batch_size] * bool(len(X) % batch_size)]
    layers = range(len(shapes))
    products = {}
    for n in set(n_batches):
        a, da = ([torch.randn(n, fan_in) for fan_in, _ in shapes] for _ in range(2))
        z, dz = ([torch.randn(n, fan_out) for _, fan_out in shapes] for _ in range(2))
        products[n] = [
            *((a[i], weights[i], z[i]) for i in layers),
            *((a[i].t(), dz[i], gradients[i]) for i in layers),
            *((dz[i], weights[i].t(), da[i]) for i in layers[:0:-1]),
        ]
    for n in n_batches * epochs:
        for left, right, result in products[n]:
            torch.mm(left, right, out=result)
        torch._fused_adam_(*state, [n_steps], **settings)


class DenseVAE(nn.Module):
    """A variational autoencoder with one hidden layer on each side, as trainers elsewhere write its loss."""

    def __init__(self, n_features, hidden, width):
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(hidden, width), nn.Linear(hidden, width)
        self.decoder = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, n_features), nn.Sigmoid()
        )

    def heads(self, x):
        h = self.hidden(x)
        return self.mean(h), self.log_variance(h)

    def forward(self, x):
        mean, log_variance = self.heads(x)
        restored = self.decoder(mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean))
        reconstruction = nn.functional.binary_cross_entropy(restored, x, reduction="none").sum(1)
        divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)
        return (reconstruction + divergence).mean()

    @torch.no_grad()
    def bound(self, X):
        """Minus the evidence lower bound of rows, a mean over them, in nats."""
        torch.manual_seed(0)
        return float(self(torch.from_numpy(X)))


def vae(X, hidden, width, epochs, batch_size):
    """Fit this library's variational estimator; return the bound on given rows, reconstruction + KL in nats."""
    model = VAESampler(
        width,
        hidden_layer_sizes=hidden,
        likelihood="bernoulli",
        learning_rate=LEARNING_RATE,
        batch_size=batch_size,
        max_iter=epochs,
        tol=None,
        random_state=0,
    ).fit(X)
    network = DenseVAE(X.shape[1], hidden, width)

    def heads(x):
        mean, log_variance = model.encoder_(x)
        return mean, log_variance

    network.heads, network.decoder = heads, model.decoder_
    return network.bound


def vae_torch_loop(X, hidden, width, epochs, batch_size, fused=None):
    """The loop that one writes by hand for it."""
    torch.manual_seed(0)
    network, rows = DenseVAE(X.shape[1], hidden, width), torch.from_numpy(X)
    adam = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE, fused=fused)
    for _ in range(epochs):
        total = 0.0
        for index in torch.randperm(len(rows)).split(batch_size):
            adam.zero_grad()
            loss = network(rows[index])
            loss.backward()
            adam.step()
            total += loss.detach() * len(index)
        float(total)
    return network.bound


def pythae_trainer(X, hidden, width, epochs, batch_size):
    """Pythae's trainer on its own model, with the same nets; None where it is not installed."""
    try:
        from pythae.data.datasets import BaseDataset
        from pythae.models import VAE, VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
        from pythae.trainers import BaseTrainer, BaseTrainerConfig
    except ImportError:
        return None

    class Encoder(BaseEncoder):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, x):
            mean, log_variance = self.network.heads(x)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, z):
            return ModelOutput(reconstruction=self.network(z))

    network, rows = DenseVAE(X.shape[1], hidden, width), torch.from_numpy(X)
    config = VAEConfig(input_dim=(X.shape[1],), latent_dim=width, reconstruction_loss="bce")
    decoder, network.decoder = network.decoder, nn.Identity()  # each network in one place, trained once
    model = VAE(config, encoder=Encoder(network), decoder=Decoder(decoder))
    with tempfile.TemporaryDirectory() as folder, quiet():
        training = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=epochs,
            learning_rate=LEARNING_RATE,
            per_device_train_batch_size=batch_size,
            no_cuda=True,
        )
        dataset = BaseDataset(rows, torch.zeros(len(rows)))
        BaseTrainer(model, train_dataset=dataset, training_config=training).train()
    network.decoder = decoder
    return network.bound


@contextlib.contextmanager
def quiet():
    """Let nothing through to the terminal: progress bars and logs of every batch."""
    logging.disable(logging.CRITICAL)
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            yield
    finally:
        logging.disable(logging.NOTSET)


def skorch_encoder(X, widths):
    """A fitted regressor whose module is an encoder, so that its ``predict`` is a ``transform``."""
    try:
        from skorch import NeuralNetRegressor
    except ImportError:
        return None
    model = NeuralNetRegressor(Dense, module__widths=widths, max_epochs=1, train_split=None, verbose=0)
    return model.fit(X, np.zeros((len(X), widths[-1]), np.float32))


def skorch_predict(model, X):
    if model is None:
        raise ModuleNotFoundError("No module named 'skorch'")
    return model.predict(X)


def transform_limit(X, widths, chunk=16384):
    """scikit-learn's search for NaN and infinities, then the matrix products, chunk by chunk."""
    assert_all_finite(X)
    weights = [torch.randn(fan_out, fan_in).t() for fan_in, fan_out in pairwise(widths)]  # as nn.Linear's
    out = torch.empty(len(X), widths[-1])
    hidden = [torch.empty(chunk, width) for width in widths[1:-1]]
    for x, z in zip(torch.from_numpy(X).split(chunk), out.split(chunk), strict=True):
        for weight, result in zip(weights, [*(h[: len(x)] for h in hidden), z], strict=True):
            x = torch.mm(x, weight, out=result)
