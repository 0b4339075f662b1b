"""One row of data, or one filter, drawn as an image, bars or a line."""

import math
from typing import Any, NamedTuple

import numpy as np

KINDS = ("auto", "image", "bar", "line")
_MOST_BARS = 40
_MOST_NAMES = 20


class Style(NamedTuple):
    """How to draw rows: the parameters that `plot` methods share, and what the display knows about the rows."""

    kind: str
    cmap: Any
    im_kw: dict | None
    bar_kw: dict | None
    line_kw: dict | None
    image_shape: tuple[int, ...] | None = None
    limits: tuple[float, float] = (0.0, 1.0)
    feature_names: Any = None

    def kind_of(self, values: np.ndarray) -> str:
        """Return how to draw one row or filter: 'image', 'bar' or 'line'."""
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is none of {KINDS}.")
        image = self.image_shape is not None or values.ndim > 1
        if self.kind == "image" and not image:
            raise ValueError(
                f"kind='image', but the shape of an image of {values.size} values is unknown. Pass "
                "image_shape=(height, width) to the display."
            )
        if self.kind != "auto":
            return self.kind
        return "image" if image else "bar" if values.size <= _MOST_BARS else "line"

    def names_of(self, values: np.ndarray) -> list[str]:
        """Return the tick labels below one row: none for images or too many features."""
        known = self.feature_names is not None and self.kind_of(values) != "image"
        names = [str(name) for name in self.feature_names] if known else []
        return names if len(names) == values.size <= _MOST_NAMES else []

    def show(self, ax, image: np.ndarray, **options) -> None:
        """Draw an image that `tile` or `mosaic` made."""
        low, high = self.limits
        options |= {"cmap": self.cmap, "vmin": low, "vmax": high, "interpolation": "nearest"}
        ax.imshow(image, **{**options, **(self.im_kw or {})})

    def tile(self, values: np.ndarray) -> np.ndarray:
        """Return one row or filter as an image: (height, width), or (height, width, 3) with values in [0, 1].

        Three channels are red, green and blue; any other number of channels is laid out side by side.
        """
        image = values if self.image_shape is None else values.reshape(self.image_shape)
        if image.ndim == 2 or image.shape[2] == 1:
            return image.reshape(image.shape[:2])
        if image.shape[2] == 3:
            low, high = self.limits
            return np.clip((image - low) / (high - low), 0, 1)
        return mosaic(np.moveaxis(image, 2, 0), math.ceil(math.sqrt(image.shape[2])))[1:, 1:]

    def draw(self, ax, values: np.ndarray) -> None:
        """Draw one row or filter."""
        kind = self.kind_of(values)
        if kind == "image":
            self.show(ax, self.tile(values))
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(color="0.75", linewidth=0.6)
            return
        values, (low, high) = values.ravel(), self.limits
        places = np.arange(len(values))
        if kind == "bar":
            ax.bar(places, values, **{"width": 0.8, "color": "C0", **(self.bar_kw or {})})
            ax.axhline(0, color="0.6", linewidth=0.8, zorder=0)
            low, high = min(low, 0), max(high, 0)
        else:
            ax.plot(places, values, **{"linewidth": 1.0, "color": "C0", **(self.line_kw or {})})
        margin = 0.05 * (high - low)
        ax.set(xlim=(-0.7, len(values) - 0.3), ylim=(low - margin, high + margin))
        ax.tick_params(labelsize="x-small")
        if names := self.names_of(values):
            ax.set_xticks(places, names, rotation=90)


def mosaic(images: np.ndarray, n_columns: int) -> np.ndarray:
    """Lay out images (n, height, width) or (n, height, width, 3), each with a blank line above and to its left."""
    n_rows, (n, _, _, *channels) = math.ceil(len(images) / n_columns), images.shape
    padding = [(0, n_rows * n_columns - n), (1, 0), (1, 0), *[(0, 0)] * len(channels)]
    padded = np.pad(images.astype(float), padding, constant_values=1.0 if channels else np.nan)
    height, width = padded.shape[1:3]
    rows = padded.reshape(n_rows, n_columns, height, width, *channels).swapaxes(1, 2)
    return rows.reshape(n_rows * height, n_columns * width, *channels)


def limits_of(*arrays: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest of all values; if they are equal, bounds around them."""
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
