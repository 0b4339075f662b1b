"""The sparse autoencoder."""

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils import _align_api_if_sparse
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils._set_output import _get_output_config

from ._base import BaseAutoencoder
from ._bottleneck.dead_units import DeadUnits
from ._bottleneck.sparse import SparseBottleneck
from ._bottleneck.winners import Choose, by_batch, by_row, by_unit
from ._data import arrays
from ._data.rows import Densifier, slices
from ._fitted.activity import activity, freeze_threshold
from ._networks.activations import ACTIVATIONS
from ._networks.inference import forward
from ._networks.networks import Architecture
from ._objectives import sparsity
from ._objectives.penalties import Penalty
from ._objectives.warm_up import WarmUp
from ._support.warnings import warn
from ._training.fitting import fit_networks
from ._training.loop import History
from ._training.prepare import Fit
from ._training.setup import Mode, Setup

_NEVER_NEGATIVE = ("relu", "sigmoid")
_AUTO_WEIGHTS = {"kl": 0.1, "l1": 0.01}
_REMEDIES = {
    "kl": "Lower sparsity_weight, or raise sparsity_target.",
    "l1": "Lower sparsity_weight, or raise sparsity_warm_up.",
    "topk": "Raise n_active or auxiliary_weight, or lower n_components or learning_rate.",
    "batch_topk": "Raise n_active or auxiliary_weight, or lower n_components or learning_rate.",
    "winner_take_all": "Raise sparsity_target, or lower learning_rate.",
}


class SparseAutoencoder(BaseAutoencoder):
    r"""Sparse autoencoder: codes of which few are active at a time.

    A code may have more units than the data have features and still say something about the rows, provided that
    only a few units describe each. ``sparsity`` says how that is brought about:

    - 'kl': logistic units, each of which is on for a fraction ``sparsity_target`` of the rows; departures are
      penalised by the Kullback-Leibler divergence [1]_.
    - 'l1': a penalty on the sum of the codes [2]_.
    - 'topk': exactly ``n_active`` units of each row, those of largest magnitude, are kept, the others set to zero
      [3]_ [4]_.
    - 'batch_topk': ``n_active`` units for each row on average: all units of all rows of a batch compete, so that
      rows which need more get more [5]_. After training, units above a fixed threshold are kept.
    - 'winner_take_all': each unit is kept for the fraction ``sparsity_target`` of a batch's rows for which it is
      largest [6]_. After training the codes are used as they are.

    Parameters
    ----------
    n_components : int, default=16
        Width of the code. It may be larger than the number of features.
    hidden_layer_sizes : int or array-like of int, default=(128,)
        Widths of the encoder's hidden layers, from the input to the code; ``()`` is none. An integer is one
        layer. With ``image_shape``, numbers of channels.
    decoder_hidden_layer_sizes : int, array-like of int or None, default=None
        Widths of the decoder's hidden layers, from the code to the output. None mirrors ``hidden_layer_sizes``.
        With ``image_shape`` it must be as long as that.
    activation : str, default='relu'
        Activation of the hidden layers of both networks: 'identity', 'relu', 'elu', 'leaky_relu', 'gelu',
        'silu', 'tanh', 'sigmoid', or its other name 'logistic'.
    code_activation : str, default='auto'
        Activation of the code layer, one of the same. 'auto' is 'sigmoid' for ``sparsity='kl'``, which needs
        codes between 0 and 1, and 'relu' for the others. With codes that may be negative, such as those of
        'identity', units compete by magnitude.
    output_activation : str, default='identity'
        Activation of the reconstruction, one of the same. With ``loss='binary_cross_entropy'`` leave it at
        'identity': the loss works on logits, and the logistic function follows by itself.
    normalization : {'batch', 'layer'} or None, default=None
        What brings hidden layers to mean zero and variance one, before two trained parameters for each unit or
        channel, and the activation: 'batch' does so for each unit over the rows of a batch, and with running means
        after training (Ioffe and Szegedy 2015); 'layer' for each row over its units (Ba, Kiros and Hinton 2016).
        With 'batch', rows that are trained on together depend on each other, and a batch needs two of them.
    image_shape : array-like of int or None, default=None
        ``(height, width)`` or ``(height, width, channels)`` of the images that the rows of X are, flattened in C
        order. The networks are convolutional then; the notes of :class:`AutoencoderTransformer` list their layers.
    kernel_size : int, default=3
        Height and width of the kernels of convolutions, an odd number. Used with ``image_shape`` only, as are the
        next three.
    downsampling : {'stride', 'pool'}, default='stride'
        What makes images smaller from block to block: the stride of convolutions, taken back by transposed ones,
        or maxima over neighbouring places after them, taken back by repeating places.
    downsampling_factor : int or array-like of int, default=2
        What each convolution block divides height and width by, rounding up. An integer is for all entries of
        ``hidden_layer_sizes``. Of several, one more may be for the code, with ``code_layer='convolution'``.
    code_layer : {'dense', 'convolution'}, default='dense'
        The layer of the code: a dense one on top of the convolutions, or one more convolution, whose channels and
        places together are ``n_components`` and which keeps height and width unless ``downsampling_factor`` has
        an entry for it.
    loss : str or callable, default='squared_error'
        Reconstruction loss, a mean over rows and features: 'squared_error', 'absolute_error', 'huber' or
        'binary_cross_entropy'. 'huber' is quadratic up to a residual of 1 and linear beyond.
        'binary_cross_entropy' needs data in [0, 1]. A callable gets the reconstruction and the target, torch
        tensors of shape (n, n_features), and returns the loss of each row, shape (n,).
    alpha : float, default=0.0
        Strength of the L2 penalty ``alpha / 2 * sum(w ** 2)`` on weights, never on biases. Tied weights count
        once.
    solver : {'adam', 'adamw', 'sgd'}, default='adam'
        Optimiser: Adam (Kingma and Ba 2015); Adam whose L2 penalty acts beside the gradient, as weight decay
        (Loshchilov and Hutter 2019); or stochastic gradient descent with Nesterov's momentum.
    learning_rate : float, default=1e-3
        Step size of the solver.
    momentum : float, default=0.9
        Momentum of ``solver='sgd'``, in [0, 1). The other solvers do not use it.
    batch_size : int or 'auto', default='auto'
        Rows per step. 'auto' is ``min(200, n_samples)``. The last batch of an epoch may be smaller.
    max_iter : int, default=200
        Number of epochs, passes over the training rows, at most.
    shuffle : bool, default=True
        Whether to visit the rows in a new order in each epoch.
    tol : float or None, default=1e-4
        Training stops when the loss has not improved by more than ``tol`` for more than ``n_iter_no_change``
        epochs in a row, and :class:`~sklearn.exceptions.ConvergenceWarning` is raised if that does not happen
        within ``max_iter`` epochs. 0 stops when the loss no longer improves at all, without the warning; None
        never stops before ``max_iter``.
    n_iter_no_change : int, default=10
        Number of epochs without improvement that are borne; see ``tol``.
    early_stopping : bool, default=False
        Whether to hold out ``validation_fraction`` of the rows and watch the loss on these instead of the
        training loss. The weights of the best epoch are restored however the fit ends.
    validation_fraction : float, default=0.1
        Fraction of the rows held out with ``early_stopping``, in (0, 1).
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the last fit, with a new solver state, instead of new ones.
    device : str or torch.device, default='cpu'
        Where to train and keep the networks: 'cpu', 'cuda', 'cuda:1', 'mps', 'xpu', or 'auto' for the first
        accelerator there is, else the CPU. A device that is not there is an error.
    dtype : {'auto', 'float32', 'float64', 'bfloat16'}, default='auto'
        Precision of training. 'auto' is float64 for float64 data of at most 100,000 entries on the CPU, else
        float32. 'bfloat16' is mixed precision, with float32 weights. Results have the data's floating dtype in
        any case.
    random_state : int, RandomState instance or None, default=None
        Seed of the first weights, the rows held out, and the order of the rows. An integer makes fits repeat
        bit for bit on one machine's CPU. The global generators of NumPy and torch are neither read nor changed.
    verbose : bool or int, default=False
        Whether to print the loss of each epoch.
    sparsity : {'kl', 'l1', 'topk', 'batch_topk', 'winner_take_all'}, default='kl'
        How codes are made sparse, see above.
    sparsity_weight : float or 'auto', default='auto'
        Strength of the sparsity term of 'kl' and 'l1'. 'auto' is 0.1 for 'kl' and 0.01 for 'l1', which suits
        standardised data. The other kinds have no such term.
    sparsity_target : float, default=0.1
        Of 'kl', the mean activation that is aimed at; of 'winner_take_all', the fraction of a batch's rows for
        which a unit is kept; in (0, 1). The other kinds do not use it.
    sparsity_warm_up : int, default=0
        Number of epochs through which the sparsity term's strength rises from zero, so that units find
        something to do before they are made to save. `partial_fit` counts its passes; a `fit` that starts from
        the last one's weights begins at full strength.
    n_active : int or None, default=None
        Units of a row that are kept by 'topk', and by 'batch_topk' on average; at most ``n_components``. None is
        the square root of ``n_components``, rounded. The other kinds do not use it.
    auxiliary_weight : float, default=1.0
        For 'topk' and 'batch_topk': weight of the auxiliary loss, by which units that fell silent learn to mend
        what the active ones leave (see Notes). The other kinds have none.
    tied_weights : bool, default=False
        Whether the decoder uses the encoder's weights, transposed, with biases of its own. Needs a decoder that
        mirrors the encoder.
    sparse_output : bool, default=False
        Whether `transform` returns a SciPy sparse matrix in CSR format. Tensors and data frames stay dense: a
        tensor's codes are a tensor, and `set_output` comes first.

    Attributes
    ----------
    encoder_ : torch.nn.Module
        The encoder, on ``device_`` and in evaluation mode: rows of shape (n, n_features) to codes of shape
        (n, n_components).
    decoder_ : torch.nn.Module
        The decoder, likewise: codes to reconstructions in the data's space, of shape (n, n_features).
    offset_ : ndarray of shape (n_features,)
        What is subtracted from each row before the encoder and added after the decoder, inside the networks:
        the mean of the rows given to `fit`, or zeros where the networks are not centred (see Notes).
    device_ : torch.device
        The device of the networks.
    n_parameters_ : int
        Number of trained parameters, biases included; tied weights count once.
    loss_curve_ : list of float
        The objective in each epoch: the mean loss over rows and features, and the penalties. After
        `partial_fit`, of every pass so far.
    loss_ : float
        The last entry of ``loss_curve_``.
    validation_loss_curve_ : list of float
        With ``early_stopping``, the loss of the rows held out after each epoch, without penalties.
    best_loss_ : float
        The smallest entry of ``validation_loss_curve_`` with ``early_stopping``, of ``loss_curve_`` without.
    n_iter_ : int
        Number of epochs run by the last `fit`, or of passes taken by `partial_fit`.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen in `fit`, where they are all strings.
    mean_activation_ : ndarray of shape (n_components,)
        Mean code of each unit over the training rows (the rows held out are none of them), weighted if they are,
        by the final networks.
    dead_fraction_ : float
        Fraction of units that tell no training row from another. With 'topk', 'batch_topk' or a relu code these
        are the units that are zero for every row; with a sigmoid or tanh code those whose codes span less than
        0.01; with others, those whose codes span less than a hundredth of the widest unit's span. `fit` warns if
        it is above one half.

    See Also
    --------
    AutoencoderTransformer : Without sparsity, with a contractive penalty.
    sklearn.decomposition.SparsePCA : Sparse components, where here it is the codes that are sparse.
    sklearn.decomposition.DictionaryLearning : Sparse codes found by optimisation for each row.

    Notes
    -----
    The objective is the mean loss over rows and features and ``alpha``'s penalty, as of
    :class:`AutoencoderTransformer`, plus for 'kl' and 'l1' ``sparsity_weight`` times

    .. math::
        \sum_{k} t \log \frac{t}{r_k} + (1 - t) \log \frac{1 - t}{1 - r_k}
        \qquad \text{or} \qquad \frac{1}{n} \sum_{i=1}^{n} \sum_{k} |z_{ik}|

    with the codes :math:`z_{ik}`, their means :math:`r_k` over a batch, and :math:`t` = ``sparsity_target``. A
    batch's mean says little below a hundred rows or so: keep batches of 'kl' and 'winner_take_all' large.

    *Dead units.* Rows are centred before the encoder, so that data far from the origin do not switch units off.
    The code's biases start where each unit is at zero on average (Salimans and Kingma 2016 [7]_), or at
    ``sparsity_target`` for 'kl', before the selection and the nonlinearity. For 'l1', 'topk' and 'batch_topk',
    the decoder's weights of each unit have length one at the beginning and after each update, so that no unit can
    outgrow the others, and an L1 term cannot be met by small codes and large weights; not so with
    ``tied_weights``, since these are the encoder's as well. With hidden layers in the decoder this is its first
    layer, and ``alpha`` has to keep the others small. Without any hidden layers, the encoder's first weights are
    the decoder's, transposed [4]_.

    *Auxiliary loss.* If all units of 'topk' or 'batch_topk' were equal, each would be active for the share
    ``n_active / n_components`` of the rows. A unit that was active for no row of a while is silent for the next
    one; a while is ``40 * n_components / n_active`` rows, at least 2000, or an epoch if that has fewer. Each
    silent unit joins the active ones in a second pass through the decoder, for the rows for which it is largest,
    four times the equal share of them. The loss of that pass, times ``auxiliary_weight``, acts on the weights, so
    that silent units learn to mend what the active ones leave, until they win by themselves. It is not counted in
    ``loss_curve_``, which would otherwise rise whenever units fall silent. For a linear decoder and a squared
    error, its gradient for a silent unit is that of the auxiliary loss of [4]_, which takes other rows and is
    weighed by 1/32 relative to the energy of what the active units leave.

    *Exactly* ``n_active`` codes are other than zero with 'topk' where that many units have a code at all: a relu
    leaves zeros where fewer are positive, an identity never.

    *Rows held out* for ``early_stopping`` are judged without the penalties, units being kept as in training.

    *Weights of rows.* An integer weight is as good as repeated rows, as long as one batch holds all of them.
    Kinds that let rows compete weigh them: of 'winner_take_all', a unit is kept for the rows for which it is
    largest until these hold the fraction ``sparsity_target`` of the batch's weight. Equal codes win or lose
    together.

    Centring, first weights, early stopping and reproducibility are otherwise as described for
    :class:`AutoencoderTransformer`.

    References
    ----------
    .. [1] A. Ng (2011). Sparse autoencoder. CS294A lecture notes, Stanford University.
    .. [2] B. A. Olshausen and D. J. Field (1997). Sparse coding with an overcomplete basis set: a strategy
       employed by V1? Vision Research 37, 3311-3325.
    .. [3] A. Makhzani and B. Frey (2013). k-sparse autoencoders. arXiv:1312.5663.
    .. [4] L. Gao, T. Dupre la Tour, H. Tillman, G. Goh, R. Troll, A. Radford, I. Sutskever, J. Leike and J. Wu
       (2024). Scaling and evaluating sparse autoencoders. arXiv:2406.04093.
    .. [5] B. Bussmann, P. Leask and N. Nanda (2024). BatchTopK sparse autoencoders. arXiv:2412.06410.
    .. [6] A. Makhzani and B. Frey (2015). Winner-take-all autoencoders. NeurIPS.
    .. [7] T. Salimans and D. P. Kingma (2016). Weight normalization: a simple reparameterization to accelerate
       training of deep neural networks. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import SparseAutoencoder
    >>> X = StandardScaler().fit_transform(load_digits().data)
    >>> autoencoder = SparseAutoencoder(
    ...     200, hidden_layer_sizes=(), sparsity="topk", n_active=10, max_iter=30, tol=None, sparse_output=True,
    ...     random_state=0,
    ... )
    >>> Z = autoencoder.fit_transform(X)
    >>> Z.shape, Z.nnz // len(X)
    ((1797, 200), 10)
    >>> bool(autoencoder.dead_fraction_ < 0.1)
    True
    """

    code_activation: str = "auto"
    sparsity: Any = "kl"
    sparsity_weight: Any = "auto"
    sparsity_target: float = 0.1
    sparsity_warm_up: int = 0
    n_active: int | None = None
    auxiliary_weight: float = 1.0
    tied_weights: bool = False
    sparse_output: bool = False

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "code_activation": [StrOptions({"auto", *ACTIVATIONS})],
        "sparsity": [StrOptions(set(_REMEDIES))],
        "sparsity_weight": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "sparsity_target": [Interval(Real, 0, 1, closed="neither")],
        "sparsity_warm_up": [Interval(Integral, 0, None, closed="left")],
        "n_active": [Interval(Integral, 1, None, closed="left"), None],
        "auxiliary_weight": [Interval(Real, 0, None, closed="left")],
        "tied_weights": ["boolean"],
        "sparse_output": ["boolean"],
    }

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Train the networks on X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows. Integer weights are as good as repeated rows, and zero as good
            as leaving a row out.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return fit_networks(self, X, sample_weight=sample_weight)

    def transform(self, X):
        """Map rows to their codes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        Z : {ndarray, sparse matrix} of shape (n_samples, n_components)
            Codes, of X's floating dtype; in CSR format with ``sparse_output``. Each row's depends on that row
            alone.
        """
        framed = _get_output_config("transform", self)["dense"] != "default"
        if not self.sparse_output or framed:
            return super().transform(X)
        checked = self._check(X, "transform")
        if not (isinstance(checked, np.ndarray) or sparse.issparse(checked)):
            return super().transform(X)
        return self._sparse_codes(checked)

    def _sparse_codes(self, X):
        """Encode chunk by chunk, so that the dense codes are never there as a whole."""
        rows, encode, densify = arrays.to_torch(X), forward(self.encoder_, arrays.torch_dtype(X)), Densifier()
        with torch.inference_mode():
            parts = [
                sparse.csr_array(encode(densify(rows[part]).to(self.device_), None).cpu().numpy())
                for part in slices(rows.shape[0], self._widest * X.dtype.itemsize)
            ]
        return _align_api_if_sparse(sparse.vstack(parts, format="csr"))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = not self.sparse_output  # SciPy's matrices are no arrays in its sense
        return tags

    # What makes it sparse ---------------------------------------------------------------------------------

    @property
    def _selects(self) -> bool:
        return self.sparsity in ("topk", "batch_topk")

    @property
    def _bounds_columns(self) -> bool:
        return (self._selects or self.sparsity == "l1") and not self.tied_weights

    def _n_active(self) -> int:
        if self.n_active is None:
            return round(math.sqrt(self.n_components))
        if self.n_active > self.n_components:
            raise ValueError(
                f"n_active={self.n_active} units cannot be kept of n_components={self.n_components}: n_active "
                "must be at most n_components. Lower n_active, or raise n_components."
            )
        return int(self.n_active)

    def _adapt_architecture(self, architecture: Architecture, mode: Mode) -> Architecture:
        if architecture.images is not None and self.code_layer == "convolution":
            raise ValueError(
                "SparseAutoencoder sets the bias and the length of the weights of each unit of the code, which "
                "many units share with code_layer='convolution'. Use code_layer='dense'."
            )
        activation = architecture.code_activation
        if activation == "auto":
            activation = "sigmoid" if self.sparsity == "kl" else "relu"
        if self.sparsity == "kl" and activation != "sigmoid":
            raise ValueError(
                "sparsity='kl' compares mean activations with sparsity_target as probabilities, which needs "
                f"codes between 0 and 1, but code_activation={self.code_activation!r}. Use code_activation="
                "'sigmoid' or 'auto', or another sparsity."
            )
        selection: tuple | None = None
        if self._selects:
            selection = ("topk", self._n_active()) if self.sparsity == "topk" else ("threshold",)
            self._n_active()
        return architecture._replace(code_activation=activation, selection=selection)

    @torch.no_grad()
    def _initialize_weights(self, setup: Setup, encoder: Any, decoder: Any) -> None:
        if self._bounds_columns:
            weight = decoder.blocks[0].linear.weight
            sparsity.UnitLength()(weight.t())
            if len(encoder.blocks) == len(decoder.blocks) == 1:
                encoder.blocks[0].linear.weight.copy_(weight.t())
        usual, linear = 0.0, encoder.blocks[-1].linear
        if self.sparsity == "kl":
            usual = math.log(self.sparsity_target / (1 - self.sparsity_target))

        def preactivation(x: torch.Tensor) -> torch.Tensor:
            for block in encoder.blocks[:-1]:
                x = block(x)
            return linear(x)

        data, width = setup.data, setup.architecture.encoder_layer_sizes[-1]
        found = activity(preactivation, data.inputs(), data.train_rows, data.row_weight(), width)
        linear.bias.sub_((found.mean - usual).to(linear.bias.dtype))

    def _projections(self, setup: Setup) -> list[Callable[[torch.Tensor], object]]:
        return [sparsity.UnitLength()] if self._bounds_columns else []

    def _penalties(self, setup: Setup) -> list[Penalty]:
        if self.sparsity not in _AUTO_WEIGHTS:
            return []
        weight = _AUTO_WEIGHTS[self.sparsity] if self.sparsity_weight == "auto" else self.sparsity_weight
        strength = WarmUp(weight, 0 if setup.mode is Mode.WARM_START else self.sparsity_warm_up)
        if self.sparsity == "kl":
            return [sparsity.kl(strength, self.sparsity_target)]
        return [sparsity.l1(strength, self._signed(setup.architecture))]

    def _bottleneck(self, setup: Setup) -> SparseBottleneck | None:
        choose: Choose
        if self.sparsity == "winner_take_all":
            choose = by_unit(self.sparsity_target)
        elif self._selects:
            choose = (by_row if self.sparsity == "topk" else by_batch)(self._n_active())
        else:
            return None
        dead_units = self._dead_units(setup) if self._selects and self.auxiliary_weight else None
        return SparseBottleneck(choose, self._signed(setup.architecture), dead_units)

    @staticmethod
    def _signed(architecture: Architecture) -> bool:
        return architecture.code_activation not in _NEVER_NEGATIVE

    def _dead_units(self, setup: Setup) -> DeadUnits:
        dead = None
        units = getattr(setup.previous, "_dead_unit_numbers", ())
        if units:
            dead = torch.zeros(self.n_components, dtype=setup.dtype, device=setup.device)
            dead[list(units)] = 1
        n_rows = None if setup.mode is Mode.INCREMENTAL else len(setup.data.train_rows)
        return DeadUnits(self.auxiliary_weight, self._n_active() / self.n_components, n_rows, dead)

    # Afterwards -------------------------------------------------------------------------------------------

    def _finalize_networks(self, fit: Fit, encoder: Any, decoder: Any, architecture: Architecture) -> tuple:
        if self.sparsity == "batch_topk":
            data = fit.setup.data
            freeze_threshold(encoder, fit.inputs, data.train_rows, data.row_weight(), self._n_active())
        return encoder, decoder, architecture

    def _fitted_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        data, architecture = fit.setup.data, fit.architecture
        width = architecture.encoder_layer_sizes[-1]
        found = activity(encoder.encode, fit.inputs, data.train_rows, data.row_weight(), width)
        dead = found.dead(architecture.code_activation, self._selects)
        mean = found.mean.to(arrays.torch_dtype(data.X)).cpu().numpy()
        known = getattr(fit.objective.bottleneck, "dead_units", None)
        numbers = () if known is None or known.dead is None else tuple(known.dead.nonzero()[:, 0].tolist())
        return {
            "mean_activation_": arrays.to_namespace_of(data.X, mean),
            "dead_fraction_": int(dead.sum()) / len(dead),
            "_dead_unit_numbers": numbers,
        }

    def _warn_after_fit(self, history: History) -> None:
        if self.dead_fraction_ > 0.5:
            warn(
                f"{self.dead_fraction_:.0%} of the {self._n_features_out} units are dead: no training row is told "
                f"from another by them. {_REMEDIES[self.sparsity]}",
            )
