"""Where losses and likelihoods are defined; rows outside are an error in a fit, and impossible in a score."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import Tensor

from .._data.training_data import TrainingData
from .._networks.activations import selector
from .._support.texts import first_of
from .._support.warnings import warn

ROUNDING = 1e-6  # by which scaled data may miss the range that they were scaled to


class Support(NamedTuple):
    """Which values a loss takes in some of the columns.

    Attributes
    ----------
    parameter : str
        What asks for it, such as ``likelihood='poisson'``.
    remedy : str
        What to do about other values, in whole sentences.
    least, most : float
        The smallest and the largest value.
    columns : tuple of int or None
        None is all.
    one_hot : bool
        Whether the columns are one variable, whose rows hold a single 1 and 0 elsewhere.
    """

    parameter: str
    remedy: str
    least: float = -math.inf
    most: float = math.inf
    columns: tuple[int, ...] | None = None
    one_hot: bool = False

    def rule(self, name: str = "X") -> str:
        """Say what the values of rows called ``name`` must be."""
        columns = [*(self.columns or ())]
        named = f"columns [{first_of(columns)}]"
        of = "" if name == "X" else f" of {name}"
        if self.one_hot:
            return f"one-hot {named}{of}, a single 1 in each row and 0 elsewhere"
        what = named + of if columns else name
        bounds = f"of at least {self.least:g}" if self.most == math.inf else f"in [{self.least:g}, {self.most:g}]"
        return f"{what} {bounds}"

    def pick(self, x: Tensor) -> Tensor:
        """Return its columns of rows."""
        return x if self.columns is None else x[:, selector(self.columns)]

    def contains(self, lowest: float, highest: float) -> bool:
        """Tell whether values between two others lie in the range."""
        return lowest >= self.least - ROUNDING and highest <= self.most + ROUNDING

    def outside(self, values: Tensor) -> Tensor:
        """Tell which rows of its columns, (n, k), are outside: (n,), bool. What is missing, NaN, is not."""
        if self.one_hot:
            return ~values.isnan().all(1) & ~(
                _is_bit(values).all(1) & ((values.sum(1) - 1).abs() <= values.shape[1] * ROUNDING)
            )
        return ((values < self.least - ROUNDING) | (values > self.most + ROUNDING)).any(1)


def _is_bit(values: Tensor) -> Tensor:
    return (values.abs() <= ROUNDING) | ((values - 1).abs() <= ROUNDING)


# Before a fit ----------------------------------------------------------------------------------------------


def check_support(supports: Iterable[Support], data: TrainingData, name: str = "X") -> None:
    """Check that targets lie where a loss is defined.

    Raises
    ------
    ValueError
        With the values' range, or the first wrong row, and what to do, if they do not.
    """
    ranges, one_hot = [s for s in supports if not s.one_hot], [s for s in supports if s.one_hot]
    if len(ranges) == 1 and ranges[0].columns is None:
        _check_range(ranges[0], name, *data.target_range())
    elif ranges:
        _, lowest, highest, _ = data.statistics()
        for support in ranges:
            columns = [*(support.columns or range(len(lowest)))]
            _check_range(support, name, float(lowest[columns].min()), float(highest[columns].max()))
    if one_hot:
        for rows, x in data.target_chunks():
            for support in one_hot:
                _check_one_hot(support, x, rows.start, name)


def _check_range(support: Support, name: str, lowest: float, highest: float) -> None:
    if not support.contains(lowest, highest):
        raise ValueError(
            f"{support.parameter} needs {support.rule(name)}, but its minimum is {lowest:g} and its maximum "
            f"{highest:g}. {support.remedy}"
        )


def _check_one_hot(support: Support, x: Tensor, first_row: int, name: str) -> None:
    """Check that the columns of a categorical variable are one-hot.

    Parameters
    ----------
    support : Support
    x : Tensor of shape (n, d)
    first_row : int
        Number of the first row, for the message.
    name : str
        What the rows are called in it.

    Raises
    ------
    ValueError
        With the column, the row and the value, and what to do, if they are not.
    """
    values = support.pick(x)
    wrong = support.outside(values)
    if not wrong.any():
        return
    row = int(wrong.nonzero()[0, 0])
    columns: Sequence[int] = support.columns or range(x.shape[1])
    if not _is_bit(values[row]).all():
        place = int((~_is_bit(values[row])).nonzero()[0, 0])
        found = f"column {columns[place]} holds {float(values[row, place]):g}"
    else:
        ones = [column for column, value in zip(columns, values[row].tolist(), strict=True) if value > 0.5]
        found = f"columns {ones} all hold 1" if ones else "all of them hold 0"
    raise ValueError(
        f"{support.parameter} needs {support.rule(name)}, but in row {first_row + row} {found}. {support.remedy}"
    )


# On fitted networks ----------------------------------------------------------------------------------------


class SupportWatch:
    """Watches the rows that a fitted model is given, and warns of those that it cannot have been fitted to.

    Parameters
    ----------
    supports : sequence of Support
    impossible : float or None
        What to put in the place of their results; None leaves these.
    """

    def __init__(self, supports: Sequence[Support], impossible: float | None = None) -> None:
        self.supports, self.impossible = supports, impossible
        self._n_rows, self._n_outside = 0, [0] * len(supports)
        self._extremes = [(math.inf, -math.inf)] * len(supports)

    def see(self, x: Tensor, out: Tensor | None = None) -> None:
        """Note rows, (n, d), and mark the results ``out``, (n, ...), of those outside."""
        self._n_rows += len(x)
        for number, support in enumerate(self.supports):
            values = support.pick(x)
            lowest, highest = (float(extreme) for extreme in values.aminmax())
            if lowest != lowest:  # some are missing
                seen = values[~values.isnan()]
                if not len(seen):
                    continue
                lowest, highest = float(seen.min()), float(seen.max())
            before = self._extremes[number]
            self._extremes[number] = min(before[0], lowest), max(before[1], highest)
            if support.contains(lowest, highest) and not support.one_hot:
                continue
            outside = support.outside(values)
            self._n_outside[number] += int(outside.sum())
            if out is not None and self.impossible is not None:
                out[outside.to(out.device)] = self.impossible

    def warn(self, name: str = "X") -> None:
        """Warn once, of all that was outside; ``name`` is what the rows are called."""
        found = [
            f"{support.parameter} needs {support.rule(name)}, but the minimum is {extremes[0]:g} and the maximum "
            f"{extremes[1]:g}; {n} of {self._n_rows} rows are concerned. {support.remedy}"
            for support, extremes, n in zip(self.supports, self._extremes, self._n_outside, strict=True)
            if n
        ]
        if found:
            score = "" if self.impossible is None else " and which score -inf"
            warn(f"{name} has rows that the model cannot have been fitted to{score}: " + " ".join(found))
