"""Panels of a figure: where a display puts them, in a figure of its own or in Axes of the user's."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

_GAP = 0.08  # inches between a panel's labels and the next panel
_LEFT, _BELOW = 0.45, 0.2  # inches that labels may take outside of subdivided Axes
_LEAST = 0.4  # of the room: what panels keep, however large their labels are


class Block(NamedTuple):
    """Rows of panels, one below the other; labels of other blocks take nothing from their width.

    Attributes
    ----------
    n_panels : int
        Row by row; the last row may have fewer.
    n_columns : int
    height : float
        Of a row, relative to those of other blocks.
    """

    n_panels: int
    n_columns: int
    height: float = 1.0

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return -(-self.n_panels // self.n_columns)

    def places(self) -> list[tuple[int, int]]:
        """Return row and column of each panel."""
        return [*np.ndindex(self.n_rows, self.n_columns)][: self.n_panels]


class Layout:
    """Blocks of panels, from above; those without panels are left out."""

    def __init__(self, *blocks: Block) -> None:
        self.blocks = [block for block in blocks if block.n_panels]
        self.n_panels = sum(block.n_panels for block in self.blocks)
        self.heights = [block.height for block in self.blocks for _ in range(block.n_rows)]

    def cells(self, divide: Callable) -> list[Any]:
        """Return a place in a grid for each panel; ``divide`` makes a grid of so many rows and columns."""
        if len(self.blocks) == 1:
            grids = [divide(self.blocks[0].n_rows, self.blocks[0].n_columns)]
        else:
            ratios = [block.n_rows * block.height for block in self.blocks]
            column = divide(len(self.blocks), 1, height_ratios=ratios)
            grids = [column[i, 0].subgridspec(b.n_rows, b.n_columns) for i, b in enumerate(self.blocks)]
        return [grid[place] for grid, block in zip(grids, self.blocks, strict=True) for place in block.places()]

    def boxes(self) -> list[tuple[float, float, float, float]]:
        """Return left, bottom, width and height of each panel, in a square of length 1."""
        shares = np.array(self.heights) / np.sum(self.heights)
        bottoms, boxes, above = 1 - np.cumsum(shares), [], 0
        for block in self.blocks:
            w = 1 / block.n_columns
            boxes += [(j * w, bottoms[above + i], 0.9 * w, 0.9 * shares[above + i]) for i, j in block.places()]
            above += block.n_rows
        return boxes


class Display:
    """A display, which draws in the axes of a figure."""

    axes_: np.ndarray
    _box: Any = None  # of subdivided Axes in a figure without a layout engine, where nothing else makes room

    def _make_axes(self, ax, layout: Layout, size: tuple[float, float]) -> np.ndarray:
        """Set ``figure_`` and return an array of axes in it, row by row.

        ``ax`` is None for a new figure of ``size`` (width, height) in inches, one Axes to be subdivided, which is
        turned off, or one for each panel. Nothing global is changed, and no figure is shown or closed.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        from matplotlib import pyplot as plt

        n_panels, axes, self._box = layout.n_panels, [*np.ravel(ax)], None
        if isinstance(ax, list | tuple | np.ndarray) and len(axes) != n_panels:
            raise ValueError(
                f"ax holds {len(axes)} axes, but the display has {n_panels} panels. Pass one for each, or one "
                "to be subdivided; None is for a new figure."
            )
        if ax is None:
            figure = plt.figure(figsize=np.maximum(size, (2.0, 1.6)), layout="constrained")
            axes = [figure.add_subplot(cell) for cell in layout.cells(figure.add_gridspec)]
        elif len(axes) < n_panels:
            ax.set_axis_off()
            if spec := ax.get_subplotspec():
                axes = [ax.figure.add_subplot(cell) for cell in layout.cells(spec.subgridspec)]
                self._box = ax.get_position() if ax.figure.get_layout_engine() is None else None
            else:  # placed by hand
                axes = [ax.inset_axes(box) for box in layout.boxes()]
        self.figure_ = axes[0].figure
        return np.array(axes, dtype=object)

    def _raise_first(self, layout: Layout, height: float) -> None:
        """Give the first block of a new figure, and the figure, so many inches more."""
        self.figure_.set_figheight(self.figure_.get_figheight() + height)
        first, *others = (block.n_rows * block.height for block in layout.blocks)
        if others:
            grid = self.axes_[0].get_subplotspec().get_topmost_subplotspec().get_gridspec()
            grid.set_height_ratios((first + height, *others))

    def _make_room(self, layout: Layout) -> None:
        """Put panels where their labels do not overlap, in subdivided Axes of a figure without a layout engine."""
        if self._box is not None:
            for _ in range(2):  # other sizes have other tick labels
                _arrange(self.axes_.ravel(), layout, self._box)


def require_matplotlib(caller: str) -> None:
    """Raise an ImportError that says what to install if matplotlib is missing."""
    try:
        import matplotlib.pyplot  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'{caller} draws with matplotlib, which is not installed. Install it with pip install "skae[plot]".'
        ) from error


def move(ax, left: float, bottom: float, width: float, height: float) -> None:
    """Move a panel; what is saved with ``bbox_inches="tight"``, as in notebooks, still has its labels."""
    ax.set_position((left, bottom, width, height))
    ax.set_in_layout(True)


def _arrange(axes: np.ndarray, layout: Layout, box: Any) -> None:
    """Put panels and their labels into a box of the figure, and a little beyond."""
    figure, remaining = axes[0].figure, [*axes]
    x_inch, y_inch = figure.dpi / figure.bbox.width, figure.dpi / figure.bbox.height  # as fractions of the figure
    places: list[tuple[Any, int, int, int]] = []  # panel, row, block, column
    sides, below, above = [], [], []  # type: ignore[var-annotated]
    for block in layout.blocks:
        margins = np.zeros((4, block.n_rows, block.n_columns))  # left, right, below, above
        for place in block.places():
            ax = remaining.pop(0)
            margins[:, *place] = _margins(ax)
            places.append((ax, len(below) + place[0], len(sides), place[1]))
        sides.append(margins[:2].max(axis=1))
        below += [*margins[2].max(axis=1)]
        above += [*margins[3].max(axis=1)]
    x0 = box.x0 - min(max(left[0] for left, _ in sides), _LEFT * x_inch)
    y0 = box.y0 - min(below[-1], _BELOW * y_inch)
    upwards = _divide(y0, box.y1, below[::-1], above[::-1], _GAP * y_inch, layout.heights[::-1])
    bottoms, heights = (part[::-1] for part in upwards)
    across = [_divide(x0, box.x1, left, right, _GAP * x_inch, np.ones(len(left))) for left, right in sides]
    for ax, row, number, column in places:
        starts, widths = across[number]
        move(ax, starts[column], bottoms[row], widths[column], heights[row])


def _margins(ax) -> tuple[float, float, float, float]:
    """Return how far labels reach beyond a panel: left, right, below and above, as fractions of the figure."""
    fractions = ax.figure.transSubfigure.inverted()
    outer = fractions.transform_bbox(ax.get_tightbbox())
    inner = fractions.transform_bbox(ax.get_window_extent())
    return inner.x0 - outer.x0, outer.x1 - inner.x1, inner.y0 - outer.y0, outer.y1 - inner.y1


def _divide(start: float, end: float, before, after, gap: float, shares) -> tuple[np.ndarray, np.ndarray]:
    """Return where parts of a length begin, between margins, and how long they are; to the right, or upwards."""
    before, after, shares = np.asarray(before), np.asarray(after), np.asarray(shares, float)
    margins = before.sum() + after.sum() + gap * (len(shares) - 1)
    room = max(end - start - margins, _LEAST * (end - start))
    scale = (end - start - room) / margins if margins > 0 else 1.0
    lengths = room * shares / shares.sum()
    starts = start + scale * np.cumsum(before)
    starts[1:] += np.cumsum(lengths + scale * (after + gap))[:-1]
    return starts, lengths
