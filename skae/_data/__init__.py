"""Rows on their way in and out: arrays of any kind, batches, held-out rows, corruption."""
