"""The denoising autoencoder."""

from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted
from torch import nn

from ._base import BaseAutoencoder
from ._data import arrays
from ._data.corruption import NOISES, Corruption, Fills
from ._data.rows import Densifier, index_chunks, slices
from ._fitted import chain
from ._fitted.sampling import check_n_samples
from ._networks.custom import forward_centred
from ._networks.links import link_activation
from ._support import random
from ._training.fitting import fit_networks
from ._training.incremental import update_networks
from ._training.prepare import Fit

MOST_ROWS = 10_000  # that the variance of residuals is measured on: enough for two decimals


class DenoisingAutoencoder(BaseAutoencoder):
    r"""Denoising autoencoder: learns to restore rows from corrupted ones.

    Each batch is corrupted before it enters the encoder, and the networks are trained to return the clean rows
    [1]_. What they learn is how the features hang together, which makes the codes useful even when there are
    more of them than features. `transform`, `reconstruct` and `denoise` add no noise. Corrupting and restoring in
    turns is a Markov chain that draws new rows (`sample`).

    Noisy rows whose clean versions are known need no artificial noise: pass them as ``fit(X, X_clean=...)``.

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
    noise : {'gaussian', 'masking', 'salt_and_pepper'} or callable, default='gaussian'
        Corruption of the inputs, drawn anew for each batch. 'gaussian' adds normal noise; 'masking' sets entries
        to zero and leaves the others as they are; 'salt_and_pepper' sets entries to their feature's minimum or
        maximum in the training data, one as likely as the other. A callable ``(X, generator) -> X`` gets a
        batch in the data's space, a torch tensor of shape (n, n_features), and a `torch.Generator` on its
        device, and returns the noisy batch.
    noise_level : float, default=0.3
        Of 'gaussian', the standard deviation in units of each feature's own; of the others, the fraction of
        entries that are changed. A callable does not use it.
    walkback : int, default=0
        The most steps of the chain of `sample` that a row takes before it is corrupted in training (see Notes).
        It makes the chain come back from where no data are. Each costs as much as a transform and a
        reconstruction of the batch.
    tied_weights : bool, default=False
        Whether the decoder uses the encoder's weights, transposed, with biases of its own. Needs a decoder that
        mirrors the encoder.
    encoder : torch.nn.Module or None, default=None
        A module of your own, from shape (n, n_features) to shape (n, n_components). A copy of it is trained,
        from its own weights. Rows are not centred for it. ``hidden_layer_sizes``, ``activation`` and
        ``code_activation`` do not apply to it.
    decoder : torch.nn.Module or None, default=None
        A module of your own, from shape (n, n_components) to shape (n, n_features), under the same rules as
        ``encoder``. With ``loss='binary_cross_entropy'`` it returns logits.

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
    residual_variance_ : ndarray of shape (n_features,)
        The mean squared error of each feature, restored from training rows as they enter the encoder in training,
        corrupted once; taken over at most 10,000 rows. `sample` draws with it.
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

    See Also
    --------
    AutoencoderTransformer : Without noise, with penalties of its own.

    Notes
    -----
    With a corruption :math:`\tilde x_i` of each row, the objective is

    .. math::
        \frac{1}{n d} \sum_{i=1}^{n} \sum_{j=1}^{d} \ell\bigl(g(f(\tilde x_i))_j, x_{ij}\bigr)
        + \frac{\alpha}{2} \sum_w w^2

    Masked entries are zeros of the data, which in standardised data are means; the entries that are kept are
    not scaled up, as dropout would. The loss of rows held out for ``early_stopping`` is that of restoring them
    from noise which is the same after every epoch. Centring, first weights, early stopping and reproducibility
    are as described for :class:`AutoencoderTransformer`.

    `partial_fit` takes means, standard deviations, minima and maxima for the noise from the rows of its first
    call.

    *Sampling.* A step of the chain corrupts a row with the estimator's own noise, restores it, and draws around
    what it has restored: from a normal distribution with ``residual_variance_``, or, with
    ``loss='binary_cross_entropy'``, zeros and ones with the restored values as their probabilities. Were the
    distribution of clean rows, given a corrupted one, just that, the rows of the chain would be distributed as the
    data are [3]_. It is the more nearly so the weaker the noise, but then steps are short and the chain takes long
    from one mode to the next; noise around half a standard deviation is a fair start.

    *Walkback.* Chains may find modes where training, which has only seen rows near data, has told them nothing.
    With ``walkback``, each row of a batch takes steps of the chain first, going on with probability one half for
    so many steps at most, and is to be restored from where it has come to [3]_ (algorithm 1). On data of many
    columns, hardly varying ones among them, one step may be all that keeps chains from running away. In these
    steps the variance of the residuals is that of the batch. Rows held out are corrupted without a walk, and pairs
    with ``X_clean`` are not walked.

    References
    ----------
    .. [1] P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol (2008). Extracting and composing robust
       features with denoising autoencoders. ICML.
    .. [2] P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol (2010). Stacked denoising
       autoencoders: learning useful representations in a deep network with a local denoising criterion.
       Journal of Machine Learning Research 11, 3371-3408.
    .. [3] Y. Bengio, L. Yao, G. Alain and P. Vincent (2013). Generalized denoising auto-encoders as generative
       models. NIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoencoder
    >>> X = load_digits().data
    >>> noisy = X + np.random.default_rng(0).normal(scale=4, size=X.shape)
    >>> denoiser = DenoisingAutoencoder(
    ...     32, noise_level=0.7, learning_rate=3e-3, batch_size=50, max_iter=50, tol=None, random_state=0
    ... )
    >>> restored = denoiser.fit(X[:1000]).denoise(noisy[1000:])
    >>> bool(np.square(restored - X[1000:]).mean() < 0.5 * np.square(noisy - X)[1000:].mean())
    True
    >>> denoiser.sample(3, random_state=0).shape
    (3, 64)
    """

    noise: str | Callable = "gaussian"
    noise_level: float = 0.3
    tied_weights: bool = False
    encoder: Any = None
    decoder: Any = None

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "noise": [StrOptions(set(NOISES)), callable],
        "noise_level": [Interval(Real, 0, None, closed="left")],
        "tied_weights": ["boolean"],
        "encoder": [nn.Module, None],
        "decoder": [nn.Module, None],
    }

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, X_clean=None):
        """Train the networks to restore clean rows from noisy ones.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data: clean rows, which are corrupted anew for each batch; with ``X_clean``, noisy rows.
        y : None
            Ignored.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            The clean row of each noisy row in X. No noise is added then.

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
        return fit_networks(self, X, X_clean=self._check_clean(X, X_clean))

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, *, X_clean=None):
        """Take one pass over X, from the current weights and the current state of the solver.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data: clean rows or, with ``X_clean``, noisy ones.
        y : None
            Ignored.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            The clean row of each noisy row in X. No noise is added then.

        Returns
        -------
        self : object
            The estimator.
        """
        return update_networks(self, X, X_clean=self._check_clean(X, X_clean))

    def denoise(self, X):
        """Restore noisy rows: the same as `reconstruct`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Noisy data.

        Returns
        -------
        X_restored : ndarray of shape (n_samples, n_features)
            Restored rows, of X's floating dtype.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or has another width or other feature names than
            in `fit`.
        """
        return self.reconstruct(X)

    def sample(self, n_samples=1, random_state=None, *, n_steps=1, burn_in=100, X_init=None):
        """Draw new rows by a Markov chain: corrupt, restore, draw, and again.

        Each chain takes ``burn_in`` steps, and then ``n_steps`` more for each row that it gives. After a scaler,
        ``pipe[:-1].inverse_transform(pipe[-1].sample(n))`` brings the rows back to its input's units.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None draws other rows each time.
        n_steps : int, default=1
            Steps between the rows of one chain, at least 1. Rows next to each other are alike; more steps make
            them less so.
        burn_in : int, default=100
            Steps of each chain before the first that counts. They take it from where it starts to where the data
            are.
        X_init : {array-like, sparse matrix} of shape (n_chains, n_features), default=None
            Where the chains start, one at each row. Row i of the result is of chain ``i % n_chains``: the chains'
            first rows, then their second ones, and so on. None runs a chain for each row of the result, which
            makes these independent, from draws with each feature's mean, deviation and range in the training
            data.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            New rows, of the floating dtype of the data that were given to `fit`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If ``n_samples``, ``n_steps`` or ``burn_in`` is no integer or too small; if ``X_init`` is not what
            `transform` takes; or if the estimator was fitted with ``X_clean``, and so knows of no noise to draw.
        """
        check_is_fitted(self)
        n_samples = check_n_samples(n_samples)
        n_steps, burn_in = check_n_samples(n_steps, "n_steps"), check_n_samples(burn_in, "burn_in", 0)
        if self._chain is None:
            raise ValueError(
                f"This {type(self).__name__} was fitted with X_clean, so that the noise of its rows is known by "
                "example only, and a chain of new rows cannot be drawn. Fit it to clean rows alone, with noise "
                "and noise_level."
            )
        streams, output = (
            random.streams(random_state),
            arrays.Output(self.offset_, (n_samples, self.n_features_in_)),
        )
        dtype = output.tensor.dtype
        if X_init is not None:
            starts = arrays.to_torch(arrays.check_rows(self, X_init, reset=False))
        n_chains = n_samples if X_init is None else min(n_samples, starts.shape[0])
        walk, densify = self._walk(dtype, streams.noise.initial_seed()), Densifier()
        with torch.inference_mode():
            for part in slices(n_chains, self._widest * dtype.itemsize):
                if X_init is None:
                    size = part.stop - part.start
                    x = chain.start(self._column_statistics, size, dtype, streams.weights).to(self.device_)
                else:
                    x = densify(starts[part]).to(self.device_, dtype)
                x = walk(x, burn_in)
                for first in range(0, n_samples, n_chains):
                    x = walk(x, n_steps)
                    out = output.tensor[first + part.start : first + part.stop]
                    out.copy_(x[: len(out)])
        return output.array()

    def _walk(self, dtype: torch.dtype, seed: int) -> Callable[[torch.Tensor, int], torch.Tensor]:
        """Return ``walk(x, n)``, which takes n steps from rows on the networks' device."""
        noise, level, loss = self._chain
        generator = torch.Generator(self.device_).manual_seed(seed)
        like = torch.empty(0, dtype=dtype, device=self.device_)
        statistics = self._column_statistics
        corrupt = Corruption(noise, level, statistics, Fills.of(statistics, like), generator)
        restore, draw = self._reconstruction(dtype), _drawing(loss)
        variance = arrays.to_torch(self.residual_variance_).to(like)

        def walk(x: torch.Tensor, n_steps: int) -> torch.Tensor:
            for _ in range(n_steps):
                x = draw(restore(corrupt(x)), variance, generator)
            return x

        return walk

    def _fitted_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        data = fit.setup.data
        link = link_activation(fit.architecture.link).module()
        encode, decode = forward_centred(encoder), forward_centred(decoder)
        rows = data.train_rows
        sparsely = rows[:: -(-len(rows) // MOST_ROWS)]
        chunks = index_chunks(sparsely, data.n_features * data.dtype.itemsize, 1000)
        pairs = ((fit.inputs.batch(index), fit.targets.batch(index)) for index in chunks)
        corruption = fit.objective.corruption
        variance = chain.residual_variance(lambda x: link(decode(encode(x))), corruption, pairs)
        dtype = arrays.torch_dtype(data.X)
        return {
            "residual_variance_": arrays.to_namespace_of(data.X, variance.to(dtype).numpy()),
            "_chain": None if data.paired else (self.noise, self.noise_level, self.loss),
        }

    def _check_clean(self, X, X_clean):
        if X_clean is None:
            return None
        X_clean = arrays.check_unnamed(X_clean, "X_clean")
        if X_clean.shape != np.shape(X):
            raise ValueError(
                f"X_clean has shape {tuple(X_clean.shape)}, but X has shape {tuple(np.shape(X))}: X_clean must "
                "hold the clean row of each noisy row in X."
            )
        return X_clean


def _drawing(loss) -> chain.Draw:
    return chain.bernoulli if loss == "binary_cross_entropy" else chain.normal
