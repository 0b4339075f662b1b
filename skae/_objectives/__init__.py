"""What is minimised: reconstruction losses, likelihoods, penalties."""
