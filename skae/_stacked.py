"""The stacked autoencoder: one shallow autoencoder at a time, each on the codings of the one before."""

import functools
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval, StrOptions

from ._base import BaseAutoencoder
from ._data.corruption import NOISES
from ._training.fitting import fit_networks
from ._training.prepare import Fit, Phase
from ._training.pretraining import Pretraining


class StackedAutoencoder(BaseAutoencoder):
    r"""Stacked autoencoder: layers trained one at a time, then together.

    The first layer is trained as a shallow autoencoder of the data, the second as one of the first layer's
    codings, and so on to the code. Each layer's codings are computed once, when it is done. Then the layers,
    folded out into one deep autoencoder, are trained together [1]_ [2]_. This helps where a deep network is
    hard to train from scratch, most of all with logistic or tanh units.

    Layers are ``(*hidden_layer_sizes, n_components)``; the decoder mirrors them.

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
    code_activation : str, default='identity'
        Activation of the code layer, one of the same.
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
    pretrain_max_iter : int, default=50
        Number of epochs for each layer while layers are trained one at a time. ``max_iter`` counts the epochs of
        training them together.
    fine_tune : bool, default=True
        Whether to train all layers together after they have been trained one at a time.
    noise : {'gaussian', 'masking', 'salt_and_pepper'}, callable or None, default=None
        Corruption of the inputs of each layer while it is trained, and of the rows while all are; see
        :class:`DenoisingAutoencoder`. With it this is a stacked denoising autoencoder [3]_.
    noise_level : float, default=0.3
        Of 'gaussian', the standard deviation in units of each feature's own; of the others, the fraction of
        entries that are changed. A callable does not use it.
    tied_weights : bool, default=False
        Whether the decoder uses the encoder's weights, transposed, with biases of its own. Needs a decoder that
        mirrors the encoder.

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
        The objective in each epoch of training all layers together; empty with ``fine_tune=False``. After
        `partial_fit`, of every pass so far.
    loss_ : float
        The last entry of ``loss_curve_``; with ``fine_tune=False``, the loss of the training rows.
    validation_loss_curve_ : list of float
        With ``early_stopping``, the loss of the rows held out after each epoch, without penalties.
    best_loss_ : float
        The smallest entry of ``validation_loss_curve_`` with ``early_stopping``, of ``loss_curve_`` without.
    layer_loss_curves_ : list of list of float
        For each layer, from the input to the code, the objective in each epoch of training it alone.
    n_iter_ : int
        Number of epochs in which all layers were trained together, or of passes taken by `partial_fit`.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen in `fit`, where they are all strings.

    See Also
    --------
    AutoencoderTransformer : All layers together from the start.
    DenoisingAutoencoder : The noises, for all layers together.

    Notes
    -----
    The first layer restores the data under ``loss``. The layers above restore codings: under cross-entropy
    where they come from logistic units, since these are probabilities [3]_, else under squared error.
    ``alpha``, ``tied_weights``, the solver, ``batch_size`` and ``early_stopping`` apply in each phase; the rows
    held out are the same in all.

    Callbacks see a task for each phase, whose subtasks are its epochs. ``warm_start`` continues training all
    layers together and does not train single layers again. `partial_fit` trains all layers together from its
    first call on. If training is interrupted while single layers are trained, the rest is left as it was.

    References
    ----------
    .. [1] G. E. Hinton and R. R. Salakhutdinov (2006). Reducing the dimensionality of data with neural networks.
       Science 313, 504-507.
    .. [2] Y. Bengio, P. Lamblin, D. Popovici and H. Larochelle (2006). Greedy layer-wise training of deep
       networks. NIPS 19.
    .. [3] P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol (2010). Stacked denoising
       autoencoders: learning useful representations in a deep network with a local denoising criterion.
       Journal of Machine Learning Research 11, 3371-3408.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import minmax_scale
    >>> from skae import StackedAutoencoder
    >>> X = minmax_scale(load_digits().data)
    >>> stacked = StackedAutoencoder(
    ...     8, hidden_layer_sizes=(64, 32), activation="logistic", pretrain_max_iter=10, max_iter=5, tol=None,
    ...     random_state=0,
    ... )
    >>> stacked.fit_transform(X).shape
    (1797, 8)
    >>> [len(curve) for curve in stacked.layer_loss_curves_]
    [10, 10, 10]
    """

    pretrain_max_iter: int = 50
    fine_tune: bool = True
    noise: str | Callable | None = None
    noise_level: float = 0.3
    tied_weights: bool = False

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "pretrain_max_iter": [Interval(Integral, 1, None, closed="left")],
        "fine_tune": ["boolean"],
        "noise": [StrOptions(set(NOISES)), callable, None],
        "noise_level": [Interval(Real, 0, None, closed="left")],
        "tied_weights": ["boolean"],
    }

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Train one layer after the other on X, then all of them together.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows. Without ``noise``, integer weights are as good as repeated rows,
            and zero as good as leaving a row out.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or lies outside the range of the loss; if
            parameters contradict each other; if ``early_stopping`` has too few rows to hold some out; or if
            training diverges.
        RuntimeError
            If the machine has no such ``device``.
        """
        return fit_networks(self, X, sample_weight=sample_weight)

    def _phases(self, fit: Fit) -> list[Phase]:
        phases = []
        if fit.setup.previous is None:
            pairs = self._pairs(fit)
            pretraining = Pretraining(fit, pairs)
            phases = [
                Phase(self.pretrain_max_iter, functools.partial(pretraining.step, number), name, is_whole=False)
                for number, name in enumerate(f"pretrain-layer-{number}" for number in range(len(pairs)))
            ]
        return [*phases, fit.whole("fine-tune")] if self.fine_tune else phases

    def _pairs(self, fit: Fit) -> list[tuple[Any, Any]]:
        sizes = fit.setup.architecture.encoder_layer_sizes, fit.setup.architecture.decoder_layer_sizes
        if sizes[1][:-1] != sizes[0][-2::-1]:
            raise ValueError(
                f"StackedAutoencoder trains pairs of layers, one of each network, but decoder_hidden_layer_sizes="
                f"{sizes[1][:-1]} is not hidden_layer_sizes={sizes[0][:-1]} reversed. "
                "Leave decoder_hidden_layer_sizes at None."
            )
        return [*zip(fit.encoder.children(), [*fit.decoder.children()][::-1], strict=True)]

    def _fitted_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        curves = getattr(fit.setup.previous, "layer_loss_curves_", fit.layer_loss_curves)
        return {"layer_loss_curves_": curves}
