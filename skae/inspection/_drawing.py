"""Rows of data drawn as images, bars or lines, in axes of the caller's or in a new figure."""

import math
from typing import Any, NamedTuple

import numpy as np

KINDS = ("auto", "image", "bar", "line")
_MOST_BARS = 40
_MOST_NAMES = 20
_CELLS = {"image": (0.85, 0.85), "bar": (1.7, 1.5), "line": (1.7, 1.2)}  # inches


def require_matplotlib(caller: str) -> None:
    """Raise an ImportError that names the remedy if matplotlib is missing."""
    try:
        import matplotlib.pyplot  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'{caller} draws with matplotlib, which is not installed. Install it with pip install "skae[plot]".'
        ) from error


class Style(NamedTuple):
    """How to draw rows: the parameters that `plot` methods share."""

    image_shape: tuple[int, ...] | None
    kind: str
    cmap: Any
    limits: tuple[float, float]
    feature_names: Any = None
    im_kw: dict | None = None
    bar_kw: dict | None = None
    line_kw: dict | None = None

    def resolved(self, values: np.ndarray) -> str:
        """Return the kind of drawing for one row or filter."""
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is none of {KINDS}.")
        image = self.image_shape is not None or values.ndim > 1
        if self.kind == "image" and not image:
            raise ValueError(
                f"kind='image', but nothing says how {values.size} values form an image. Pass "
                "image_shape=(height, width) to the display."
            )
        if self.kind != "auto":
            return self.kind
        return "image" if image else "bar" if values.size <= _MOST_BARS else "line"

    def shown_names(self, kind: str, n_values: int) -> list[str]:
        """Return what to write under bars or lines: no names if there are too many."""
        names = [] if self.feature_names is None or kind == "image" else [str(n) for n in self.feature_names]
        return names if len(names) == n_values <= _MOST_NAMES else []


def limits_of(*arrays: Any, symmetric: bool = False) -> tuple[float, float]:
    """Return the smallest and the largest of all values, or bounds at equal distance from zero."""
    present = [np.asarray(a) for a in arrays if a is not None]
    low, high = min(float(a.min()) for a in present), max(float(a.max()) for a in present)
    if symmetric:
        high = max(abs(low), abs(high))
        low = -high
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def square_shape(n: int) -> tuple[int, int]:
    """Return numbers of rows and columns for n panels, wider than high."""
    n_columns = math.ceil(math.sqrt(n))
    return math.ceil(n / n_columns), n_columns


def make_axes(
    ax, n_rows: int, n_columns: int, cell: tuple[float, float], n_panels: int | None = None, beside=(0.0, 0.0)
):
    """Return a figure and (n_panels,) axes in it, row by row.

    ``cell`` is the size of a panel and ``beside`` what is needed beside all of them, (width, height) in inches.
    ``ax`` is None for a new figure, one Axes to be divided (it is itself turned off) or as many as there are
    panels. Nothing global is changed, and no figure is shown or closed.
    """
    import matplotlib.pyplot as plt

    n_panels = n_rows * n_columns if n_panels is None else n_panels
    if ax is None:
        size = (max(2.0, n_columns * cell[0] + beside[0]), max(1.6, n_rows * cell[1] + beside[1]))
        figure = plt.figure(figsize=size, layout="constrained")
        cells = figure.add_gridspec(n_rows, n_columns)
    elif isinstance(ax, list | tuple | np.ndarray):
        given = np.asarray(ax, dtype=object).ravel()
        if len(given) != n_panels:
            raise ValueError(
                f"ax holds {len(given)} axes, but the display has {n_panels} panels. Pass as many, one Axes to be "
                "divided, or None for a new figure."
            )
        return given[0].figure, given
    else:
        if n_panels == 1:
            return ax.figure, np.array([ax], dtype=object)
        figure, spec = ax.figure, ax.get_subplotspec()
        ax.set_axis_off()
        if spec is None:  # placed by hand
            w, h = 1 / n_columns, 1 / n_rows
            boxes = [(c * w, 1 - (r + 1) * h, 0.9 * w, 0.9 * h) for r in range(n_rows) for c in range(n_columns)]
            return figure, np.array([ax.inset_axes(box) for box in boxes[:n_panels]], dtype=object)
        cells = spec.subgridspec(n_rows, n_columns)
    places = [cells[r, c] for r in range(n_rows) for c in range(n_columns)]
    return figure, np.array([figure.add_subplot(place) for place in places[:n_panels]], dtype=object)


def tile(values: np.ndarray, image_shape: tuple[int, ...] | None, limits: tuple[float, float]) -> np.ndarray:
    """Return a row or a filter as an image: (height, width), or (height, width, 3) with values in [0, 1].

    Three channels are red, green and blue; of other numbers, the channels stand side by side.
    """
    image = values if image_shape is None else values.reshape(image_shape)
    if image.ndim == 2:
        return image
    if image.shape[2] == 1:
        return image[..., 0]
    if image.shape[2] == 3:
        low, high = limits
        return np.clip((image - low) / (high - low), 0, 1)
    height, width, n_channels = image.shape
    n_rows, n_columns = square_shape(n_channels)
    sheet = np.full((n_rows * (height + 1) - 1, n_columns * (width + 1) - 1), np.nan)
    for channel in range(n_channels):
        top, left = (channel // n_columns) * (height + 1), (channel % n_columns) * (width + 1)
        sheet[top : top + height, left : left + width] = image[..., channel]
    return sheet


def draw(ax, values: np.ndarray, style: Style) -> None:
    """Draw one row or filter."""
    kind = style.resolved(values)
    if kind == "image":
        image = tile(values, style.image_shape, style.limits)
        low, high = style.limits
        options = {"cmap": style.cmap, "vmin": low, "vmax": high, "interpolation": "nearest"}
        ax.imshow(image, **{**options, **(style.im_kw or {})})
        frame(ax)
        return
    values = values.ravel()
    places = np.arange(len(values))
    if kind == "bar":
        ax.bar(places, values, **{"width": 0.8, "color": "C0", **(style.bar_kw or {})})
        ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
    else:
        ax.plot(places, values, **{"linewidth": 1.0, "color": "C0", **(style.line_kw or {})})
    low, high = (min(style.limits[0], 0), max(style.limits[1], 0)) if kind == "bar" else style.limits
    margin = 0.05 * (high - low)
    ax.set(xlim=(-0.7, len(values) - 0.3), ylim=(low - margin, high + margin))
    ax.tick_params(labelsize="x-small")
    if names := style.shown_names(kind, len(values)):
        ax.set_xticks(places, names, rotation=90)


def frame(ax) -> None:
    """Take ticks off an image, and leave a thin frame."""
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(color="0.75", linewidth=0.6)


def draw_grid(
    ax,
    rows: list[list[np.ndarray]],
    style: Style,
    *,
    row_labels=None,
    titles=None,
    n_panels=None,
    beside=(0.0, 0.0),
):
    """Draw a table of rows; return the figure and axes of shape (n_rows, n_columns).

    ``titles`` has the table's shape; ``n_panels``, if not None, is how many of its places are filled, and
    ``beside`` the room in inches that is needed beside it.
    """
    n_rows, n_columns = len(rows), len(rows[0])
    kind = style.resolved(rows[0][0])
    names = style.shown_names(kind, rows[0][0].size)
    room = 0.75 if row_labels is not None or kind != "image" else 0.0
    beside = (beside[0] + room, beside[1] + 0.07 * max(map(len, names), default=0))
    figure, axes = make_axes(ax, n_rows, n_columns, _cell(kind, rows[0][0], style, titles), n_panels, beside)
    flat = [values for row in rows for values in row]
    for place, (panel, values) in enumerate(zip(axes, flat, strict=False)):
        row, column = divmod(place, n_columns)
        draw(panel, values, style)
        if kind != "image":
            if column > 0:
                panel.tick_params(labelleft=False)
            if place + n_columns < len(axes):
                panel.tick_params(labelbottom=False)
        if titles is not None and titles[row][column]:
            panel.set_title(titles[row][column], fontsize="x-small", pad=2)
        if row_labels is not None and column == 0:
            upright = kind == "image"
            panel.set_ylabel(
                row_labels[row],
                rotation=0 if upright else 90,
                ha="right" if upright else "center",
                va="center" if upright else "bottom",
                fontsize="small",
            )
    if ax is None:
        figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03)
    return figure, axes


def _cell(kind: str, values: np.ndarray, style: Style, titles) -> tuple[float, float]:
    """Return the size of a panel in inches."""
    width, height = _CELLS[kind]
    if kind == "image":
        shape = tile(values, style.image_shape, style.limits).shape
        height = min(3.0, max(0.3, width * shape[0] / shape[1]))
    lines = max((text.count("\n") + 1 for row in titles for text in row if text), default=0) if titles else 0
    return width, height + 0.16 * lines
