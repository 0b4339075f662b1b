"""The semantic hasher: an autoencoder whose codes are bits."""

from dataclasses import field
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval

from ._base import BaseAutoencoder
from ._bottleneck.noisy_sigmoid import NoisySigmoid
from ._data import arrays
from ._fitted.activity import activity
from ._fitted.hashing import balance, bits_and_saturated, pack, some_rows
from ._networks.inference import forward
from ._networks.networks import Architecture
from ._objectives.warm_up import WarmUp
from ._training.prepare import Fit
from ._training.setup import Mode, Setup


class SemanticHasher(BaseAutoencoder):
    r"""Semantic hashing: an autoencoder whose codes are bits, for searching by Hamming distance.

    Rows that look alike to the autoencoder get codes that differ in few bits, so that neighbours can be found by
    counting these, or by looking into a few buckets of equal codes, in a hundredth of the memory [1]_. While
    fitting, the code is logistic, and noise is added before the logistic function: only units that are driven to
    either end get through. The noise grows, so that bits are learnt from codes that were smooth at first.

    Parameters
    ----------
    n_bits : int, default=32
        Number of bits of a code.
    hidden_layer_sizes : int or array-like of int, default=(128,)
        Widths of the encoder's hidden layers, from the input to the code; ``()`` is none. An integer is one
        layer. With ``image_shape``, numbers of channels.
    decoder_hidden_layer_sizes : int, array-like of int or None, default=None
        Widths of the decoder's hidden layers, from the code to the output. None mirrors ``hidden_layer_sizes``.
        With ``image_shape`` it must be as long as that.
    activation : str, default='relu'
        Activation of the hidden layers of both networks: 'identity', 'relu', 'elu', 'leaky_relu', 'gelu',
        'silu', 'tanh', 'sigmoid', or its other name 'logistic'.
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
    noise_level : float, default=4.0
        Standard deviation, at its largest, of the noise that is added to the units' logits in training. More
        noise saturates more units, and takes more epochs.
    noise_warm_up : int, default=10
        Number of epochs in which the noise grows evenly from nothing to ``noise_level``. They are counted anew by
        each `fit` from new weights, and over all passes of `partial_fit`; none of them counts as flat or as the
        best.

    Attributes
    ----------
    bit_frequencies_ : ndarray of shape (n_bits,)
        The share of training rows for which each bit is set, of the floating dtype of the data that were given to
        `fit`. The best is one half: a bit that is rarely set tells little.
    saturation_ : float
        The share of the training rows' codes that are within 0.1 of either end before they are rounded, without
        noise.
    encoder_ : torch.nn.Module
        The encoder, on ``device_`` and in evaluation mode: rows of shape (n, n_features) to zeros and ones of
        shape (n, n_bits).
    decoder_ : torch.nn.Module
        The decoder, likewise: codes to reconstructions in the data's space, of shape (n, n_features).
    offset_ : ndarray of shape (n_features,)
        What is subtracted from each row before the encoder and added after the decoder, inside the networks:
        the mean of the rows given to `fit`, or zeros where the networks are not centred (see Notes).
    device_ : torch.device
        The device of the networks.
    n_parameters_ : int
        Number of trained parameters, biases included.
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

    See Also
    --------
    AutoencoderTransformer : Codes that are numbers.
    sklearn.neighbors.NearestNeighbors : Searches among codes with ``metric='hamming'``.

    Notes
    -----
    With logits :math:`v_i` of the code layer, standard normal noise :math:`\varepsilon_i` and the logistic
    function :math:`\sigma`, the objective of an epoch in which the noise has the standard deviation :math:`s` is

    .. math::
        \frac{1}{n d} \sum_{i=1}^{n} \sum_{j=1}^{d}
        \ell\bigl(g(\sigma(v_i + s \varepsilon_i))_j, x_{ij}\bigr) + \frac{\alpha}{2} \sum_w w^2

    Noise is drawn anew for each batch. A fitted encoder has none: a bit is set where :math:`v > 0`. Since the loss
    rises with the noise, curves fall only after ``noise_warm_up`` epochs. Rows held out for ``early_stopping`` are
    judged by what is restored from their bits, which is also what `reconstruct` and `score` do.

    *Balanced, decorrelated bits* hold most. The first weights of the code layer are changed so that logits are
    centred and uncorrelated over (a sample of) the training rows, with a variance of one, unless that layer is a
    convolution, whose units share their weights. Nothing but the decoder,
    which would waste bits that are not, keeps them so later; ``bit_frequencies_`` tells how well it did.

    Weights are never tied: those of the encoder grow until logits overcome the noise, those of the decoder do not.

    The noise takes many steps to overcome. On few rows, where there are few steps in an epoch, use a larger
    ``learning_rate``, a smaller ``batch_size`` or a longer ``noise_warm_up``.

    Centring, first weights, early stopping and reproducibility are otherwise as described for
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
    >>> hasher = SemanticHasher(24, learning_rate=5e-3, batch_size=50, max_iter=40, tol=None, random_state=0)
    >>> pipe = make_pipeline(hasher, KNeighborsClassifier(metric="hamming")).fit(X[:1400] / 16, y[:1400])
    >>> bool(pipe.score(X[1400:] / 16, y[1400:]) > 0.85)
    True
    >>> hasher.transform(X[:2] / 16).dtype, hasher.pack(X[:2] / 16).shape
    (dtype('uint8'), (2, 3))
    """

    n_bits: int = field(default=32, kw_only=False)
    noise_level: float = 4.0
    noise_warm_up: int = 10

    # No parameters here: bits are what the code has, and the logistic function follows the code layer.
    n_components: ClassVar = property()  # type: ignore[misc]
    code_activation: ClassVar = "identity"  # type: ignore[misc]
    _width_parameter = "n_bits"

    _parameter_constraints: ClassVar[dict] = {
        **{
            name: constraints
            for name, constraints in BaseAutoencoder._parameter_constraints.items()
            if name not in ("n_components", "code_activation")
        },
        "n_bits": [Interval(Integral, 1, None, closed="left")],
        "noise_level": [Interval(Real, 0, None, closed="left")],
        "noise_warm_up": [Interval(Integral, 0, None, closed="left")],
    }

    def transform(self, X):
        """Map rows to bits.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_bits)
            Zeros and ones, of dtype uint8. Each row's depend on that row alone.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or has another width or other feature names than
            in `fit`.
        """
        X = self._check(X, "transform")
        encode = forward(self.encoder_, arrays.torch_dtype(X))
        return self._stream(X, lambda x, out: out.copy_(encode(x, None)), self._n_features_out, torch.uint8)

    def pack(self, X):
        """Map rows to bits, eight of which are a byte.

        ``numpy.unpackbits(packed, axis=1, count=n_bits)`` is what `transform` returns.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        packed : ndarray of shape (n_samples, ceil(n_bits / 8))
            Bytes, of dtype uint8; the first bit is the highest of the first byte, and zeros fill the last one up.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or has another width or other feature names than
            in `fit`.
        """
        X = self._check(X, "pack")
        encode = forward(self.encoder_, arrays.torch_dtype(X))
        n_bytes = -(-self._n_features_out // 8)
        return self._stream(X, lambda x, out: out.copy_(pack(encode(x, None))), n_bytes, torch.uint8)

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
        measure = bits_and_saturated(encoder)
        found = activity(measure, fit.inputs, data.train_rows, None, 2 * n_bits).mean
        frequencies = found[:n_bits].to(arrays.torch_dtype(data.X)).cpu().numpy()
        return {
            "bit_frequencies_": arrays.to_namespace_of(data.X, frequencies),
            "saturation_": float(found[n_bits:].mean()),
        }
