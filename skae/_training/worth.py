"""What the codes of rows are worth: by how much they lower a loss that they cost something themselves."""

import torch
from torch import Tensor

from .._data.chunks import chunk_rows, spread
from .._support.devices import sum_dtype
from .._support.ranks import current
from .autograd import evaluating
from .fit import Fit

ENOUGH_ROWS = 2_000


@torch.no_grad()
def worth_of_codes(fit: Fit) -> float | None:
    """Measure how much lower the loss of training rows is with their codes than with one code for all, per row.

    The loss includes what the bottleneck adds: of the one code, what it adds where encoders return zeros. None
    without a bottleneck.
    """
    bottleneck, loss, served = fit.objective.bottleneck, fit.objective.loss, fit.served
    if bottleneck is None:
        return None
    fit.step.publish()
    encoder, decoder, ranks = fit.encoder, fit.decoder, current()
    some = spread(fit.setup.data.train_rows, ENOUGH_ROWS)

    def losses(code: Tensor, target: Tensor, weight: Tensor | None, is_one: bool) -> Tensor:
        z = bottleneck.forward_autograd(code, None)[: len(code)]  # the first pass is enough
        output = decoder.forward_centred(torch.zeros_like(z[:1]) if is_one else z)
        own = bottleneck.own_loss(torch.zeros((), dtype=torch.float32, device=code.device))
        restored = loss.per_row(output.expand(len(code), -1), target, weight)
        return restored if own is None else restored + own

    def saved(index: Tensor) -> Tensor:
        x = served.rows.batch(index)
        target = x if served.targets is None else served.targets.batch(index)
        weight = None if served.entry_weight is None else served.entry_weight.batch(index)
        code = encoder.forward_centred(x)
        gain = losses(torch.zeros_like(code), target, weight, True) - losses(code, target, weight, False)
        return ranks.counted(gain.sum(dtype=sum_dtype(gain.device)))

    size = min(200, chunk_rows(fit.inputs.n_features * fit.inputs.dtype.itemsize))
    with fit.step.modes(fit.setup.streams.noise), bottleneck.held_out(), evaluating(encoder, decoder):
        total = torch.stack([saved(index) for index in ranks.batches(some, size)]).sum()
    return fit.objective.loss_unit * float(ranks.sum(total)) / ranks.count(len(some))
