"""How displays draw: a row of data as an image, bars or a line, and a panel of a figure for each row."""

import functools
import inspect
import math
import re
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ._panels import Block, Display, Layout, require_matplotlib
from ._texts import hint_of_images, short_names

_KINDS = ("auto", "image", "bar", "line")
_PANEL_SIZES = {"image": (0.85, 0.85), "bar": (1.7, 1.5), "line": (1.7, 1.2)}  # inches
MOST_BARS = 40
_MOST_NAMES, _LONGEST = 20, 30  # names below bars, and letters of these
_LETTER = 0.07  # inches: the width of a letter of a label
IN_DEVIATIONS = "standard deviations\nfrom the mean"
MISSING, GREY = "missing", "0.75"  # the name and the colour of rows without a label


class Style(NamedTuple):
    """How to draw rows: the parameters that `plot` methods share, and what `of` adds for the rows."""

    kind: str
    cmap: Any
    im_kw: dict | None
    bar_kw: dict | None
    line_kw: dict | None
    image_shape: tuple[int, ...] | None = None
    limits: tuple[float, float] = (0.0, 1.0)
    names: Sequence[str] = ()  # below bars and lines
    in_deviations: bool = False  # whether bars are deviations from means, in standard deviations

    def of(self, values: np.ndarray, image_shape, limits: tuple[float, float], feature_names=None) -> "Style":
        """Return the style for rows, or filters that have an image's shape, such as this one."""
        shape = check_image_shape(image_shape, values.size) if values.ndim == 1 else values.shape
        if self.kind not in _KINDS:
            raise ValueError(f"kind={self.kind!r} is none of {_KINDS}.")
        if self.kind == "image" and shape is None:
            raise ValueError(
                f"kind='image', but the shape of an image of {values.size} values is unknown. Pass "
                "image_shape=(height, width) to the display."
            )
        fitting = "bar" if values.size <= MOST_BARS else "line"
        kind = self.kind if self.kind != "auto" else fitting if shape is None else "image"
        named = kind != "image" and feature_names is not None and len(feature_names) == values.size <= _MOST_NAMES
        names = short_names(feature_names, _LONGEST) if named else []
        return self._replace(kind=kind, image_shape=shape, limits=limits, names=names)

    def scaled(self, rows: np.ndarray, scales) -> tuple["Style", np.ndarray]:
        """Return the style and rows as they are drawn: for bars, in the columns' means and deviations, if any."""
        if self.kind != "bar" or scales is None:
            return self, rows
        mean, deviation = scales
        rows = (rows - mean) / deviation
        return self._replace(limits=limits_of(rows), in_deviations=True), rows

    def panel_size(self, values: np.ndarray) -> tuple[float, float]:
        """Return the width and the height of a panel for one row, in inches."""
        width, height = _PANEL_SIZES[self.kind]
        if self.kind == "image":
            shape = self.tile(values).shape
            height = min(3.0, max(0.3, width * shape[0] / shape[1]))
        return width, height

    def show(self, ax, image: np.ndarray, **options) -> None:
        """Draw an image that `tile` or `mosaic` made."""
        low, high = self.limits
        options |= {"cmap": self.cmap, "vmin": low, "vmax": high, "interpolation": "nearest"}
        ax.imshow(image, **{**options, **(self.im_kw or {})})

    def tile(self, values: np.ndarray) -> np.ndarray:
        """Return one row or filter as an image: (height, width), or (height, width, 3) with values in [0, 1].

        Three channels are red, green and blue; any other number of channels is laid out side by side.
        """
        image = values.reshape(self.image_shape)
        if image.ndim == 2 or image.shape[2] == 1:
            return image.reshape(image.shape[:2])
        if image.shape[2] == 3:
            low, high = self.limits
            return np.clip((image - low) / (high - low), 0, 1)
        return mosaic(np.moveaxis(image, 2, 0), math.ceil(math.sqrt(image.shape[2])))[1:, 1:]

    def draw(self, ax, values: np.ndarray) -> None:
        """Draw one row or filter."""
        if self.kind == "image":
            self.show(ax, self.tile(values))
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set(color="0.75", linewidth=0.6)
            return
        values, (low, high) = values.ravel(), self.limits
        places = np.arange(len(values))
        if self.kind == "bar":
            ax.bar(places, values, **{"width": 0.8, "color": "C0", **(self.bar_kw or {})})
            ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
            low, high = min(low, 0), max(high, 0)
        else:
            ax.plot(places, values, **{"linewidth": 1.0, "color": "C0", **(self.line_kw or {})})
        margin = 0.05 * (high - low)
        ax.set(xlim=(-0.7, len(values) - 0.3), ylim=(low - margin, high + margin))
        ax.tick_params(labelsize="x-small")
        if self.names:
            ax.set_xticks(places, self.names, rotation=90)


class PanelDisplay(Display):
    """A display of rows of data, with a panel for each row."""

    _nothing: ClassVar = "nothing to draw"  # what is written where there is no row

    def __init__(self, image_shape, feature_names, scales=None) -> None:
        self.image_shape, self.feature_names, self.scales = image_shape, feature_names, scales

    def _draw(
        self, ax, values: np.ndarray, style: Style, *, limits=None, n_columns=None, titles=None, row_labels=None
    ):
        """Draw rows (n, n_features) or filters (n, height, width[, channels]), a panel for each.

        ``n_columns`` of None makes about as many rows of panels as columns. ``titles`` has one for each panel, all
        of equally many lines, and ``row_labels`` one for each row of panels; ``axes_`` has these rows then.
        """
        if len(values) == 0:
            return self._draw_nothing(ax, has_rows_of_panels=row_labels is not None)
        unnamed = style.kind == "auto" and values.ndim == 2 and self.image_shape is self.feature_names is None
        style = style.of(values[0], self.image_shape, limits or limits_of(values), self.feature_names)
        style, values = style.scaled(values, self.scales)
        n_columns = n_columns or math.ceil(math.sqrt(len(values)))
        n_rows, is_image = math.ceil(len(values) / n_columns), style.kind == "image"
        width, height = style.panel_size(values[0])
        if titles:
            height += 0.16 * (titles[0].count("\n") + 1)
        labels_width = 0.75 if row_labels or not is_image else 0.0
        if is_image:  # beside them, not turned
            lines = "\n".join(row_labels or []).split("\n")
            labels_width = max(labels_width, _LETTER * max(map(len, lines)))
        n_named = 1 if len(values) % n_columns == 0 else min(2, n_rows)  # rows of panels with none below
        names_height = n_named * _LETTER * max(map(len, style.names), default=0)
        size = n_columns * width + labels_width, n_rows * height + names_height
        layout = Layout(Block(len(values), n_columns))
        self.axes_ = self._make_axes(ax, layout, size)
        for place, (panel, row) in enumerate(zip(self.axes_, values, strict=True)):
            first = place % n_columns == 0
            style.draw(panel, row)
            if not is_image:
                panel.tick_params(labelleft=first, labelbottom=place + n_columns >= len(values))
            if unnamed and first and place + n_columns >= len(values):
                panel.set_xlabel(hint_of_images(row.size), fontsize="x-small")
            if row_labels and is_image:
                panel.set_anchor("W")  # beside its label, for which a layout engine makes room
            if titles:
                panel.set_title(titles[place], fontsize="x-small", pad=2)
            if first and (row_labels or style.in_deviations):
                beside = {"rotation": 0, "ha": "right", "va": "center"} if is_image else {}
                lines = [row_labels[place // n_columns]] if row_labels else []
                lines += [IN_DEVIATIONS] * style.in_deviations
                panel.set_ylabel("\n".join(lines), fontsize="small" if row_labels else "x-small", **beside)
        self._make_room(layout)
        if row_labels:
            self.axes_ = self.axes_.reshape(n_rows, n_columns)
        if ax is None:
            self.figure_.get_layout_engine().set(w_pad=0.03, h_pad=0.03)
        return self

    def _draw_nothing(self, ax, has_rows_of_panels: bool):
        """Draw an empty panel that says so."""
        first = ax if ax is None else np.ravel(ax)[0]
        self.axes_ = self._make_axes(first, Layout(Block(1, 1)), (3.0, 1.6))
        (panel,) = self.axes_
        panel.set(xticks=[], yticks=[])
        panel.text(0.5, 0.5, self._nothing, ha="center", va="center", transform=panel.transAxes)
        self.axes_ = self.axes_.reshape((1, 1) if has_rows_of_panels else 1)
        return self


def with_parameters_of(**functions):
    """Give a class method that makes a display the parameters of other functions, in its signature and docstring.

    With ``drawing=plot`` it gets the arguments for `plot` as a dictionary ``drawing``. Parameters that the method
    declares itself, and ``return_*``, are left out. Before it computes anything, its arguments are checked by the
    signature, and matplotlib is imported.
    """

    def decorate(method):
        own = inspect.signature(method)
        parameters = [p for p in own.parameters.values() if p.name not in functions]
        names, doc = {}, inspect.getdoc(method) or ""
        for key, function in functions.items():
            others = inspect.signature(function).parameters.values()
            new = [p for p in others if p.name not in {"self", *own.parameters} and "return_" not in p.name]
            parameters += [p.replace(kind=p.KEYWORD_ONLY) for p in new]
            names[key] = {p.name for p in new}
            described = inspect.getdoc(function) or ""
            entries = [re.search(rf"^{p.name}\b.* : .*(\n .*)*", described, re.MULTILINE) for p in new]
            placeholder = f"**{key} : dict\n    Parameters of `{function.__name__}`."
            doc = doc.replace(placeholder, "\n".join(entry[0] for entry in entries if entry))

        @functools.wraps(method)
        def checked(cls, *args, **kwargs):
            try:
                checked.__signature__.bind(cls, *args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{cls.__name__}.{method.__name__}(): {error}") from None
            require_matplotlib(f"{cls.__name__}.{method.__name__}")
            options = {key: {n: kwargs.pop(n) for n in names[key] & kwargs.keys()} for key in names}
            return method(cls, *args, **kwargs, **options)

        checked.__signature__, checked.__doc__ = own.replace(parameters=parameters), doc
        return checked

    return decorate


def mosaic(images: np.ndarray, n_columns: int) -> np.ndarray:
    """Lay out images (n, height, width) or (n, height, width, 3), each with a blank line above and to its left."""
    n_rows, (n, _, _, *channels) = math.ceil(len(images) / n_columns), images.shape
    padding = [(0, n_rows * n_columns - n), (1, 0), (1, 0), *[(0, 0)] * len(channels)]
    padded = np.pad(images.astype(float), padding, constant_values=1.0 if channels else np.nan)
    height, width = padded.shape[1:3]
    rows = padded.reshape(n_rows, n_columns, height, width, *channels).swapaxes(1, 2)
    return rows.reshape(n_rows * height, n_columns * width, *channels)


def are_numbers(array: np.ndarray) -> bool:
    """Tell whether an array can be drawn."""
    return array.dtype.kind in "biuf"


def limits_of(*arrays: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest of all values; if they are equal, bounds around them.

    Raises
    ------
    TypeError
        If a value is no number.
    """
    if not all(map(are_numbers, arrays)):
        raise TypeError(
            "The rows hold values that are not numbers, such as categories, which this display cannot draw. "
            "TableDisplay draws such tables, column by column."
        )
    low, high = min(float(a.min()) for a in arrays), max(float(a.max()) for a in arrays)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def check_image_shape(image_shape, n_features: int) -> tuple[int, ...] | None:
    """Check that rows of ``n_features`` are images of a shape that can be drawn.

    Raises
    ------
    ValueError
        If they are not.
    """
    if image_shape is None:
        return None
    shape = tuple(int(size) for size in image_shape)
    if len(shape) not in (2, 3) or math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={shape} is {math.prod(shape)} values, but the rows to draw have {n_features}. Pass "
            "(height, width) or (height, width, channels) whose product is the number of values."
        )
    return shape
