"""What fitted networks do: scores, samples, measured activity, ordered codes, saving."""
