"""Rows that seem not to have passed the scaler that those of the first fit had."""

import torch

from .._data.chunks import spread
from .._data.rows import Rows
from .setup import Setup

# Of rows like the first fit's, at most a ninth are three times its unit from the centre (Markov's inequality).
_WIDER, _SHARE, _ROWS_TO_MEASURE = 3, 0.2, 400
_FEW_ROWS = 50  # of which half have to be; so few to train on say too little of how far rows are


def rows_to_go_on_with(setup: Setup) -> list[str]:
    """Return what to say of rows that the networks go on with where they are far wider than those before."""
    if not setup.architecture.scaled or not setup.seen.follows or setup.seen.few_before:
        return []
    shift = setup.seen.shift  # from the centre before these rows
    found = _far(setup.data.inputs(), None if shift is None else shift[0].cpu() / setup.data.unit)
    if found is None:
        return []
    share, furthest = found
    return [
        f"{share:.0%} of these rows are more than {_WIDER} times as far from the centre as those of the first fit "
        f"were, up to {furthest:.2g} times. If a scaler comes before the model, new rows "
        "have to pass it too: with a pipeline, give its last step pipeline[:-1].transform(X). If they have, and "
        "rows before these had not, go back to a saved model. If they are of another kind than those, mix some of "
        "those in, or fit anew on both, and watch the score of either."
    ]


def rows_to_watch(setup: Setup) -> list[str]:
    """Return what to say of rows to watch, ``X_val``, where they are far wider than those to train on."""
    watched, measured = setup.data.to_watch(), setup.architecture.scaled and setup.data.n_train >= _FEW_ROWS
    found = _far(watched.inputs()) if watched is not None and measured else None
    if found is None:
        return []
    share, furthest = found
    return [
        f"{share:.0%} of the rows of X_val are more than {_WIDER} times as far from the centre as those of X are, "
        f"up to {furthest:.2g} times. If a scaler comes before the model, X_val has to pass it too: give "
        "scaler.transform(X_val) or, in a pipeline with metadata routing, set transform_input=['X_val']. If it "
        "has, the epoch that is best for such rows says little of rows like X: take X_val from where X is from."
    ]


def _far(rows: Rows, shift: torch.Tensor | None = None) -> tuple[float, float] | None:
    """Return the share of rows far from the centre, and how far they go; None if there are no more than usual."""
    some = rows.batch(spread(torch.arange(rows.n_rows), _ROWS_TO_MEASURE).to(rows.device)).cpu().double()
    if shift is not None:
        some += shift
    away = some.square().nanmean(1).sqrt()
    share = float((away > _WIDER).double().mean())
    enough = share > (_SHARE if len(away) >= _FEW_ROWS else 0.5)
    return (share, float(away.nan_to_num().max())) if enough else None
