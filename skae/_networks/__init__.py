"""The two networks: activations, layers, convolutions, building them, running them, modules of users."""
