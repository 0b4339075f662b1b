"""The stacked autoencoder: one shallow autoencoder at a time, each on the codings of the one before."""

import functools
from collections.abc import Callable
from numbers import Real
from types import MappingProxyType
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

from ._base import TakesSampleWeight
from ._data.corruption import NOISES, READ_BY_NOISE
from ._networks.building import Architecture
from ._support.parameters import AT_LEAST_ONE, NON_NEGATIVE, parameter
from ._training.automatic import Automatic
from ._training.fitting import Fit, Phase
from ._training.pretraining import Pretraining
from ._training.setup import Mode


class StackedAutoencoder(TakesSampleWeight):
    """Stacked autoencoder: greedy layer-wise pretraining, then joint fine-tuning.

    The first layer is trained as a shallow autoencoder of the data, the second as one of the first layer's codes,
    and so on to the code layer. Then all layers, unrolled into one deep autoencoder, are trained together [1]_
    [2]_. This helps where a deep network is hard to train from scratch, most of all with sigmoid or tanh units.

    The layers are ``(*hidden_layer_sizes, n_components)``; the decoder mirrors them.

    Parameters
    ----------
    n_components : int, default=16
        Width of the code. It may exceed the number of features, but such a code can copy the rows: if it
        is asked for, `fit` warns, unless noise, a penalty or a narrow layer keeps it from that.
    pretrain_max_iter : int, default=50
        Maximum number of epochs of pretraining for each layer. ``max_iter`` is that of fine-tuning.
    fine_tune : bool, default=True
        Whether to train all layers together after pretraining.
    noise : {'gaussian', 'isotropic', 'white', 'masking', 'salt_and_pepper'}, callable or None, default=None
        Corruption of each layer's inputs in pretraining, and of the rows in fine-tuning, as in
        :class:`DenoisingAutoencoder`. This makes a stacked denoising autoencoder [3]_. None is no noise.
    noise_level : float, default=0.3
        For 'gaussian', the standard deviation of the noise in units of each feature's standard deviation; for
        'isotropic', in units of the root of the features' mean variance, ``np.sqrt(X.var(axis=0).mean())``; for
        'white', in units of X; deeper layers, whose inputs are codings, are pretrained with 'isotropic' noise that
        is as large beside that root. For 'masking' and 'salt_and_pepper', the probability that an entry is
        corrupted. A callable ignores it.
    clean_fraction : float or 'auto', default='auto'
        Probability that a row of a batch stays clean, in [0, 1]. 'auto' is 0.2 for 'masking' and
        'salt_and_pepper', since networks that have only seen rows with missing or wrong entries reconstruct whole
        rows badly; see Notes of :class:`DenoisingAutoencoder`. It is 0 for 'gaussian', 'isotropic', 'white' and a
        callable.
    hidden_layer_sizes : int or array-like of int, default=(128,)
        Widths of the encoder's hidden layers, from the input to the code. An int is a single layer; ``()`` is no
        hidden layer. With ``image_shape``, the numbers of channels of the convolution blocks.
    decoder_hidden_layer_sizes : int, array-like of int or None, default=None
        Widths of the decoder's hidden layers, from the code to the output. None mirrors ``hidden_layer_sizes``.
        With ``image_shape``, both must have the same length.
    activation : str, default='relu'
        Activation of the hidden layers of both networks: 'identity', 'relu', 'elu', 'leaky_relu', 'gelu', 'silu',
        'tanh' or 'sigmoid' (also called 'logistic').
    code_activation : str, default='identity'
        Activation of the code layer; same choices as ``activation``.
    output_activation : str, default='identity'
        Activation of the output layer; same choices as ``activation``. Leave it at 'identity' for
        ``loss='binary_cross_entropy'``, which works on logits and applies the sigmoid itself.
    tied_weights : bool, default=False
        Whether the decoder uses the encoder's weights, transposed, with biases of its own. Needs a decoder that
        mirrors the encoder.
    encoder : None, default=None
        Must be None: layers are trained one after the other, and a custom module is trained as a whole. For custom
        networks, use :class:`AutoencoderTransformer`.
    decoder : None, default=None
        Must be None, as ``encoder``.
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
        Highest learning rate of the solver. 'auto' is 0.01, but 1.28 divided by the units of the widest
        hidden layer if that is less; for 'sgd' 0.2; and 0.001 in `partial_fit`, which has no end. With 'auto'
        for 'sgd', and for networks or a ``_penalty`` of your own, gradients are scaled down to a norm of 0.5
        unless ``max_grad_norm`` is given.
    learning_rate_schedule : {'auto', 'constant', 'linear', 'cosine'}, default='auto'
        How the rate changes over the ``max_iter`` epochs of `fit`. 'linear' and 'cosine' warm up over the first
        5% and fall to zero at the end, 'linear' from the middle on. 'auto' is 'linear' for
        ``learning_rate='auto'``, else 'constant'. `partial_fit` keeps the rate constant.
    momentum : float, default=0.9
        Momentum of ``solver='sgd'``, in [0, 1). The other solvers ignore it.
    max_grad_norm : float or None, default=None
        Gradients of a larger Euclidean norm are scaled down to it.
    batch_size : int or 'auto', default='auto'
        Number of rows per batch. 'auto' is a sixteenth of the rows, at least 16 and at most 64; up to 64
        rows are one batch. In `partial_fit` it is ``min(200, n_samples)``. The last batch of an epoch may be
        smaller.
    max_iter : int or 'auto', default='auto'
        Maximum number of epochs, that is, passes over the training rows. 'auto' is as many as make 2500 steps,
        at least 20 and at most 300.
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
        started from are among them. 'auto' is True where ``max_iter='auto'``, and holds out
        ``validation_fraction`` of the rows, but at least 40 of them, or a quarter of few rows; else False. Equal
        rows are held out together; if that leaves fewer than ten different ones, many times over, none are.
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
    layer_loss_curves_ : list of list of float
        For each layer, from the input to the code, the objective of each epoch of its pretraining.
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
        Objective of each epoch of fine-tuning: the loss, averaged over rows and features, plus the penalties.
        Empty with ``fine_tune=False``. Passes of `partial_fit` add one each.
    loss_ : float
        Last entry of ``loss_curve_``; with ``fine_tune=False``, the loss of the training rows.
    validation_loss_curve_ : list of float
        Loss of the held-out rows after each epoch, without penalties. Only with ``early_stopping``.
    best_loss_ : float
        Loss of the best weights for the held-out rows with ``early_stopping``, those at the start included;
        otherwise the smallest entry of ``loss_curve_``.
    n_iter_ : int
        Number of epochs of fine-tuning in the last `fit`, plus that of passes of `partial_fit` since. With
        ``fine_tune=False``, the number of epochs of pretraining of the last layer, and then of passes alone.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names that are all strings.

    See Also
    --------
    AutoencoderTransformer : All layers trained together from the start.
    DenoisingAutoencoder : The same kinds of noise, without pretraining.

    Notes
    -----
    The first layer reconstructs the data under ``loss``. The layers above reconstruct codes: under cross-entropy
    if the codes come from sigmoid units, since these are read as probabilities [3]_, otherwise under squared
    error. ``alpha``, ``tied_weights``, the solver, ``batch_size`` and ``early_stopping`` apply in each phase; the
    held-out rows are the same in all of them.

    Callbacks see a task per phase, whose subtasks are its epochs. With ``warm_start``, a second `fit` only
    fine-tunes; `partial_fit` never pretrains, so that a `fit` with ``fine_tune=False`` after it does. If a
    KeyboardInterrupt ends pretraining, the remaining layers keep their initial weights, and there is no
    fine-tuning.

    Centring, initial weights, early stopping and reproducibility are as described in the Notes of
    :class:`AutoencoderTransformer`.

    References
    ----------
    .. [1] G. E. Hinton and R. R. Salakhutdinov (2006). Reducing the dimensionality of data with neural networks.
       Science 313, 504-507.
    .. [2] Y. Bengio, P. Lamblin, D. Popovici and H. Larochelle (2006). Greedy layer-wise training of deep
       networks. NIPS 19.
    .. [3] P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol (2010). Stacked denoising
       autoencoders: learning useful representations in a deep network with a local denoising criterion. Journal of
       Machine Learning Research 11, 3371-3408.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import minmax_scale
    >>> from skae import StackedAutoencoder
    >>> X = minmax_scale(load_digits().data)
    >>> stacked = StackedAutoencoder(
    ...     8, hidden_layer_sizes=(64, 32), activation="logistic", pretrain_max_iter=10, max_iter=5,
    ...     random_state=0,
    ... )
    >>> stacked.fit_transform(X).shape
    (1797, 8)
    >>> [len(curve) for curve in stacked.layer_loss_curves_]
    [10, 10, 10]
    """

    pretrain_max_iter: int = parameter(AT_LEAST_ONE, default=50)
    fine_tune: bool = parameter("boolean", default=True)
    noise: str | Callable | None = parameter(StrOptions(set(NOISES)), callable, None, default=None)
    noise_level: float = parameter(NON_NEGATIVE, default=0.3)
    clean_fraction: Any = parameter(Interval(Real, 0, 1, closed="both"), StrOptions({"auto"}), default="auto")

    _automatic = Automatic(own_norm=0.5)
    _reads_by_choice = MappingProxyType({"noise": READ_BY_NOISE})

    def _adapt_architecture(self, architecture: Architecture, mode: Mode) -> Architecture:
        for name in ("encoder", "decoder"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f"StackedAutoencoder trains the layers that it builds one after the other, but {name} is a "
                    f"module of yours. Leave {name} at None, or use AutoencoderTransformer, which trains modules "
                    "as a whole."
                )
        return architecture

    def _phases(self, fit: Fit) -> list[Phase]:
        phases = []
        pretrained = getattr(fit.setup.previous, "layer_loss_curves_", [])
        if fit.setup.previous is None or not (self.fine_tune or pretrained):  # or there would be nothing to do
            pretraining = Pretraining(fit, self._pairs(fit))
            for number in range(len(pretraining.pairs)):
                step = functools.partial(pretraining.step, number)
                phases.append(Phase(f"pretrain-layer-{number}", self.pretrain_max_iter, step, is_whole=False))
        return [*phases, fit.whole("fine-tune")] if self.fine_tune else phases

    def _pairs(self, fit: Fit) -> list[tuple[Any, Any]]:
        sizes = fit.setup.architecture.encoder_layer_sizes, fit.setup.architecture.decoder_layer_sizes
        if sizes[1][:-1] != sizes[0][-2::-1]:
            raise ValueError(
                f"StackedAutoencoder trains pairs of layers, one of each network, but decoder_hidden_layer_sizes="
                f"{sizes[1][:-1]} is not hidden_layer_sizes={sizes[0][:-1]} reversed. "
                "Leave decoder_hidden_layer_sizes at None."
            )
        networks: tuple[Any, Any] = fit.encoder, fit.decoder
        return [*zip(networks[0].blocks, networks[1].blocks[::-1], strict=True)]

    def _fitted_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        curves = fit.layer_loss_curves or getattr(fit.setup.previous, "layer_loss_curves_", [])
        pretrained_only = not (self.fine_tune or fit.history.loss_curve)
        return {"layer_loss_curves_": curves, **({"n_iter_": len(curves[-1])} if pretrained_only else {})}
