"""What stands between encoder and decoder in training: Gaussian, sparse, nested, noisy sigmoid, adversarial."""
