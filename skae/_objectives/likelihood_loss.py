"""Minus the log-likelihood of all columns as one loss."""

from functools import partial

import torch
from torch import Tensor

from .._data.training_data import TrainingData
from .._networks.activations import selector
from .._networks.networks import Decoder
from .likelihoods import LIKELIHOODS, Parts, check_support
from .losses import Loss


def negative_log_likelihood(parts: Parts, decoder: Decoder) -> Loss:
    """Return minus the log-likelihood as a loss, summed over features, in nats."""
    losses = [LIKELIHOODS[name].loss(decoder) for name, _ in parts]
    loss = losses[0] if len(losses) == 1 else _joined(losses, [columns for _, columns in parts])
    return loss._replace(link="identity", mean_over_features=False, check=partial(_check_support, parts))


def _joined(losses: list[Loss], columns: list[tuple[int, ...]]) -> Loss:
    """Join losses of some columns each to one of all columns."""
    pieces = [(loss, selector(own)) for loss, own in zip(losses, columns, strict=True)]
    order = torch.tensor([column for own in columns for column in own]).argsort()

    def entrywise(output: Tensor, target: Tensor) -> Tensor:
        entries = [loss.entrywise(output[:, own], target[:, own]) for loss, own in pieces]  # type: ignore[misc]
        return torch.cat(entries, 1)[:, order]

    def sum_and_gradient(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
        totals = []
        for loss, own in pieces:
            share = weight if weight is None or weight.shape[1] == 1 else weight[:, own]
            part = gradient[:, own]
            total = loss.sum_and_gradient(output[:, own], target[:, own], share, part)  # type: ignore[misc]
            totals.append(total)
            if not isinstance(own, slice):  # a slice is a view, written in place
                gradient[:, own] = part
        return torch.stack(totals).sum()

    heads = tuple(head for loss in losses for head in loss.heads)
    return Loss(entrywise, sum_and_gradient, heads=heads, shift_invariant=False)


def _check_support(parts: Parts, data: TrainingData) -> None:
    """Check that each column's values lie where its likelihood is defined; ValueError if not."""
    names = [name for name, _ in parts if LIKELIHOODS[name].remedy]
    if not names:
        return
    if len(parts) == 1:
        check_support(names[0], *data.target_range())
        return
    _, lowest, highest, _ = data.statistics()
    for name, columns in parts:
        picked = list(columns)
        check_support(name, float(lowest[picked].min()), float(highest[picked].max()))
