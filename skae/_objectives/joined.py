"""Losses of some columns each, joined to one of all columns."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .._networks.activations import selector
from .losses import CROSS_ENTROPY, Loss


class Piece(NamedTuple):
    """The loss of some columns, and the columns of the output that it takes: these, and what a scale adds."""

    loss: Loss
    columns: tuple[int, ...]
    outputs: tuple[int, ...]


def joined(pieces: Sequence[Piece]) -> Loss:
    """Join the losses of some columns each to one of all columns."""
    pieces = [*_of_equal_width(pieces)]
    picked = [(loss, selector(own), selector(given)) for loss, own, given in pieces]
    order = torch.tensor([column for piece in pieces for column in piece.columns]).argsort()

    def entrywise(output: Tensor, target: Tensor) -> Tensor:
        entries = [loss.entrywise(output[:, given], target[:, own]) for loss, own, given in picked]  # type: ignore[misc]
        return torch.cat(entries, 1)[:, order]

    def sum_and_gradient(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
        totals = []
        for loss, own, given in picked:
            share = weight if weight is None or weight.shape[1] == 1 else weight[:, own]
            part = gradient[:, given]
            total = loss.sum_and_gradient(output[:, given], target[:, own], share, part)  # type: ignore[misc]
            totals.append(total)
            if not isinstance(given, slice):  # a slice is a view, written in place
                gradient[:, given] = part
        return torch.stack(totals).sum()

    return Loss(entrywise, sum_and_gradient, shift_invariant=False)


def _of_equal_width(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Make one piece of all variables of equally many categories: tables of many columns have many of them."""
    variables: dict[int, list[int]] = {}
    for piece in pieces:
        if piece.loss is CROSS_ENTROPY:
            variables.setdefault(len(piece.columns), []).extend(piece.columns)
        else:
            yield piece
    for n_categories, columns in variables.items():
        several = len(columns) > n_categories
        yield Piece(_of_variables(n_categories) if several else CROSS_ENTROPY, (*columns,), (*columns,))


def _of_variables(n_categories: int) -> Loss:
    """Return the cross-entropy of several variables side by side, each of so many columns."""

    def apart(x: Tensor) -> Tensor:
        return x.reshape(-1, n_categories)

    def entrywise(output: Tensor, target: Tensor) -> Tensor:
        return CROSS_ENTROPY.entrywise(apart(output), apart(target)).view(output.shape)  # type: ignore[misc]

    def sum_and_gradient(output: Tensor, target: Tensor, weight: Tensor | None, gradient: Tensor) -> Tensor:
        if weight is not None:
            weight = (
                apart(weight)
                if weight.shape[1] > 1
                else weight.repeat_interleave(output[0].numel() // n_categories, 0)
            )
        logits = apart(output)
        part = torch.empty_like(logits)
        total = CROSS_ENTROPY.sum_and_gradient(logits, apart(target), weight, part)  # type: ignore[misc]
        gradient.copy_(part.view(gradient.shape))
        return total

    return CROSS_ENTROPY._replace(entrywise=entrywise, sum_and_gradient=sum_and_gradient)
