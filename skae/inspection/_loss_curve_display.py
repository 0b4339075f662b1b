"""Loss curves: losses by epoch, one training phase after the other."""

import numpy as np

from ._drawing import with_parameters_of
from ._model import Model
from ._panels import Block, Display, Layout

_CURVES = {
    "training": "loss_curve_",
    "validation": "validation_loss_curve_",
    "reconstruction": "reconstruction_curve_",
    "KL": "kl_curve_",
}


class LossCurveDisplay(Display):
    """Loss curves: training and validation loss by epoch, and the two terms of a variational autoencoder's loss.

    The term "KL" is the divergence itself; the loss has ``beta`` times that, and less while it warms up.
    The phases of training are drawn from left to right: for a stacked autoencoder its layers, then fine-tuning;
    for a classifier pretraining, then fine-tuning. Passes of `partial_fit` after `fit` come after a dotted line:
    the loss of each is that of the rows it was given. Use `from_estimator` or `from_curves` to make one.

    Parameters
    ----------
    phases : list of (str, dict)
        Name of each phase, and its curves: sequences of one number for each epoch, by name.
    n_iter_of_fit : int or None, default=None
        Number of epochs of the last phase after which passes of `partial_fit` begin; None if there are none.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure with the curves.
    ax_ : matplotlib Axes
        Axes with the curves.
    lines_ : list of dict
        The lines of each phase, by name.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import StackedAutoencoder
    >>> from skae.inspection import LossCurveDisplay
    >>> X = load_digits().data
    >>> model = StackedAutoencoder(8, pretrain_max_iter=5, max_iter=5, tol=None, random_state=0).fit(X)
    >>> display = LossCurveDisplay.from_estimator(model)
    >>> [name for name, curves in display.phases]
    ['layer 0', 'layer 1', 'fine-tuning']
    """

    def __init__(self, phases, *, n_iter_of_fit=None):
        self.phases, self.n_iter_of_fit = phases, n_iter_of_fit

    def plot(self, ax=None, *, yscale="linear", line_kw=None):
        """Draw the curves.

        A dot marks the epoch with the lowest validation loss.

        Parameters
        ----------
        ax : Axes or None, default=None
            Where to draw. None makes a new figure.
        yscale : str, default='linear'
            Scale of the loss axis, such as 'log' for phases whose losses differ much.
        line_kw : dict or None, default=None
            Arguments of :meth:`~matplotlib.axes.Axes.plot`, which override the defaults.

        Returns
        -------
        display : LossCurveDisplay
            The display itself.
        """
        (self.ax_,) = self._make_axes(ax, Layout(Block(1, 1)), (max(5.0, 1.6 * len(self.phases)), 3.6))
        self.lines_, colours, start = [], {}, 0
        for phase, curves in self.phases:
            lines, length = {}, max(map(len, curves.values()))
            for name, curve in curves.items():
                label = name if name not in colours else None
                colour = colours.setdefault(name, f"C{len(colours)}")
                options = {"color": colour, "marker": "." if len(curve) == 1 else None, "label": label}
                epochs = start + 1 + np.arange(len(curve))
                (lines[name],) = self.ax_.plot(epochs, curve, **{**options, **(line_kw or {})})
                if name == "validation":
                    best = int(np.argmin(curve))
                    self.ax_.plot(epochs[best], curve[best], "o", color=colour, ms=4)
            self.lines_.append(lines)
            if start > 0:
                self.ax_.axvline(start + 0.5, color="0.8", linewidth=0.8, zorder=0)
            if len(self.phases) > 1:
                place = {"transform": self.ax_.get_xaxis_transform(), "ha": "center", "fontsize": "small"}
                self.ax_.text(start + 0.5 + length / 2, 1.02, phase, **place)
            start += length
        if self.n_iter_of_fit is not None:
            place = start - length + self.n_iter_of_fit + 0.5
            self.ax_.axvline(place, color="0.3", linestyle=":", linewidth=1.2, label="partial_fit")
        self.ax_.set(xlabel="epoch", ylabel="loss", yscale=yscale, xlim=(0.5, start + 0.5))
        self.ax_.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        self.ax_.legend(frameon=False, fontsize="small")
        return self

    @classmethod
    @with_parameters_of(drawing=plot)
    def from_estimator(cls, estimator, *, drawing):
        """Draw the loss curves of a fitted estimator.

        Parameters
        ----------
        estimator : estimator instance
            Fitted autoencoder or :class:`~skae.AutoencoderClassifier`, or a fitted
            :class:`~sklearn.pipeline.Pipeline` that contains one.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator has no loss curves.
        """
        autoencoder = Model(estimator).autoencoder
        phases = _phases(autoencoder)
        if not phases:
            raise TypeError(f"{type(autoencoder).__name__} has no loss_curve_. Pass a fitted autoencoder.")
        return cls(phases, n_iter_of_fit=_n_iter_of_fit(autoencoder)).plot(**drawing)

    @classmethod
    @with_parameters_of(drawing=plot)
    def from_curves(cls, training, *, validation=None, drawing):
        """Draw given losses.

        Parameters
        ----------
        training : array-like of shape (n_epochs,)
            Loss on the training rows in each epoch.
        validation : array-like of shape (n_epochs,), default=None
            Loss on the validation rows in each epoch.
        **drawing : dict
            Parameters of `plot`.

        Returns
        -------
        display : LossCurveDisplay
            The display, drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        curves = {"training": training} | ({} if validation is None else {"validation": validation})
        return cls([("training", curves)]).plot(**drawing)


def _phases(estimator, last: str | None = None) -> list[tuple[str, dict]]:
    """List the phases of an estimator's training and their curves; ``last`` is the name of the last."""
    phases: list[tuple[str, dict]] = []
    if hasattr(estimator, "autoencoder_"):
        phases = _phases(estimator.autoencoder_, "pretraining")
    layers = enumerate(getattr(estimator, "layer_loss_curves_", ()))
    phases += [(f"layer {i}", {"training": list(curve)}) for i, curve in layers if len(curve)]
    curves = {name: list(getattr(estimator, attribute, ())) for name, attribute in _CURVES.items()}
    if curves := {name: curve for name, curve in curves.items() if curve}:
        phases.append((last or ("fine-tuning" if phases else "training"), curves))
    return phases


def _n_iter_of_fit(estimator) -> int | None:
    """Return how many entries of the loss curve are epochs of `fit`, if passes of `partial_fit` follow them."""
    of_fit, n_kept = getattr(estimator, "_n_iter_of_fit", None), len(getattr(estimator, "loss_curve_", ()))
    if of_fit is None:  # fitted by an older version
        return None
    of_fit -= estimator.n_iter_ - n_kept  # the last thousand are kept
    return of_fit if 0 < of_fit < n_kept else None
