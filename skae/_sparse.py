"""The sparse autoencoder."""

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import _align_api_if_sparse
from sklearn.utils._param_validation import StrOptions
from sklearn.utils._set_output import _get_output_config
from torch import nn

from ._base import TakesSampleWeight
from ._bottleneck.dead_units import DeadUnits
from ._bottleneck.sparse import SparseBottleneck
from ._bottleneck.winners import Choose, by_batch, by_row, by_unit
from ._data import arrays
from ._data.chunks import chunks
from ._fitted.activity import Activity, activity, freeze_threshold
from ._networks.activations import ACTIVATIONS
from ._networks.building import Architecture
from ._networks.inference import forward
from ._objectives import sparsity
from ._objectives.baseline import Baseline, baseline
from ._objectives.losses import loss_by
from ._objectives.penalties import Penalty, WarmUp
from ._objectives.support import SupportWatch
from ._support.parameters import AT_LEAST_ONE, AT_LEAST_ZERO, FRACTION, NON_NEGATIVE, parameter
from ._support.warnings import warn
from ._training.automatic import STEADY, bearable
from ._training.fitting import Fit
from ._training.history import History
from ._training.setup import Mode, Setup

_NEVER_NEGATIVE = ("relu", "sigmoid")
_AUTO_WEIGHTS = {"kl": 0.1, "l1": 0.01}  # of standardised data under squared error
_READS = {  # which parameters each method reads
    "kl": ("sparsity_weight", "sparsity_target", "sparsity_warm_up"),
    "l1": ("sparsity_weight", "sparsity_warm_up"),
    "topk": ("n_active", "auxiliary_weight"),
    "batch_topk": ("n_active", "auxiliary_weight"),
    "winner_take_all": ("sparsity_target",),
}
_SHORT = 100  # epochs: in fewer, the best rate alone leaves more units of a top-k code dead (63% for 49% in 20)
_BEST_RATE = 0.01  # of Adam for a top-k code without hidden layers: lower and higher ones leave more units dead


class SparseAutoencoder(TakesSampleWeight):
    r"""Sparse autoencoder: codes of which only a few units are active at a time.

    A code may have more units than the data have features and still be informative, provided that only a few units
    are active for each row. ``sparsity`` selects the method:

    - 'kl': sigmoid units whose mean activation is kept near ``sparsity_target`` by a penalty, the Kullback-Leibler
      divergence [1]_.
    - 'l1': a penalty on the sum of the absolute values of the codes [2]_.
    - 'topk': in each row, the ``n_active`` units of largest magnitude are kept, the others are set to zero [3]_
      [4]_.
    - 'batch_topk': ``n_active`` units per row are kept on average. All units of all rows of a batch compete, so
      that difficult rows keep more of them [5]_. After training, units above a fixed threshold are kept.
    - 'winner_take_all': each unit is kept in those rows of a batch, a fraction ``sparsity_target``, in which it is
      largest [6]_. After training, all units are kept.

    Parameters
    ----------
    n_components : int, default=16
        Width of the code. It may exceed the number of features.
    sparsity : {'kl', 'l1', 'topk', 'batch_topk', 'winner_take_all'}, default='kl'
        Method that makes the codes sparse, see above. `fit` warns of parameters of other methods that are not at
        their defaults, since they are ignored.
    sparsity_weight : float or 'auto', default='auto'
        Strength of the penalty of 'kl' and 'l1'. 'auto' goes with the scale of the data, so that their units do
        not matter: with L the loss of reconstructing each row as the column means, and s the root of the mean
        variance of a column, it is 0.1 L for 'kl' and 0.01 L / s for 'l1', or 0.01 L where codes are those of rows
        that have been divided by s (see ``unit_``). On standardised data under squared error, these are 0.1 and
        0.01. A callable ``loss`` is taken for a squared error here. ``sparsity_weight_`` is what was used.
    sparsity_target : float, default=0.1
        For 'kl', the target of the mean activation; for 'winner_take_all', the fraction of a batch's rows in which
        a unit is kept; in (0, 1).
    sparsity_warm_up : int, default=0
        Number of epochs over which the strength of the penalty of 'kl' and 'l1' grows linearly from zero.
        `partial_fit` counts its passes; a warm start begins at full strength.
    n_active : int or None, default=None
        Number of units kept in each row by 'topk', and on average by 'batch_topk'; at most ``n_components``. None
        is the square root of ``n_components``, rounded.
    auxiliary_weight : float, default=1.0
        Weight of the auxiliary loss of 'topk' and 'batch_topk', which revives dead units; see Notes.
    sparse_output : bool, default=False
        Whether `transform` returns a SciPy sparse matrix in CSR format. Without effect where it has to return
        something else, all of it dense: a tensor for a tensor, and a data frame if `set_output` asks for one.
    hidden_layer_sizes : int or array-like of int, default=(128,)
        Widths of the encoder's hidden layers, from the input to the code. An int is a single layer; ``()`` is no
        hidden layer. With ``image_shape``, the numbers of channels of the convolution blocks.
    decoder_hidden_layer_sizes : int, array-like of int or None, default=None
        Widths of the decoder's hidden layers, from the code to the output. None mirrors ``hidden_layer_sizes``.
        With ``image_shape``, both must have the same length.
    activation : str, default='relu'
        Activation of the hidden layers of both networks: 'identity', 'relu', 'elu', 'leaky_relu', 'gelu', 'silu',
        'tanh' or 'sigmoid' (also called 'logistic').
    code_activation : str, default='auto'
        Activation of the code layer; same choices as ``activation``, or 'auto': 'sigmoid' for ``sparsity='kl'``,
        which needs codes between 0 and 1, otherwise 'relu'. If codes may be negative, as with 'identity', units
        compete by magnitude.
    output_activation : str, default='identity'
        Activation of the output layer; same choices as ``activation``. Leave it at 'identity' for
        ``loss='binary_cross_entropy'``, which works on logits and applies the sigmoid itself.
    tied_weights : bool, default=False
        Whether the decoder uses the encoder's weights, transposed, with biases of its own. Needs a decoder that
        mirrors the encoder.
    encoder : torch.nn.Module or None, default=None
        Custom encoder: a module from shape (n, n_features) to shape (n, n_components). `fit` trains a copy,
        starting from the module's weights, and does not centre X. ``hidden_layer_sizes``, ``activation`` and
        ``code_activation`` do not apply to it: for 'kl' it has to end in a sigmoid. Units are selected after it.
    decoder : torch.nn.Module or None, default=None
        Custom decoder: a module from shape (n, n_components) to shape (n, n_features), treated like ``encoder``.
        With ``loss='binary_cross_entropy'`` it must return logits. Its weights are not kept at unit length: with
        'l1', bound them in the module, or small codes with large weights evade the penalty.
    reset_parameters : bool, default=False
        Whether `fit` draws the parameters of ``encoder`` and ``decoder`` anew, from ``random_state``, instead of
        starting from their values. This calls the method ``reset_parameters()`` that torch's layers have, and that
        a module with parameters of its own needs. Frozen modules stay as they are.
    normalization : {'batch', 'layer'} or None, default=None
        Normalisation of the hidden layers, before the activation. 'batch' is batch normalisation (Ioffe and
        Szegedy 2015): each unit, or channel, is normalised over the rows of a batch, which needs at least two
        rows. 'layer' is layer normalisation (Ba, Kiros and Hinton 2016): each row is normalised over its units.
    image_shape : array-like of int or None, default=None
        ``(height, width)`` or ``(height, width, channels)`` of the images in X, whose rows are images flattened in
        C order. The networks are then convolutional; see the Notes of :class:`AutoencoderTransformer`. None is
        dense networks.
    kernel_size : int, default=3
        Height and width of the convolution kernels, an odd number. Needs ``image_shape``.
    downsampling : {'stride', 'pool'}, default='stride'
        How images are downsampled. 'stride': strided convolutions in the encoder, transposed convolutions in the
        decoder. 'pool': max pooling after each convolution of the encoder; in the decoder, images are upsampled
        (nearest neighbour) before each convolution. Needs ``image_shape``.
    downsampling_factor : int or array-like of int, default=2
        Factor by which each convolution block divides height and width, rounding up. An int applies to every entry
        of ``hidden_layer_sizes``. A sequence has one factor per entry and, with ``code_layer='convolution'``, may
        have one more, for the code layer. Needs ``image_shape``.
    code_layer : {'dense', 'convolution'}, default='dense'
        Type of the code layer. With 'convolution' the code is the flattened output of one more convolution, height
        x width x channels units; height and width are kept, unless ``downsampling_factor`` has an entry for the
        code layer. Needs ``image_shape``.
    loss : str or callable, default='squared_error'
        Reconstruction loss, averaged over rows and features: 'squared_error', 'absolute_error', 'huber' (quadratic
        up to a residual of 1, linear beyond) or 'binary_cross_entropy' (for data in [0, 1]). A callable
        ``(reconstruction, target) -> loss`` gets torch tensors of shape (n, n_features) and returns the loss of
        each row, of shape (n,).
    alpha : float, default=0.0
        Strength of the L2 penalty ``alpha / 2 * sum(w ** 2)`` on the weights. Biases are not penalised; tied
        weights count once.
    dropout : float, default=0.0
        Share of hidden units of both networks that are left out at random for each row, in training only
        (Srivastava et al. 2014), in [0, 1). The others are scaled up.
    init : {'auto', 'pca', 'glorot', 'he'}, default='auto'
        Initial weights. 'glorot' draws from the uniform distribution of Glorot and Bengio (2010), 'he' from the
        normal distribution of He et al. (2015), which some use before rectifiers. 'auto' is 'glorot'; 'pca' is for
        :class:`AutoencoderTransformer` only.
    solver : {'adam', 'adamw', 'sgd'}, default='adam'
        Optimiser: Adam (Kingma and Ba 2015), AdamW, in which ``alpha`` is a decoupled weight decay (Loshchilov and
        Hutter 2019), or stochastic gradient descent with Nesterov momentum.
    learning_rate : float or 'auto', default='auto'
        Highest learning rate of the solver. 'auto' is 0.001, or 1.28 divided by the units of the widest hidden
        layer if that is less; for 'sgd' 0.2 and gradients scaled down to a norm of 0.5 unless ``max_grad_norm``
        is given.
    learning_rate_schedule : {'auto', 'constant', 'linear', 'cosine'}, default='auto'
        How the rate changes over the ``max_iter`` epochs of `fit`. 'linear' and 'cosine' warm up over the first
        5% and fall to zero at the end, 'linear' from the middle on. 'auto' is 'constant'. `partial_fit` keeps the
        rate constant.
    momentum : float, default=0.9
        Momentum of ``solver='sgd'``, in [0, 1). The other solvers ignore it.
    max_grad_norm : float or None, default=None
        Gradients of a larger Euclidean norm are scaled down to it.
    batch_size : int or 'auto', default='auto'
        Number of rows per batch. 'auto' is ``min(200, n_samples)``. The last batch of an epoch may be smaller.
    max_iter : int or 'auto', default='auto'
        Maximum number of epochs, that is, passes over the training rows. 'auto' is 200.
    n_init : int, default=1
        Number of starts from different random weights, in different orders of the rows. The best is kept: that of
        the smallest loss of the rows held out or, without any, of the smallest training loss in the last epoch.
        Starts of small dense networks are trained at once; others, and those that callbacks or ``verbose`` watch,
        one after the other, which rounds differently. See :doc:`the guide </guide/training>`.
    shuffle : bool, default=True
        Whether to shuffle the rows before each epoch.
    tol : float or None, default=None
        Tolerance for stopping early. Training stops once the monitored loss, averaged over its noise, has improved
        over ``n_iter_no_change`` epochs by less than ``tol`` times its whole improvement since the start; with a
        schedule, the rate then falls to zero first. If that does not happen within a given number of ``max_iter``
        epochs, there is a :class:`~sklearn.exceptions.ConvergenceWarning`. 0 stops once the loss no longer
        improves at all, and never warns. None always runs ``max_iter`` epochs.
    n_iter_no_change : int, default=10
        Number of epochs that improvements are measured over; see ``tol``. Where these are fewer than 50 steps, as
        many epochs as make 50 steps are compared.
    early_stopping : bool or 'auto', default='auto'
        Whether to hold out ``validation_fraction`` of the rows and to monitor their loss instead of the training
        loss. The weights of the best epoch are restored, however the fit ends; with ``warm_start``, those that it
        started from are among them. 'auto' is False.
    validation_fraction : float, default=0.1
        Fraction of the rows to hold out with ``early_stopping``, in (0, 1).
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the previous fit, with a new solver state, instead of from new
        weights.
    device : str or torch.device, default='cpu'
        Device of the networks: 'cpu', 'cuda', 'cuda:1', 'mps', 'xpu', or 'auto' for the first accelerator
        available, else the CPU. Asking for a device that is not available is an error.
    dtype : {'auto', 'float32', 'float64', 'bfloat16'}, default='auto'
        Precision of training. 'auto' is float64 for float64 data of at most 100,000 entries on the CPU, else
        float32. 'bfloat16' is mixed precision, with float32 weights. Outputs have the floating dtype of the input
        in any case.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the held-out rows, the order of the rows and the noise. With an int, fits on
        the CPU of one machine are reproducible bit for bit. The global generators of NumPy and torch are neither
        read nor changed.
    verbose : bool or int, default=False
        Whether to print the loss of each epoch.

    Attributes
    ----------
    encoder_ : torch.nn.Module
        Encoder, on ``device_`` and in evaluation mode: maps rows of shape (n, n_features) to codes of shape
        (n, n_components).
    decoder_ : torch.nn.Module
        Decoder, on ``device_`` and in evaluation mode: maps codes of shape (n, n_components) to reconstructions of
        shape (n, n_features), in units of X.
    sparsity_weight_ : float
        Strength of the penalty that was used. Only with 'kl' and 'l1'.
    mean_activation_ : ndarray of shape (n_components,)
        Mean code of each unit over the training rows (held-out rows excluded), weighted by ``sample_weight``; over
        recent ones after `partial_fit`, see Notes.
    dead_fraction_ : float
        Fraction of dead units. With 'topk', 'batch_topk' or a 'relu' code, these are units that are zero for every
        training row; with a 'sigmoid' or 'tanh' code, units whose range over the training rows is below 0.01; with
        other codes, units whose range is at most a hundredth of the largest range. `fit` warns if the fraction is
        above one half. After `partial_fit`, the training rows are recent ones, see Notes.
    dead_units_ : ndarray of int of shape (n_dead_units,)
        Indices of the dead units, those of ``dead_fraction_``, in ascending order.
    components_ : ndarray of shape (n_components, n_features)
        What each unit of the code adds to a row, in units of X: the decoder's weights, before the output
        activation and the link of the loss. Only with a decoder of a single dense layer, as with
        ``hidden_layer_sizes=()``, or of dense layers with 'identity' activations.
    offset_ : ndarray of shape (n_features,)
        Offset that the networks subtract from rows before the encoder and add after the decoder, in units of X:
        the mean of the rows given to `fit`, or zeros if the networks are not centred; see the Notes of
        :class:`AutoencoderTransformer`.
    unit_ : float
        Unit that the networks divide rows by after that, and multiply reconstructions by: the deviation of the
        rows given to `fit`, or 1; see the Notes of :class:`AutoencoderTransformer`.
    device_ : torch.device
        Device of the networks.
    n_parameters_ : int
        Number of trained parameters, biases included. Tied weights count once.
    learning_rate_ : float
        Highest learning rate that was used.
    batch_size_ : int
        Number of rows per batch that was used.
    max_iter_ : int
        Number of epochs that was aimed at.
    loss_curve_ : list of float
        Objective of each epoch: the loss, averaged over rows and features, plus the penalties. Passes of
        `partial_fit` add one each.
    loss_ : float
        Last entry of ``loss_curve_``. With ``early_stopping`` the weights that are kept are those of the best
        epoch, which need not be the last.
    validation_loss_curve_ : list of float
        Loss of the held-out rows after each epoch, without penalties. Only with ``early_stopping``.
    best_loss_ : float
        Loss of the best weights for the held-out rows with ``early_stopping``, those at the start included;
        otherwise the smallest entry of ``loss_curve_``.
    n_iter_ : int
        Number of epochs of the last `fit`, plus that of passes of `partial_fit` since.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names that are all strings.

    See Also
    --------
    AutoencoderTransformer : Without sparsity, with a contractive penalty.
    sklearn.decomposition.SparsePCA : Sparse components, where here the codes are sparse.
    sklearn.decomposition.DictionaryLearning : Sparse codes found by optimisation for each row.

    Notes
    -----
    The objective is that of :class:`AutoencoderTransformer`, without the contractive penalty. For 'kl' and 'l1' it
    also has ``sparsity_weight`` times

    .. math::
        \sum_{k} t \log \frac{t}{r_k} + (1 - t) \log \frac{1 - t}{1 - r_k}
        \qquad \text{or} \qquad \frac{1}{n} \sum_{i=1}^{n} \sum_{k} |z_{ik}|

    with the codes :math:`z_{ik}`, their means :math:`r_k` over a batch, and :math:`t` = ``sparsity_target``. 'kl'
    and 'winner_take_all' need batches of a hundred rows or more, since they work on statistics of a batch.

    *Dead units.* Three measures keep units from dying. Rows are centred before the encoder. The biases of the code
    layer start where the mean of each unit, before the activation, is zero [7]_, or for 'kl' where the activation
    is ``sparsity_target``. For 'l1', 'topk' and 'batch_topk', the decoder's weights of each unit (in its first
    layer, if it has several) are kept at unit length, so that no unit can outgrow the others and small codes with
    large weights cannot evade the L1 penalty; not so with ``tied_weights``. Without hidden layers, the encoder's
    weights then start as the transpose of the decoder's [4]_.

    *Auxiliary loss.* A unit of 'topk' or 'batch_topk' is dead if it was active for no row of the last
    ``40 * n_components / n_active`` rows (at least 2000, at most an epoch). Dead units join the active ones in a
    second pass through the decoder, each in those rows of a batch in which it is largest, four times the share
    ``n_active / n_components``. The loss of this pass, times ``auxiliary_weight``, contributes to the gradient,
    not to the reported loss, so that dead units learn to reconstruct the residual. It is a variant of the
    auxiliary loss of [4]_.

    *Fewer than n_active.* A 'relu' code may have fewer than ``n_active`` positive units in a row; 'topk' then
    returns fewer nonzero codes.

    *Held-out rows* are evaluated without the penalties, with units selected as in training.

    *After* `partial_fit`, ``mean_activation_``, ``dead_fraction_``, ``dead_units_`` and the threshold of
    'batch_topk' describe recent rows: each call measures its own rows, as the networks encode them after its pass,
    and what it finds is joined with that of the calls before, `fit` included. Each time that 2000 more rows
    have come together, all before them is forgotten. So a small portion does not make units look dead, and a unit
    that dies counts as dead some thousands of rows later. ``(model.transform(X) != 0).any(axis=0)`` tells which
    units are active for X by now.

    *Sample weights.* An integer weight is equivalent to repeating the row, as long as one batch holds all the
    copies. Where the rows of a batch compete, the selection is weighted: 'winner_take_all' keeps a unit in the
    rows in which it is largest until these hold the fraction ``sparsity_target`` of the batch's weight. Equal
    codes are kept or dropped together.

    Centring, initial weights, early stopping and reproducibility are otherwise as described in the Notes of
    :class:`AutoencoderTransformer`.

    References
    ----------
    .. [1] A. Ng (2011).
       Sparse autoencoder. CS294A lecture notes, Stanford University.
    .. [2] B. A. Olshausen and D. J. Field (1997). Sparse coding with an overcomplete basis set: a strategy
       employed by V1? Vision Research 37, 3311-3325.
    .. [3] A. Makhzani and B. Frey (2013).
       k-sparse autoencoders. arXiv:1312.5663.
    .. [4] L. Gao, T. Dupre la Tour, H. Tillman, G. Goh, R. Troll, A. Radford, I. Sutskever, J. Leike and J. Wu
       (2024). Scaling and evaluating sparse autoencoders. arXiv:2406.04093.
    .. [5] B. Bussmann, P. Leask and N. Nanda (2024).
       BatchTopK sparse autoencoders. arXiv:2412.06410.
    .. [6] A. Makhzani and B. Frey (2015).
       Winner-take-all autoencoders. NeurIPS.
    .. [7] T. Salimans and D. P. Kingma (2016). Weight normalization: a simple reparameterization to accelerate
       training of deep neural networks. NeurIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import SparseAutoencoder
    >>> X = StandardScaler().fit_transform(load_digits().data)
    >>> autoencoder = SparseAutoencoder(
    ...     200, hidden_layer_sizes=(), sparsity="topk", n_active=10, sparse_output=True, max_iter=30,
    ...     random_state=0,
    ... )
    >>> Z = autoencoder.fit_transform(X)
    >>> Z.shape, Z.nnz // len(X)
    ((1797, 200), 10)
    >>> bool(autoencoder.dead_fraction_ < 0.1)
    True
    """

    _automatic = STEADY
    _reads_code_activation = True  # to select units, and to tell dead ones
    _reads_by_choice = MappingProxyType({"sparsity": _READS})

    code_activation: str = parameter(StrOptions({"auto", *ACTIVATIONS}), default="auto")
    sparsity: Any = parameter(StrOptions(set(_READS)), default="kl")
    sparsity_weight: Any = parameter(StrOptions({"auto"}), NON_NEGATIVE, default="auto")
    sparsity_target: float = parameter(FRACTION, default=0.1)
    sparsity_warm_up: int = parameter(AT_LEAST_ZERO, default=0)
    n_active: int | None = parameter(AT_LEAST_ONE, None, default=None)
    auxiliary_weight: float = parameter(NON_NEGATIVE, default=1.0)
    sparse_output: bool = parameter("boolean", default=False)

    def transform(self, X):
        """Map rows to their codes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        Z : {ndarray, sparse matrix} of shape (n_samples, n_components)
            Codes, of X's floating dtype; in CSR format with ``sparse_output=True``, unless `set_output` asks for
            data frames, whose columns are dense. The code of a row does not depend on the other rows.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, contains NaN or infinity, or differs from the data of `fit` in the number
            or the names of its features.
        """
        framed = _get_output_config("transform", self)["dense"] != "default"
        if not self.sparse_output or framed:
            return super().transform(X)
        checked = self._check(X, "transform")
        if not (isinstance(checked, np.ndarray) or sparse.issparse(checked)):
            return super().transform(X)
        encode, watch = forward(self.encoder_, arrays.torch_dtype(checked)), SupportWatch(self._supports_of_inputs)
        parts, check = [], arrays.finite_check(self, checked)
        with self._inference(checked.shape[0]):  # so that the dense codes are never there as a whole
            for _, x in chunks(arrays.to_torch(checked), self._widest * checked.dtype.itemsize):
                check(x)
                parts.append(sparse.csr_array(encode(x.to(self.device_), None).cpu().numpy()))
                watch.see(x)
        watch.warn()
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
        return (self._selects or self.sparsity == "l1") and not self.tied_weights and self.decoder is None

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
                "SparseAutoencoder sets the bias and the norm of the weights of each unit of the code, but with "
                "code_layer='convolution' units share these. Use code_layer='dense'."
            )
        activation = architecture.code_activation
        if activation == "auto" or self.encoder is not None:
            activation = "sigmoid" if self.sparsity == "kl" else "relu" if self.encoder is None else "identity"
        if self.sparsity == "kl" and activation != "sigmoid":
            raise ValueError(
                "sparsity='kl' compares mean activations with sparsity_target as probabilities, which needs "
                f"codes between 0 and 1, but code_activation={self.code_activation!r}. Use code_activation="
                "'sigmoid' or 'auto', or another sparsity."
            )
        selection: tuple | None = None
        if self._selects:
            selection = ("topk", self._n_active()) if self.sparsity == "topk" else ("threshold",)
        return architecture._replace(code_activation=activation, selection=selection)

    @torch.no_grad()
    def _initialize_weights(self, setup: Setup, encoder: Any, decoder: Any) -> None:
        if self._bounds_columns:
            weight = decoder.blocks[0].linear.weight
            sparsity.scale_to_unit_length(weight.t())
            if self.encoder is None and len(encoder.blocks) == len(decoder.blocks) == 1:
                encoder.blocks[0].linear.weight.copy_(weight.t())
        rows, width = (setup.data.inputs(), setup.data), setup.architecture.encoder_layer_sizes[-1]
        if self.encoder is not None:
            if self.sparsity == "kl":
                _check_activations(activity(encoder, *rows, width))
            return
        target, linear = self.sparsity_target, encoder.blocks[-1].linear
        usual = math.log(target / (1 - target)) if self.sparsity == "kl" else 0.0
        found = activity(nn.Sequential(*encoder.blocks[:-1], linear), *rows, width)
        linear.bias.sub_((found.mean - usual).to(linear.bias.dtype))

    def _projections(self, setup: Setup) -> list[Callable[[torch.Tensor], object]]:
        return [sparsity.scale_to_unit_length] if self._bounds_columns else []

    def _penalties(self, setup: Setup) -> list[Penalty]:
        if self.sparsity not in _AUTO_WEIGHTS:
            return []
        weight = self._penalty_weight(self._baseline_of(setup), setup.data.unit)
        weight /= 1.0 if self.loss is None else setup.loss_unit(loss_by(self.loss))
        largest = torch.finfo(setup.dtype).max  # of rows in tiny units, beside whose loss no penalty is learnt
        strength = WarmUp(min(weight, largest), self.sparsity_warm_up)
        if self.sparsity == "kl":
            return [sparsity.kl(strength, self.sparsity_target)]
        return [sparsity.l1(strength, self._signed(setup.architecture))]

    def _baseline_of(self, setup: Setup) -> Baseline | None:
        """Measure what the weight of a penalty goes with; None where it is a number, or there is no penalty."""
        if self.sparsity_weight != "auto" or self.sparsity not in _AUTO_WEIGHTS or self.loss is None:
            return None
        # Later portions of partial_fit get the weight of the first.
        known = getattr(setup.previous, "_baseline", None) if setup.goes_on else None
        loss = loss_by(self.loss).in_unit(setup.data.unit)
        return baseline(loss, setup.data) if known is None else Baseline(*known)

    def _penalty_weight(self, measured: Baseline | None, unit: float) -> float:
        """Return the strength of a penalty, which by default follows the units of the data and of the loss.

        Codes are in those of rows that have been divided by ``unit``.
        """
        if self.sparsity_weight != "auto":
            return self.sparsity_weight
        weight = _AUTO_WEIGHTS[self.sparsity]
        if measured is None or not measured.deviation:  # rows that are all equal have no scale
            return weight
        return weight * measured.loss / (measured.deviation / unit if self.sparsity == "l1" else 1.0)

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
        dead, units = None, getattr(setup.previous, "_dead_unit_numbers", ())
        if units:
            dead = torch.zeros(self.n_components, dtype=setup.dtype, device=setup.device)
            dead[list(units)] = 1
        n_rows = None if setup.mode is Mode.INCREMENTAL else setup.data.n_train
        return DeadUnits(self.auxiliary_weight, self._n_active() / self.n_components, n_rows, dead)

    # Afterwards -------------------------------------------------------------------------------------------

    def _finalize_networks(self, fit: Fit, encoder: Any, decoder: Any, architecture: Architecture) -> tuple:
        if self.sparsity == "batch_topk":
            freeze_threshold(encoder, fit, self._n_active(), self.n_components)
        return encoder, decoder, architecture

    def _fitted_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        data, architecture = fit.setup.data, fit.architecture
        encode = getattr(encoder, "encode", encoder)  # a module of the user's own has no other method
        found = activity(encode, fit.inputs, data, architecture.encoder_layer_sizes[-1], fit)
        dead = found.dead(architecture.code_activation, self._selects)
        known = getattr(fit.objective.bottleneck, "dead_units", None)
        numbers = () if known is None or known.dead is None else tuple(known.dead.nonzero()[:, 0].tolist())
        measured = self._baseline_of(fit.setup)
        weight = {}
        if self.sparsity in _AUTO_WEIGHTS:
            weight["sparsity_weight_"] = float(self._penalty_weight(measured, fit.setup.data.unit))
        return {
            **weight,
            "_baseline": None if measured is None else tuple(measured),
            "mean_activation_": arrays.array_like(data.X, found.mean),
            "dead_fraction_": int(dead.sum()) / len(dead),
            "dead_units_": arrays.to_namespace_of(data.X, dead.cpu().numpy().nonzero()[0]),
            "_dead_unit_numbers": numbers,
        }

    def _warn_after_fit(self, history: History) -> None:
        if self.dead_fraction_ > 0.5 and not history.outweighed:
            warn(
                f"{self.dead_fraction_:.0%} of the {self._n_features_out} units are dead: each has one value "
                f"for all training rows, and tells none apart. {self._remedy()}",
            )

    def _remedy(self) -> str:
        """Say what to do about dead units, what helps most first, with the values that were used."""
        rate = f"lower learning_rate, which was {self.learning_rate_:.4g}"
        if self.sparsity == "winner_take_all":
            return f"Raise sparsity_target, which is {self.sparsity_target:g}, or {rate}."
        if not self._selects:
            other = "sparsity_target" if self.sparsity == "kl" else "sparsity_warm_up"
            weight = f"Lower sparsity_weight, which was {self.sparsity_weight_:.4g}"
            return f"{weight}, or raise {other}, which is {getattr(self, other):g}."
        remedies = [
            f"raise max_iter, which was {self.max_iter_}",
            f"raise auxiliary_weight, which is {self.auxiliary_weight:g}",
            f"raise n_active, which was {self._n_active()}",
            f"lower n_components, which is {self.n_components}",
        ]
        best, single = self._best_rate(), self.sparsity == "topk" and self._n_active() == 1
        if single:  # more than any rate or number of epochs, but not at a low rate
            remedies.insert(0, remedies.pop(1))
        if self.learning_rate_ > best and self.learning_rate != "auto":
            remedies.insert(0, rate)
        elif self.learning_rate_ < best and self.solver != "sgd":
            raised = f"raise learning_rate to {best:g}, which was {self.learning_rate_:.4g}"
            if single:
                remedies[0] += f", and {raised}, both at once"
            elif self.max_iter_ < _SHORT:
                remedies[0] = f"{raised}, and max_iter, which was {self.max_iter_}, both at once"
            else:
                remedies.insert(0, raised)
        return f"Try in this order: {'; '.join(remedies)}."

    def _best_rate(self) -> float:
        """Return the rate of Adam that leaves the fewest units of a top-k code dead."""
        shapes = (self._architecture[f"{name}_layer_sizes"] for name in ("encoder", "decoder"))
        if any(len(sizes) > 1 for sizes in shapes) or self.encoder is not None or self.decoder is not None:
            return min(self.learning_rate_, bearable(STEADY.learning_rate, self))  # lower ones do no harm
        return _BEST_RATE


def _check_activations(found: Activity) -> None:
    """Check that a user's encoder returns what can be compared with ``sparsity_target``."""
    lowest, highest = float(found.lowest.min()), float(found.highest.max())
    if lowest < 0 or highest > 1:
        raise ValueError(
            "sparsity='kl' compares mean activations with sparsity_target as probabilities, which needs codes "
            f"between 0 and 1, but those of encoder go from {lowest:.4g} to {highest:.4g}. Let it end in "
            "torch.nn.Sigmoid(), or use another sparsity."
        )
