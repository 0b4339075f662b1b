"""The weights of a layer, as the features that its units detect."""

import contextlib
import math

import numpy as np
import torch
from torch import Tensor, nn

from .._networks.convolutions import Tied
from ._drawing import PanelDisplay, Style, limits_of, with_parameters_of
from ._model import Model, find_layer
from ._texts import DEAD
from ._units import choose_units

_Layer = tuple[nn.Module, int | str | None, bool]  # the first parameters of `_filters`
_SHARE, _FAR = 0.999, 1.5  # of magnitudes that have a colour of their own; how far the largest is beyond them


class FeatureDisplay(PanelDisplay):
    """The weights of a layer, unit by unit; as images if they belong to pixels.

    Weights of a dense layer next to the data have the shape of a row, those of a convolutional layer the shape
    of its kernel; those of deeper dense layers can be ``combined`` with the layers in between [1]_. All units
    share one scale, symmetric about zero, so that weights can be compared. A few extreme weights would leave all
    others faint: where the largest is more than 1.5 times the magnitude that 99.9% of them have at most, the
    colours of images end there. The colour bar has arrows then, and says how far weights go. Other ends are set
    by ``im_kw={"vmin": -0.2, "vmax": 0.2}``. Use `from_estimator` to make one.

    Parameters
    ----------
    filters : ndarray of shape (n_units, width), (n_units, height, width) or (n_units, height, width, channels)
        Weights of each unit. Three channels are drawn as red, green and blue, any other number side by side.
    units : sequence of int
        Numbers of the units.
    image_shape : tuple of int or None, default=None
        (height, width) or (height, width, channels) if rows are images, flattened in C order. None draws bars or
        lines.
    feature_names : array-like of str or None, default=None
        Names of the features, written below bars and lines of at most twenty features.
    dead_units : sequence of int, default=()
        Those whose titles are to say that they are dead.
    title : str or None, default=None
        Written above the panels of a new figure. `from_estimator` gives the network and the layer that has these
        units.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the panels.
    axes_ : ndarray of Axes of shape (n_units,)
        A panel for each unit.
    colorbar_ : matplotlib Colorbar or None
        The scale of images with one channel.

    See Also
    --------
    PreferredInputDisplay : The inputs that maximize activations, for layers whose weights are hard to read.

    References
    ----------
    .. [1] D. Erhan, Y. Bengio, A. Courville and P. Vincent (2009). Visualizing higher-layer features of a deep
       network. Technical report 1341, Universite de Montreal.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoencoder
    >>> from skae.inspection import FeatureDisplay
    >>> X = load_digits().data
    >>> model = DenoisingAutoencoder(hidden_layer_sizes=(30,), max_iter=20, random_state=0).fit(X)
    >>> display = FeatureDisplay.from_estimator(model, image_shape=(8, 8))
    >>> display.filters.shape
    (25, 64)
    """

    _nothing = "no unit to draw"

    def __init__(self, filters, units, *, image_shape=None, feature_names=None, dead_units=(), title=None):
        super().__init__(image_shape, feature_names)
        self.filters, self.units, self.dead_units, self.title = filters, units, dead_units, title

    def plot(self, ax=None, *, colorbar=True, kind="auto", cmap="RdBu_r", im_kw=None, bar_kw=None, line_kw=None):
        """Draw the weights.

        Parameters
        ----------
        ax : Axes, array-like of Axes or None, default=None
            Where to draw: one Axes for each panel, or a single one, which is turned off and subdivided. None
            makes a new figure. In one of yours, ``layout="constrained"`` makes room for labels.
        colorbar : bool, default=True
            Whether to draw a colorbar beside images with one channel. Without, the scale has all weights.
        kind : {'auto', 'image', 'bar', 'line'}, default='auto'
            How to draw a row. 'auto' is an image if there is an image shape, else bars for up to 40 features and
            a line for more.
        cmap : str or Colormap, default='RdBu_r'
            Colours of images with one channel.
        im_kw, bar_kw, line_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.imshow`, :meth:`~matplotlib.axes.Axes.bar` and
            :meth:`~matplotlib.axes.Axes.plot`, which override the defaults.

        Returns
        -------
        display : FeatureDisplay
            The display itself.
        """
        style = Style(kind, cmap, im_kw, bar_kw, line_kw)
        largest = max(map(abs, limits_of(self.filters))) if len(self.filters) else 1.0
        limit = self._limit(largest) if colorbar and len(self.filters) and self._has_colours(kind) else largest
        titles = [f"{unit} (dead)" if unit in self.dead_units else str(unit) for unit in self.units]
        self._draw(ax, self.filters, style, limits=(-limit, limit), titles=titles)
        if ax is None and self.title is not None:
            width, height = self.figure_.get_size_inches()
            self.figure_.set_size_inches(max(width, 3.0), height + 0.25 + 0.15 * self.title.count("\n"))  # room
            self.figure_.suptitle(self.title, fontsize="small")
        self.colorbar_, images = None, self.axes_[0].images
        if colorbar and images and images[-1].get_array().ndim == 2:
            if ax is None:  # room for it
                self.figure_.set_figwidth(self.figure_.get_figwidth() + 0.9)
            options = {"shrink": 0.7, "aspect": 25, **_beyond(images[-1].get_clim(), self.filters)}
            self.colorbar_ = self.figure_.colorbar(images[-1], ax=[*self.axes_], **options)
        return self

    def _has_colours(self, kind: str) -> bool:
        """Tell whether weights are drawn as images with one channel, or several side by side."""
        shape = self.filters.shape[1:] if self.filters.ndim > 2 else self.image_shape
        return kind in ("auto", "image") and shape is not None and tuple(shape[2:]) != (3,)

    def _limit(self, largest: float) -> float:
        """Return the magnitude at which the colours end."""
        usual = float(np.quantile(np.abs(self.filters), _SHARE))
        return usual if 0 < _FAR * usual < largest else largest

    @classmethod
    @with_parameters_of(drawing=plot)
    def from_estimator(
        cls, estimator, *, network="auto", layer=None, units=None, combined=False, image_shape=None, drawing
    ):
        """Draw the weights of a layer of a fitted autoencoder.

        Parameters
        ----------
        estimator : estimator instance
            Fitted autoencoder or :class:`~skae.AutoencoderClassifier`, or a fitted
            :class:`~sklearn.pipeline.Pipeline` that contains one.
        network : {'auto', 'encoder', 'decoder'}, default='auto'
            The units of an encoder's layer are its outputs, drawn with their incoming weights; those of a
            decoder's layer are its inputs, drawn with their outgoing weights. 'auto' is the decoder of a
            :class:`~skae.SparseAutoencoder` that has ``components_``, its dictionary, and the encoder of others.
        layer : int, str or None, default=None
            None is the layer next to the data. An integer counts layers from the network's input, or from its
            output if negative; a string is a name in ``encoder_.named_modules()`` or
            ``decoder_.named_modules()``.
        units : int, array-like of int or None, default=None
            Units of that layer, counted from zero. None is the first 25, or all if there are fewer. If there
            are none in it, such as no ``dead_units_``, a single panel says so.
        combined : bool, default=False
            Whether to multiply the weights of a dense layer by those of the layers between it and the data, as
            if these were linear (Erhan et al. 2009), so that the products have the shape of a row.
        image_shape : tuple of int or None, default=None
            (height, width) or (height, width, channels) if rows are images, flattened in C order. None is the
            autoencoder's own ``image_shape`` if it has one that fits; else rows are drawn as bars or lines.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : FeatureDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not contain that network.
        ValueError
            If a layer or unit does not exist, the layer has no weights, or ``image_shape`` does not fit.

        Notes
        -----
        In a pipeline, these are the weights of the autoencoder's input. They are not rows, and are not transformed
        back to the pipeline's input. In the last layer of a variational encoder, the units of the means come
        first, those of the log-variances second.

        Dead units of a :class:`~skae.SparseAutoencoder` have weights like others; their titles say that they are
        dead. Leave ``dead_units_`` out of ``units`` to draw the others.

        The weights are those of the network: in an autoencoder with a ``unit_``, they belong to centred rows
        divided by it. ``components_`` are weights times ``unit_``.
        """
        model = Model(estimator)
        if network not in ("auto", "encoder", "decoder"):
            raise ValueError(f"network={network!r} is none of 'auto', 'encoder' and 'decoder'.")
        is_dictionary = model.has_sparse_dictionary and layer is None and network != "encoder"
        if network == "auto":
            network = "decoder" if is_dictionary else "encoder"
        decoding = network == "decoder"
        parameters = model.attribute(f"{network}_"), layer, decoding
        weights, place, partner = _filters(*parameters, combined)
        chosen = choose_units(units, len(weights), 25)
        of_all = "" if len(chosen) == len(weights) else f"{len(chosen)} of "
        title = f"{network} weights: {of_all}{len(weights)} units of {place}"
        panels = {}
        if weights.ndim == 2:
            if partner is not None and image_shape is not None:
                _check_not_of_rows(image_shape, weights, parameters, partner, model.autoencoder.n_features_in_)
            names = getattr(model.autoencoder, "feature_names_in_", None)
            panels = model.panel_options(image_shape, weights.shape[1]) | {"feature_names": names}
        dead = getattr(model.autoencoder, "dead_units_", ()) if place == "the code" else ()
        title += f"\n{DEAD}" * bool({*chosen} & {*map(int, dead)})
        return cls(weights[chosen].numpy(), chosen, dead_units=dead, title=title, **panels).plot(**drawing)


def _beyond(ends: tuple[float, float], weights: np.ndarray) -> dict:
    """Return what a colour bar has to say of weights beyond its ends."""
    (low, high), alike = limits_of(weights), 0.02 * (ends[1] - ends[0])  # in colours
    below, above = low < ends[0] - alike, high > ends[1] + alike
    extend = {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")
    far = " and ".join([f"{low:.2g}"] * below + [f"{high:.2g}"] * above)
    return {"extend": extend, "label": f"weight (some up to {far})" if far else "weight"}


def _check_not_of_rows(image_shape, weights: Tensor, parameters: _Layer, partner: str, n_features: int) -> None:
    """Refuse the shape of a row for weights that belong to hidden units, and say what has that shape."""
    n, shape = weights.shape[1], tuple(map(int, image_shape))
    if math.prod(shape) == n or math.prod(shape) != n_features:
        return
    remedy = "Leave"
    with contextlib.suppress(ValueError):  # of convolutions
        _filters(*parameters, True)
        remedy = (
            "Pass combined=True, which multiplies them by the weights between that layer and the data, or leave"
        )
    raise ValueError(
        f"image_shape={shape} is the shape of a row, but each unit of layer={parameters[1]!r} has {n} weights, "
        f"one for each unit of {partner}. {remedy} layer out, to draw the layer next to the data."
    )


def _filters(
    network: nn.Module, layer: int | str | None, decoding: bool, combined: bool
) -> tuple[Tensor, str, str | None]:
    """Return the filters of a layer, of what they are units, and which hidden layer their weights are for, if any.

    Filters are (n_units, width) if the layer is dense, else (n_units, height, width[, channels]).

    The units of an encoder's layer are its outputs, and their filters the incoming weights; the units of a
    decoder's layer are its inputs, and their filters the outgoing weights. ``combined`` multiplies the weights by
    those of the layers between this one and the data; a layer of None is the one next to the data.
    """
    weights = {}  # modules with weights, in order: their names and filters
    for name, module in network.named_modules():
        tied = isinstance(module, Tied)
        if tied or isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            weight = (module.partner if tied else module).weight.detach()
            inputs_first = tied or getattr(module, "transposed", False)
            weights[module] = name, weight if inputs_first == decoding else weight.transpose(0, 1)
    if not weights:
        raise ValueError("The network has no dense or convolutional layers, whose weights are its filters.")
    towards_data = [*weights][:: 1 if decoding else -1]
    inside = (
        towards_data[-1:] if layer is None else [m for m in find_layer(network, layer).modules() if m in weights]
    )
    if not inside:
        names = ", ".join(repr(name) for name, _ in weights.values())
        raise ValueError(f"layer={layer!r} has no weights. Modules of the network that have: {names}.")
    _, result = weights[inside[0]]
    depth = [*weights].index(inside[0]) + (not decoding)  # of the units, from the network's input
    place = "the code" if depth == (0 if decoding else len(weights)) else f"hidden layer {depth}"
    is_next = combined or inside[0] is towards_data[-1]
    partner = None if is_next else f"hidden layer {depth + (1 if decoding else -1)}"
    for module in towards_data[towards_data.index(inside[0]) + 1 :] if combined else []:
        _, weight = weights[module]
        if result.ndim != 2 or weight.ndim != 2:
            raise ValueError(
                "combined=True multiplies the weights of dense layers, but some between the layer and the "
                "data are convolutional. Use combined=False."
            )
        result = result @ weight
    if result.ndim > 2:  # (n_units, channels, *kernel)
        result = result.reshape(*result.shape[:2], -1, result.shape[-1]).permute(0, 2, 3, 1).squeeze(3)
    return result.to("cpu", torch.float64), place, partner
