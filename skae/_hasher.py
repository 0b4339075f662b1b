"""The semantic hasher: an autoencoder whose codes are bits."""

from typing import Any, ClassVar

import torch

from ._base import BaseAutoencoder
from ._bottleneck.noisy_sigmoid import NoisySigmoid
from ._data import arrays
from ._fitted.activity import activity, balance, bits_and_saturated, pack, some_rows
from ._networks.building import Architecture
from ._networks.inference import forward
from ._objectives.penalties import WarmUp
from ._objectives.support import SupportWatch
from ._support.parameters import AT_LEAST_ONE, AT_LEAST_ZERO, NON_NEGATIVE, parameter
from ._training.automatic import STEADY
from ._training.fitting import Fit
from ._training.setup import Mode, Setup


class SemanticHasher(BaseAutoencoder):
    r"""Semantic hashing: an autoencoder whose codes are bits, for search by Hamming distance.

    Similar rows get codes that differ in few bits, so that neighbours are found by Hamming distance, or by looking
    up a few buckets of equal codes, in a fraction of the memory [1]_. In training the code layer is a sigmoid, and
    Gaussian noise is added to its logits: only units that saturate at 0 or 1 carry information through it. The
    noise grows from zero, so that bits emerge from codes that are smooth at first. After training, codes are
    rounded to bits.

    Parameters
    ----------
    n_bits : int, default=32
        Number of bits of a code.
    noise_level : float, default=4.0
        Standard deviation of the noise on the units' logits after warm-up. More noise saturates more units, and
        takes more epochs.
    noise_warm_up : int, default=10
        Number of epochs over which the noise grows linearly from zero to ``noise_level``. They are counted
        over all passes of `partial_fit`; a warm start begins at full strength. ``tol`` and ``early_stopping``
        ignore them.
    hidden_layer_sizes : int or array-like of int, default=(128,)
        Widths of the encoder's hidden layers, from the input to the code. An int is a single layer; ``()`` is no
        hidden layer. With ``image_shape``, the numbers of channels of the convolution blocks.
    decoder_hidden_layer_sizes : int, array-like of int or None, default=None
        Widths of the decoder's hidden layers, from the code to the output. None mirrors ``hidden_layer_sizes``.
        With ``image_shape``, both must have the same length.
    activation : str, default='relu'
        Activation of the hidden layers of both networks: 'identity', 'relu', 'elu', 'leaky_relu', 'gelu', 'silu',
        'tanh' or 'sigmoid' (also called 'logistic').
    output_activation : str, default='identity'
        Activation of the output layer; same choices as ``activation``. Leave it at 'identity' for
        ``loss='binary_cross_entropy'``, which works on logits and applies the sigmoid itself.
    encoder : torch.nn.Module or None, default=None
        Custom encoder: a module from shape (n, n_features) to shape (n, n_bits), whose output is the logits of the
        bits. `fit` trains a copy, starting from the module's weights, and does not centre X.
        ``hidden_layer_sizes`` and ``activation`` do not apply to it.
    decoder : torch.nn.Module or None, default=None
        Custom decoder: a module from shape (n, n_bits) to shape (n, n_features), treated like ``encoder``.
        With ``loss='binary_cross_entropy'`` it must return logits.
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
        Encoder, on ``device_`` and in evaluation mode: maps rows of shape (n, n_features) to zeros and ones of
        shape (n, n_bits).
    decoder_ : torch.nn.Module
        Decoder, on ``device_`` and in evaluation mode: maps codes of shape (n, n_bits) to reconstructions of shape
        (n, n_features), in units of X.
    bit_frequencies_ : ndarray of shape (n_bits,)
        Fraction of the training rows, of recent ones after `partial_fit`, in which each bit is set; of the
        floating dtype of X. One half is best; a bit that is rarely or nearly always set carries little
        information.
    saturation_ : float
        Fraction of the codes of the same rows, over rows and units, that are within 0.1 of 0 or 1 before rounding,
        without noise.
    components_ : ndarray of shape (n_bits, n_features)
        What each bit adds to a row, in units of X: the decoder's weights, before the output
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
        Number of trained parameters, biases included.
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
    AutoencoderTransformer : Codes that are real numbers.
    sklearn.neighbors.NearestNeighbors : Searches among codes with ``metric='hamming'``.

    Notes
    -----
    With the logits :math:`v_i` of the code layer, standard normal noise :math:`\varepsilon_i`, drawn anew for each
    batch, the sigmoid :math:`\sigma` and the decoder :math:`g`, the objective is

    .. math::
        \frac{1}{n d} \sum_{i=1}^{n} \sum_{j=1}^{d}
        \ell\bigl(g(\sigma(v_i + s \varepsilon_i))_j, x_{ij}\bigr) + \frac{\alpha}{2} \sum_w w^2

    where the standard deviation :math:`s` of the noise grows to ``noise_level`` during warm-up. Since the loss
    rises with the noise, loss curves may rise during warm-up. The fitted encoder adds no noise: a bit is set where
    :math:`v > 0`. Held-out rows are evaluated by the reconstruction from their bits, as by `reconstruct` and
    `score`.

    *Balanced, uncorrelated bits* carry the most information. The code layer's initial weights are changed so that
    the logits have mean zero and variance one and are uncorrelated over (a sample of) the training rows, unless
    the layer is a convolution. Training does not enforce this later; see ``bit_frequencies_``.

    Weights cannot be tied: the encoder's grow until the logits overcome the noise, the decoder's do not.

    Centring, initial weights, early stopping and reproducibility are otherwise as described in the Notes of
    :class:`AutoencoderTransformer`.

    References
    ----------
    .. [1] R. Salakhutdinov and G. Hinton (2009). Semantic hashing. International Journal of Approximate Reasoning
       50, 969-978.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from skae import SemanticHasher
    >>> X, y = load_digits(return_X_y=True)
    >>> hasher = SemanticHasher(
    ...     24, learning_rate=5e-3, batch_size=50, max_iter=40, tol=None, random_state=0
    ... )
    >>> pipe = make_pipeline(hasher, KNeighborsClassifier(metric="hamming"))
    >>> pipe = pipe.fit(X[:1400] / 16, y[:1400])
    >>> bool(pipe.score(X[1400:] / 16, y[1400:]) > 0.85)
    True
    >>> hasher.transform(X[:2] / 16).dtype, hasher.pack(X[:2] / 16).shape
    (dtype('uint8'), (2, 3))
    """

    _automatic = STEADY

    n_bits: int = parameter(AT_LEAST_ONE, default=32, positional=True)
    noise_level: float = parameter(NON_NEGATIVE, default=4.0)
    noise_warm_up: int = parameter(AT_LEAST_ZERO, default=10)

    # No parameters here: bits are what the code has, and the logistic function follows the code layer.
    n_components: ClassVar = property()  # type: ignore[misc]
    code_activation: ClassVar = "identity"  # type: ignore[misc]
    tied_weights: ClassVar = False  # type: ignore[misc]
    _width_parameter = "n_bits"

    def transform(self, X):
        """Map rows to bits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_bits)
            Zeros and ones, of dtype uint8. The bits of a row do not depend on the other rows.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, contains NaN or infinity, or differs from the data of `fit` in the number
            or the names of its features.
        """
        X = self._check(X, "transform")
        encode = forward(self.encoder_, arrays.torch_dtype(X))
        return self._bytes(X, encode, self._n_features_out)

    def _check_codes(self, Z):
        checked = super()._check_codes(Z)
        return checked if arrays.is_floating(Z) else arrays.cast(checked, arrays.torch_dtype(self.offset_))

    def pack(self, X):
        """Map rows to bits packed into bytes.

        ``numpy.unpackbits(packed, axis=1, count=n_bits)`` is what `transform` returns.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        packed : ndarray of shape (n_samples, ceil(n_bits / 8))
            Bytes, of dtype uint8. The first bit is the highest one of the first byte; the last byte is padded with
            zeros.
        """
        X = self._check(X, "pack")
        encode = forward(self.encoder_, arrays.torch_dtype(X))
        n_bytes = -(-self._n_features_out // 8)
        return self._bytes(X, lambda x, out: pack(encode(x, out)), n_bytes)

    def _bytes(self, X, code, width: int):
        watch = SupportWatch(self._supports_of_inputs)
        return self._stream(X, lambda x, out: out.copy_(code(x, None)), width, torch.uint8, watch)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    # What makes codes bits --------------------------------------------------------------------------------

    def _adapt_architecture(self, architecture: Architecture, mode: Mode) -> Architecture:
        return architecture._replace(selection=("bits",))

    def _initialize_weights(self, setup: Setup, encoder: Any, decoder: Any) -> None:
        balance(encoder, some_rows(setup.data.inputs(), setup.data.train_rows))

    def _bottleneck(self, setup: Setup) -> NoisySigmoid:
        return NoisySigmoid(WarmUp(self.noise_level, self.noise_warm_up), setup.generator)

    def _fitted_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        data, n_bits = fit.setup.data, fit.architecture.encoder_layer_sizes[-1]
        found = activity(bits_and_saturated(encoder), fit.inputs, data, 2 * n_bits, fit).mean
        return {
            "bit_frequencies_": arrays.array_like(data.X, found[:n_bits]),
            "saturation_": float(found[n_bits:].mean()),
        }
