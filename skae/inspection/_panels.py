"""What displays share: panels in a figure, and drawing parameters that are declared once, in `plot`."""

import functools
import inspect
import math
import re

import numpy as np

from ._drawing import Style, check_image_shape, limits_of

_PANEL_SIZES = {"image": (0.85, 0.85), "bar": (1.7, 1.5), "line": (1.7, 1.2)}  # inches


class PanelDisplay:
    """A display of rows of data, with a panel for each row."""

    def __init__(self, image_shape, feature_names) -> None:
        self.image_shape = image_shape
        self.feature_names = feature_names

    def _draw(
        self, ax, values: np.ndarray, style: Style, *, limits=None, n_columns=None, titles=None, row_labels=None
    ):
        """Draw rows (n, n_features) or filters (n, height, width[, channels]), a panel for each.

        ``n_columns`` of None makes about as many rows of panels as columns. ``titles`` has one for each panel, all
        of equally many lines, and ``row_labels`` one for each row of panels.
        """
        require_matplotlib(f"{type(self).__name__}.plot")
        shape = check_image_shape(self.image_shape, values.shape[1]) if values.ndim == 2 else None
        limits = limits_of(values) if limits is None else limits
        style = style._replace(image_shape=shape, limits=limits, feature_names=self.feature_names)
        n_columns = math.ceil(math.sqrt(len(values))) if n_columns is None else n_columns
        n_rows, kind = math.ceil(len(values) / n_columns), style.kind_of(values[0])
        width, height = _panel_size(style, values[0], titles)
        labels_width = 0.75 if row_labels is not None or kind != "image" else 0.0
        names_height = 0.07 * max(map(len, style.names_of(values[0])), default=0)
        size = n_columns * width + labels_width, n_rows * height + names_height
        self.figure_, self.axes_ = make_axes(ax, n_rows, n_columns, size, len(values))
        for place, (panel, row) in enumerate(zip(self.axes_, values, strict=True)):
            first = place % n_columns == 0
            style.draw(panel, row)
            if kind != "image":
                panel.tick_params(labelleft=first, labelbottom=place + n_columns >= len(values))
            if titles:
                panel.set_title(titles[place], fontsize="x-small", pad=2)
            if row_labels is not None and first:
                beside = {"rotation": 0, "ha": "right", "va": "center"} if kind == "image" else {}
                panel.set_ylabel(row_labels[place // n_columns], fontsize="small", **beside)
        if ax is None:
            self.figure_.get_layout_engine().set(w_pad=0.03, h_pad=0.03)
        return self


def _panel_size(style: Style, values: np.ndarray, titles: list[str] | None) -> tuple[float, float]:
    """Return the width and the height of a panel in inches."""
    kind = style.kind_of(values)
    width, height = _PANEL_SIZES[kind]
    if kind == "image":
        shape = style.tile(values).shape
        height = min(3.0, max(0.3, width * shape[0] / shape[1]))
    return width, height + (0.16 * (titles[0].count("\n") + 1) if titles else 0.0)


def make_axes(ax, n_rows: int, n_columns: int, size: tuple[float, float], n_panels: int | None = None):
    """Return a figure and an array of ``n_panels`` axes in it, row by row.

    ``ax`` is None for a new figure of ``size`` (width, height) in inches, one Axes to be subdivided, which is
    turned off, or one for each panel. Nothing global is changed, and no figure is shown or closed.
    """
    import matplotlib.pyplot as plt

    places = [(r, c) for r in range(n_rows) for c in range(n_columns)][:n_panels]
    if isinstance(ax, list | tuple | np.ndarray):
        given = np.asarray(ax, dtype=object).ravel()
        if len(given) != len(places):
            raise ValueError(
                f"ax holds {len(given)} axes, but the display has {len(places)} panels. Pass one for each, or one "
                "to be subdivided; None is for a new figure."
            )
        return given[0].figure, given
    if ax is None:
        figure = plt.figure(figsize=(max(2.0, size[0]), max(1.6, size[1])), layout="constrained")
        cells = figure.add_gridspec(n_rows, n_columns)
    elif len(places) == 1:
        return ax.figure, np.array([ax], dtype=object)
    else:
        figure, spec = ax.figure, ax.get_subplotspec()
        ax.set_axis_off()
        if spec is None:  # placed by hand
            w, h = 1 / n_columns, 1 / n_rows
            boxes = [(c * w, 1 - (r + 1) * h, 0.9 * w, 0.9 * h) for r, c in places]
            return figure, np.array([ax.inset_axes(box) for box in boxes], dtype=object)
        cells = spec.subgridspec(n_rows, n_columns)
    return figure, np.array([figure.add_subplot(cells[place]) for place in places], dtype=object)


def require_matplotlib(caller: str) -> None:
    """Raise an ImportError that says what to install if matplotlib is missing."""
    try:
        import matplotlib.pyplot  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'{caller} draws with matplotlib, which is not installed. Install it with pip install "skae[plot]".'
        ) from error


def with_parameters_of(plot):
    """Give a class method the parameters of `plot` for its ``**drawing``, in its signature and its docstring.

    Before the method computes anything, its arguments are checked by the signature, and matplotlib is imported.
    """
    drawing = [p.replace(kind=p.KEYWORD_ONLY) for p in [*inspect.signature(plot).parameters.values()][1:]]
    section = re.search(r"-\n(.*?)\n\n", inspect.getdoc(plot) or "", re.DOTALL)

    def decorate(method):
        own = inspect.signature(method)
        signature = own.replace(parameters=[*[*own.parameters.values()][:-1], *drawing])

        @functools.wraps(method)
        def checked(cls, *args, **kwargs):
            signature.bind(cls, *args, **kwargs)
            require_matplotlib(f"{cls.__name__}.{method.__name__}")
            return method(cls, *args, **kwargs)

        checked.__signature__ = signature
        if section is not None:
            checked.__doc__ = inspect.getdoc(method).replace(
                "**drawing : dict\n    Parameters of `plot`.", section[1]
            )
        return checked

    return decorate
