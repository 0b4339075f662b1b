"""Legends above a panel, and legends and colour bars beside it, where they cover nothing that is drawn."""

import math

import numpy as np

from ._drawing import Style
from ._groups import palette_of
from ._panels import move

_LINE, _HANDLE, _LETTER = 0.16, 0.35, 0.062  # inches: an entry's height, what is beside its letters, a letter
_LINE_BESIDE, _HIGHER = 0.175, 1.2  # inches; of the panel's height
_USUAL = 1.0  # inches: the width of a legend that figures have room for


def legend_above(ax, title: str = "") -> float:
    """Put a legend of what has labels above a panel, with a title; the title alone if nothing has.

    Returns
    -------
    height : float
        What it takes above the panel, in inches.
    """
    handles, names = ax.get_legend_handles_labels()
    if not names:
        ax.set_title(title, fontsize="small")
        return 0.0
    n_columns = _n_columns(names, ax.bbox.width / ax.figure.dpi)
    ax.legend(
        handles,
        names,
        title=title,
        ncols=n_columns,
        loc="lower right",  # to the left there is room, beside the labels of the axis
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        fontsize="small",
        title_fontsize="small",
        alignment="left",
        borderpad=0.2,
        borderaxespad=0.0,
        labelspacing=0.3,
        handlelength=1.5,
        handletextpad=0.5,
        columnspacing=1.0,
    )
    return _LINE * (-(-len(names) // n_columns) + bool(title))


def legend_beside(ax, title: str, n_entries: int, **options) -> None:
    """Put a legend to the right of a panel, in as many columns as keep it from being much higher than that.

    Without a layout engine, the panel gives it the room.
    """
    height = _HIGHER * ax.bbox.height / ax.figure.dpi
    ax.legend(
        title=title,
        ncols=math.ceil(_LINE_BESIDE * (n_entries + bool(title)) / height),
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        fontsize="small",
        title_fontsize="small",
        columnspacing=1.0,
        labelspacing=0.4,
        **options,
    )
    _give_room(ax, ax.get_legend().get_window_extent().x1)


def with_named_bars(ax, style: Style) -> Style:
    """Give each bar a colour, and a panel a legend of these: its cells are too small for names."""
    from matplotlib import pyplot as plt

    if style.kind != "bar" or not style.names or "color" in (style.bar_kw or {}):
        return style
    colors = palette_of(len(style.names))
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in colors]
    legend_beside(ax, "", len(handles), handles=handles, labels=style.names)
    return style._replace(bar_kw={"color": colors, **(style.bar_kw or {})})


def widen_for_legends(figure) -> None:
    """Give a figure room for legends beside its panels, where these are wide."""
    legends = [panel.get_legend() for panel in figure.axes if panel.get_legend()]
    wide = [max(0.0, legend.get_window_extent().width / figure.dpi - _USUAL) for legend in legends]
    figure.set_figwidth(figure.get_figwidth() + sum(wide))


def colour_bar_beside(ax, colours, label: str) -> None:
    """Put a colour bar to the right of a panel, at the same place whatever is in the panels above and below.

    Without a layout engine, the panel gives it the room, with its numbers and its label.
    """
    bar = ax.figure.colorbar(colours, cax=ax.inset_axes((1.03, 0.0, 0.05, 1.0)), label=label)
    _give_room(ax, bar.ax.get_tightbbox().x1)


def _give_room(ax, end: float) -> None:
    """Shrink a panel by what is to the right of it and ends there, where no layout engine does."""
    if ax.figure.get_layout_engine() is None:
        box, beyond = ax.get_position(), (end - ax.get_window_extent().x1) / ax.figure.bbox.width
        move(ax, box.x0, box.y0, box.width - beyond, box.height)


def _n_columns(names: list[str], width: float) -> int:
    """Return how many columns of entries, one below the other, are as wide as this together, in inches."""
    for n_columns in range(len(names), 1, -1):
        longest = [max(map(len, column)) for column in np.array_split(names, n_columns)]
        if sum(_HANDLE + _LETTER * letters for letters in longest) <= width:
            return n_columns
    return 1
