"""The denoising autoencoder."""

from collections.abc import Callable
from numbers import Real
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _get_feature_names, check_is_fitted

from ._base import TakesMissingValues
from ._data import arrays
from ._data.chunks import chunks
from ._data.corruption import NOISES, READ_BY_NOISE, Corruption
from ._data.remedies import named
from ._data.training_data import TrainingData
from ._fitted import chain
from ._fitted.sampling import check_n_samples
from ._support.devices import random_streams
from ._support.parameters import NON_NEGATIVE, parameter
from ._support.warnings import warn
from ._training.automatic import Automatic
from ._training.fitting import Fit, fit_networks
from ._training.incremental import update_networks


class DenoisingAutoencoder(TakesMissingValues):
    r"""Denoising autoencoder: learns to restore rows from corrupted ones.

    Each batch is corrupted before it enters the encoder, and the networks are trained to reconstruct the clean
    rows [1]_ [2]_. For this they have to learn how the features depend on each other, which makes the codes useful
    even when there are more of them than features. `transform`, `reconstruct` and `denoise` add no noise. `sample`
    draws new rows by a Markov chain that alternates corruption and reconstruction [3]_.

    If clean versions of noisy rows are known, no artificial noise is needed: pass them as ``fit(X, X_clean=...)``.

    Parameters
    ----------
    n_components : int, default=16
        Width of the code. It may exceed the number of features.
    noise : {'gaussian', 'isotropic', 'white', 'masking', 'salt_and_pepper'} or callable, default='gaussian'
        Corruption of the inputs, drawn anew for each batch. 'gaussian' adds Gaussian noise that goes with each
        feature's standard deviation, as suits tables; 'isotropic' and 'white' add it with the same standard
        deviation in all features, as suits pixels, and differ in the unit of ``noise_level``; 'masking' sets
        entries to zero; 'salt_and_pepper' sets entries to the minimum or the maximum of their feature in the
        training data, with equal probability. A callable ``(X, generator) -> X`` gets a batch in units of the
        data, a torch tensor of shape (n, n_features), and a `torch.Generator` on its device, and returns the
        corrupted batch.
    noise_level : float, default=0.3
        For 'gaussian', the standard deviation of the noise in units of each feature's standard deviation; for
        'isotropic', in units of the root of the features' mean variance, ``np.sqrt(X.var(axis=0).mean())``; for
        'white', in units of X. For 'masking' and 'salt_and_pepper', the probability that an entry is corrupted. A
        callable ignores it.
    clean_fraction : float or 'auto', default='auto'
        Probability that a row of a batch stays clean, in [0, 1]. 'auto' is 0.2 for 'masking' and
        'salt_and_pepper', since networks that have only seen rows with missing or wrong entries reconstruct whole
        rows badly; see Notes. It is 0 for 'gaussian', 'isotropic', 'white' and a callable.
    missing_values : int, float or None, default=None
        What stands for a missing value in X, such as ``np.nan``. None refuses NaN. Missing values contribute
        nothing to the loss and to errors; the encoder gets them as the mean of their column, with as many further
        inputs that mark them. 'masking' then makes entries missing instead of zero, so that the networks learn to
        fill what is missing: choose it for `impute`. A callable gets NaN for what is missing, and makes entries
        missing by NaN. Not for images and not for sparse X.
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
    encoder : torch.nn.Module or None, default=None
        Custom encoder: a module from shape (n, n_features) to shape (n, n_components). `fit` trains a copy,
        starting from the module's weights, and does not centre X. ``hidden_layer_sizes``, ``activation`` and
        ``code_activation`` do not apply to it. With ``missing_values`` it gets shape (n, 2 * n_features): zeros in
        place of missing values and, beside them, ones where a value is missing.
    decoder : torch.nn.Module or None, default=None
        Custom decoder: a module from shape (n, n_components) to shape (n, n_features), treated like ``encoder``.
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
    residual_variance_ : ndarray of shape (n_features,)
        Mean squared error of each feature, in squared units of X, when training rows (at most 10,000) are
        corrupted once and reconstructed. `sample` draws with this variance.
    noise_scale_ : ndarray of shape (n_features,) or None
        Standard deviation of the noise on each feature, in units of X: what ``noise_level`` comes to. None with
        other noise than 'gaussian', 'isotropic' and 'white', or with ``X_clean``.
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
        rows given to `fit`, or 1; see the Notes of :class:`AutoencoderTransformer`. Clean rows, ``X_clean``, have
        a mean and a unit of their own, which only the decoder knows.
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
    AutoencoderTransformer : Without noise, with penalties of its own.
    StackedAutoencoder : Layer-wise pretraining, optionally with noise.

    Notes
    -----
    With a corrupted version :math:`\tilde x_i` of each row, encoder :math:`f` and decoder :math:`g`, the objective
    is

    .. math::
        \frac{1}{n d} \sum_{i=1}^{n} \sum_{j=1}^{d} \ell\bigl(g(f(\tilde x_i))_j, x_{ij}\bigr)
        + \frac{\alpha}{2} \sum_w w^2

    A masked entry is zero in units of the data: the mean, if the data are standardised. Unlike in dropout, the
    other entries are not scaled up, so that rows with missing entries are restored as they come.

    *Clean rows.* `transform`, `reconstruct` and `score` are mostly used on rows without noise. Features that tell
    of each other make up for those that are missing; on a whole row, networks that have only seen corrupted rows
    do so too, and overshoot. A share ``clean_fraction`` of the rows of each batch stays clean for this reason; it
    costs corrupted rows next to nothing.

    Held-out rows get the same noise after every epoch. Centring, initial weights, early stopping and
    reproducibility are as described in the Notes of :class:`AutoencoderTransformer`.

    In `partial_fit`, the standard deviations, minima and maxima that the noise is measured in are those of all
    rows so far, those of a `fit` before it included. A warm start keeps those of the first `fit`.

    *Sampling.* A step of the chain corrupts a row with the estimator's own noise, reconstructs it, and draws from
    a Gaussian around the reconstruction with variance ``residual_variance_`` or, with
    ``loss='binary_cross_entropy'``, from Bernoulli distributions with the reconstruction as probabilities. If this
    is the true distribution of the clean row given the corrupted one, the chain converges to the distribution of
    the data [3]_. Weaker noise makes the approximation better, but the chain slower to move between modes.

    References
    ----------
    .. [1] P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol (2008). Extracting and composing robust features
       with denoising autoencoders. ICML.
    .. [2] P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol (2010). Stacked denoising
       autoencoders: learning useful representations in a deep network with a local denoising criterion. Journal of
       Machine Learning Research 11, 3371-3408.
    .. [3] Y. Bengio, L. Yao, G. Alain and P. Vincent (2013). Generalized denoising auto-encoders as generative
       models. NIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skae import DenoisingAutoencoder
    >>> X = load_digits().data
    >>> train, clean, sigma = X[:1000], X[1000:], 4
    >>> noisy = clean + np.random.default_rng(0).normal(scale=sigma, size=clean.shape)

    Noise as strong in every pixel is 'white', and its level that of the noise to remove:

    >>> denoiser = DenoisingAutoencoder(
    ...     32, noise="white", noise_level=sigma, max_iter=50, random_state=0
    ... )
    >>> restored = denoiser.fit(train).denoise(noisy)
    >>> pca = PCA(16).fit(train)
    >>> linear = pca.inverse_transform(pca.transform(noisy))
    >>> bool(np.square(restored - clean).mean() < 0.8 * np.square(linear - clean).mean())
    True
    >>> denoiser.sample(3, random_state=0).shape
    (3, 64)

    A code of 32 numbers does for digits. Photographs and faces need their full resolution, a convolutional code
    with ``image_shape`` and ``downsampling_factor=1``: see :ref:`the guide <full-resolution>`.
    """

    noise: str | Callable = parameter(StrOptions(set(NOISES)), callable, default="gaussian")
    noise_level: float = parameter(NON_NEGATIVE, default=0.3)
    clean_fraction: Any = parameter(Interval(Real, 0, 1, closed="both"), StrOptions({"auto"}), default="auto")

    _automatic = Automatic(own_norm=0.5)
    _reads_by_choice = MappingProxyType({"noise": READ_BY_NOISE})

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, X_clean=None, X_val=None):
        """Train the networks to restore clean rows from corrupted ones.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite: clean rows, which are corrupted anew for each batch, or, with
            ``X_clean``, noisy rows.
        y : None
            Ignored, with a warning if it has the shape of X: clean rows are ``X_clean``.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Clean version of each noisy row in X. No noise is added then.
        X_val : {array-like, sparse matrix} of shape (n_val_samples, n_features), default=None
            Clean rows to watch for ``early_stopping``, instead of a share of X; not with ``X_clean``.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If X is not two-dimensional, contains NaN or infinity, or has values outside the range of the loss; if
            ``X_clean`` has another shape than X; if parameters contradict each other; if ``early_stopping`` has
            too few rows to hold some out; or if training diverges.
        RuntimeError
            If ``device`` is not available.
        """
        if X_clean is not None and X_val is not None:
            raise ValueError(
                "X_val are clean rows, to which noise is added, but with X_clean no noise is drawn. Give pairs "
                "only, and let early_stopping hold out a share of them."
            )
        _tell_clean_y(X, y, X_clean, "fit")
        return fit_networks(self, X, X_clean=self._check_clean(X, X_clean), X_val=X_val)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, *, X_clean=None):
        """Take one pass over X, from the current weights and the current solver state.

        Call it repeatedly for data that come in chunks. No rows are held out for ``early_stopping``, and there is
        no :class:`~sklearn.exceptions.ConvergenceWarning`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite: clean rows or, with ``X_clean``, noisy ones.
        y : None
            Ignored, with a warning if it has the shape of X: clean rows are ``X_clean``.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Clean version of each noisy row in X. No noise is added then.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        _tell_clean_y(X, y, X_clean, "partial_fit")
        return update_networks(self, X, X_clean=self._check_clean(X, X_clean))

    def denoise(self, X):
        """Restore noisy rows; the same as `reconstruct`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Noisy data.

        Returns
        -------
        X_restored : {ndarray, data frame} of shape (n_samples, n_features)
            Restored rows, in units of X and of X's floating dtype. A data frame if `set_output` asks for one.
        """
        return self.reconstruct(X)

    def score(self, X, y=None, sample_weight=None, *, X_clean=None):
        """Compute the R² of the reconstruction: the fraction of the variance of the rows that it explains.

        No noise is added to X. Of clean rows, this is how well they come back whole, and weaker noise in `fit`
        makes it better: a search over ``noise_level`` by it ends at the weakest. To score how well noise is
        removed, give noisy rows and ``X_clean``; see :doc:`the guide </guide/denoising>` for such a search.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.
        y : None
            Ignored, with a warning if it has the shape of X: clean rows are ``X_clean``.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows, in the residuals, the means and the variance. None is equal weights.
        X_clean : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Clean version of each row in X, with which its reconstruction is compared. None is X.

        Returns
        -------
        score : float
            R², with features weighted by their variance in ``X_clean``, or in X without it: 1 is perfect, 0 is as
            good as the mean of these rows. It does not depend on their units. For a single row it is undefined:
            NaN, with a warning.

        Raises
        ------
        ValueError
            If ``X_clean`` has another shape than X.
        """
        rows = self._check(X, "score")
        _tell_clean_y(X, y, X_clean, "score")
        return self._r2(rows, self._check_clean(X, X_clean), sample_weight)

    def sample(self, n_samples=1, random_state=None, *, n_steps=1, burn_in=100, X_init=None):
        """Draw new rows by a Markov chain that corrupts, reconstructs and draws in turn.

        Each chain takes ``burn_in`` steps, and then ``n_steps`` more for each row that it returns. In a pipeline
        after a scaler, ``pipe[:-1].inverse_transform(pipe[-1].sample(n))`` brings the rows back to the original
        units.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows to draw.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None draws different rows each time.
        n_steps : int, default=1
            Number of steps between consecutive rows of a chain, at least 1. More steps make these rows less
            correlated.
        burn_in : int, default=100
            Number of steps of each chain before its first row, at least 0, in which it moves from its start to the
            data.
        X_init : {array-like, sparse matrix} of shape (n_chains, n_features), default=None
            Rows at which the chains start. Row i of the result is of chain ``i % n_chains``: first the first row
            of each chain, then the second rows, and so on. None runs a chain for each row of the result, so that
            rows are independent; it starts at a Gaussian draw with the mean and standard deviation of each
            feature, clipped to its range in the training data.

        Returns
        -------
        X : {ndarray, data frame} of shape (n_samples, n_features)
            New rows, of the floating dtype of the data given to `fit`. A data frame if `set_output` asks for one.

        Raises
        ------
        TypeError, ValueError
            If ``n_samples``, ``n_steps`` or ``burn_in`` is not an integer or too small; if ``X_init`` is not valid
            input for `transform`; or if the estimator was fitted with ``X_clean``, so that there is no noise to
            draw.
        """
        check_is_fitted(self)
        n_samples = check_n_samples(n_samples)
        n_steps, burn_in = check_n_samples(n_steps, "n_steps"), check_n_samples(burn_in, "burn_in", 0)
        if self._chain is None:
            raise ValueError(
                f"This {type(self).__name__} was fitted with X_clean: it has only seen examples of the noise and "
                "cannot draw any, as sample has to. Fit it to clean rows only, with noise and noise_level."
            )
        output = arrays.Output(self.offset_, (n_samples, self.n_features_in_))
        streams, dtype = random_streams(random_state), output.tensor.dtype
        walk, row_bytes = self._walk(dtype, streams.noise.initial_seed()), self._widest * dtype.itemsize
        if X_init is None:
            n_chains = n_samples
            starts = chain.starts(self._column_statistics, n_chains, row_bytes, dtype, streams.weights)
        else:
            with named("X_init"):
                rows = arrays.to_torch(arrays.check_rows(self, X_init, reset=False))[:n_samples]
            n_chains, starts = rows.shape[0], chunks(rows, row_bytes)
        with self._inference(n_chains):
            for part, x in starts:
                x = walk(x.to(self.device_, dtype), burn_in)
                for first in range(0, n_samples, n_chains):
                    x = walk(x, n_steps)
                    out = output.tensor[first + part.start : first + part.stop]
                    out.copy_(x[: len(out)])
        return arrays.framed(self, output.array())

    def _walk(self, dtype: torch.dtype, seed: int) -> Callable[[torch.Tensor, int], torch.Tensor]:
        """Return ``walk(x, n)``, which takes n steps from rows on the networks' device."""
        noise, level, loss = self._chain
        generator = torch.Generator(self.device_).manual_seed(seed)
        corrupt = Corruption(noise, level, self._column_statistics, generator, dtype, missing=self._takes_missing)
        restore = self._reconstruction(dtype)
        draw = chain.bernoulli if loss == "binary_cross_entropy" else chain.normal
        variance = arrays.to_torch(self.residual_variance_).to(self.device_, dtype)

        def walk(x: torch.Tensor, n_steps: int) -> torch.Tensor:
            for _ in range(n_steps):
                x = draw(restore(corrupt(x)), variance, generator)
            return x

        return walk

    def _fitted_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        data = fit.setup.data
        return {
            "residual_variance_": arrays.array_like(data.X, chain.residual_variance(fit, encoder, decoder)),
            "noise_scale_": self._noise_scale(data, fit.objective.corruption),
            "_chain": None if data.paired else (self.noise, self.noise_level, self.loss),
        }

    def _noise_scale(self, data: TrainingData, corruption: Corruption | None):
        if corruption is None or self.noise not in ("gaussian", "isotropic", "white"):
            return None
        deviation = arrays.as_tensor(corruption.statistics[0])
        if self.noise == "white":
            deviation = torch.ones_like(deviation)
        if self.noise == "isotropic":
            deviation = deviation.square().mean().sqrt().expand_as(deviation)
        return arrays.array_like(data.X, self.noise_level * deviation)

    def _check_clean(self, X, X_clean):
        if X_clean is None:
            return None
        _check_order(_get_feature_names(X), _get_feature_names(X_clean))
        X_clean = arrays.check_unnamed(X_clean, "X_clean", self.missing_values)
        if X_clean.shape != np.shape(X):
            raise ValueError(
                f"X_clean has shape {tuple(X_clean.shape)}, but X has shape {tuple(np.shape(X))}: X_clean must "
                "hold the clean row of each noisy row in X."
            )
        return X_clean


def _check_order(names, clean_names) -> None:
    """Refuse columns of clean rows that stand elsewhere in X; other names are those of other tables."""
    if names is None or clean_names is None:
        return
    places = {name: place for place, name in enumerate(names)}
    for place, name in enumerate(clean_names):
        if places.get(name, place) != place:
            raise ValueError(
                f"The feature names of X_clean should be in the order of X: {name!r} is column {place} there, but "
                f"column {places[name]} of X. Pass X_clean[X.columns]."
            )


def _tell_clean_y(X, y, X_clean, method: str) -> None:
    """Warn of clean rows that are given as y."""
    shape = tuple(getattr(y, "shape", ()))
    if X_clean is None and len(shape) == 2 and shape == tuple(getattr(X, "shape", ())):
        warn(
            f"y has the shape of X, {shape}, and is ignored: X is taken for clean rows. If y holds clean rows "
            f"and X noisy ones, call {method}(X, X_clean=y)."
        )
