"""How strongly the columns of a table go together, whatever they hold."""

import numpy as np
from scipy.stats import rankdata

from .frames import NUMBER, Column


def associations(columns: list[Column]) -> np.ndarray:
    """Return the strength of the association of each two columns, in [0, 1], (n_columns, n_columns).

    Of two columns of numbers, it is the magnitude of the rank correlation; of a number and a category, the
    correlation ratio of the number's ranks; of two categories, Cramer's V. Rows with a missing cell in either are
    left out; NaN where a column does not vary.
    """
    n = len(columns)
    result = np.empty((n, n))
    for i, first in enumerate(columns):
        for j, second in enumerate(columns[: i + 1]):
            there = ~(first.missing | second.missing)
            result[i, j] = result[j, i] = _association(_taken(first, there), _taken(second, there))
    return result


def _taken(column: Column, there: np.ndarray) -> tuple[bool, np.ndarray]:
    """Return whether a column holds numbers, and its ranks, or the numbers of its categories."""
    values = column.values[there]
    if column.kind == NUMBER:
        return True, rankdata(values)
    numbers: dict = {}
    return False, np.array([numbers.setdefault(value, len(numbers)) for value in values.tolist()], dtype=int)


def _association(first: tuple[bool, np.ndarray], second: tuple[bool, np.ndarray]) -> float:
    (is_number, x), (is_other_number, y) = first, second
    if len(x) == 0 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    if is_number and is_other_number:
        return float(abs(np.corrcoef(x, y)[0, 1]))
    if is_number or is_other_number:
        ranks, groups = (x, y) if is_number else (y, x)
        counts = np.bincount(groups)
        means = np.bincount(groups, ranks) / counts
        return float(np.sqrt(np.sum(counts * (means - ranks.mean()) ** 2) / np.sum((ranks - ranks.mean()) ** 2)))
    table = np.zeros((x.max() + 1, y.max() + 1))
    np.add.at(table, (x, y), 1)
    expected = table.sum(1, keepdims=True) * table.sum(0) / len(x)
    return float(np.sqrt(np.sum((table - expected) ** 2 / expected) / len(x) / (min(table.shape) - 1)))
