"""Convolutional networks: ours, and a plain loop on the same layers."""

import torch
from peers import LEARNING_RATE, by_hand
from torch import nn

from skae import AutoencoderTransformer

NETS = {
    "pooling": {
        "n_components": 128,
        "hidden_layer_sizes": (16, 8),
        "downsampling": "pool",
        "downsampling_factor": (2, 2, 2),
        "code_layer": "convolution",
        "code_activation": "relu",
    },
    "strided": {"n_components": 32, "hidden_layer_sizes": (32, 64)},
}


def image_network(kind):
    """Return the networks of `NETS` for 28 x 28 images, as they are written by hand."""
    if kind == "pooling":
        layers = [
            *(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
            *(nn.Upsample(size=7), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
            *(nn.Upsample(size=14), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()),
            *(nn.Upsample(size=28), nn.Conv2d(16, 1, 3, padding=1)),
        ]
    else:
        layers = [
            *(nn.Conv2d(1, 32, 3, 2, padding=1), nn.ReLU()),
            *(nn.Conv2d(32, 64, 3, 2, padding=1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(3136, 32), nn.Linear(32, 3136), nn.ReLU(), nn.Unflatten(1, (64, 7, 7))),
            *(nn.ConvTranspose2d(64, 32, 3, 2, padding=1, output_padding=1), nn.ReLU()),
            nn.ConvTranspose2d(32, 1, 3, 2, padding=1, output_padding=1),
        ]
    return nn.Sequential(*layers)


def images(X, kind, epochs, batch_size, **parameters):
    """Fit this library's estimator to rows that are images of 28 x 28 pixels."""
    model = AutoencoderTransformer(
        **NETS[kind],
        image_shape=(28, 28),
        learning_rate=LEARNING_RATE,
        batch_size=batch_size,
        max_iter=epochs,
        tol=None,
        random_state=0,
        **parameters,
    )
    return model.fit(X).reconstruct


def images_torch_loop(X, kind, epochs, batch_size):
    """The loop that one writes by hand for them, images in torch's default layout."""
    torch.manual_seed(0)
    network = image_network(kind)
    by_hand(network, torch.from_numpy(X).view(-1, 1, 28, 28), epochs, batch_size)

    def reconstruct(X):
        with torch.inference_mode():
            parts = torch.from_numpy(X).view(-1, 1, 28, 28).split(1000)
            return torch.cat([network(part) for part in parts]).view(len(X), -1).numpy()

    return reconstruct
