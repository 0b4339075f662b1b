"""How much of a correction to add: as much as entries say that were held out."""

from torch import Tensor


def share(correction: Tensor, residual: Tensor) -> float:
    """Return the multiple in [0, 1] of a correction that comes closest to the residuals, by least squares."""
    power = float(correction.square().sum())
    return min(1.0, max(0.0, float((correction * residual).sum()) / power)) if power > 0 else 0.0


def share_of_mean(share_of_one: float, corrections: Tensor) -> float:
    """Turn the share of single members' corrections into that of their mean.

    Averaging removes what is noise of the members. What it leaves deserves a larger share, by the ratio of the
    mean squares.

    Parameters
    ----------
    share_of_one : float
    corrections : Tensor of shape (n_members, n)
        Of the same entries, by each member.
    """
    power = float(corrections.mean(0).square().sum())
    ratio = float(corrections.square().mean(0).sum()) / power if power > 0 else 1.0
    return min(1.0, share_of_one * ratio)
