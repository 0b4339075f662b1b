"""The variational autoencoder."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ._base import TakesMissingValues
from ._bottleneck.gaussian import GaussianBottleneck
from ._data import arrays
from ._data.empty import is_empty
from ._fitted.activity import active_units
from ._fitted.mixture import Mixture, mixture_of_means
from ._fitted.sampling import Densities, check_n_samples, generate, standard_normal
from ._networks.activations import bounded
from ._networks.building import Architecture
from ._networks.inference import forward
from ._objectives import likelihoods
from ._objectives.losses import Loss, loss_by
from ._objectives.support import Support, SupportWatch
from ._support.devices import normal
from ._support.parameters import AT_LEAST_ONE, NON_NEGATIVE, POSITIVE, parameter
from ._support.warnings import warn
from ._training.fitting import Fit
from ._training.history import History
from ._training.setup import Mode, Setup

WORTHLESS = 0.5  # nats a row that codes cost more than they save; less may be due to the draws


def _takes_portions(self) -> bool:
    if self.prior != "mixture":
        return True
    raise AttributeError(
        f"{type(self).__name__} has no partial_fit with prior={self.prior!r}: the mixture is fitted to the codes "
        "of all rows, of which partial_fit sees a portion. Use fit, with warm_start=True to go on from the "
        "weights that there are, or prior='normal'."
    )


class VAESampler(TakesMissingValues):
    r"""Variational autoencoder: a generative model with Gaussian latent variables.

    The encoder gives each row a Gaussian posterior q(z|x) over codes, the decoder gives each code a distribution
    p(x|z) over rows. Both are trained to maximise the evidence lower bound (ELBO): the expected log-likelihood of
    the data, minus the Kullback-Leibler (KL) divergence of the posterior from a standard normal prior [1]_.
    `sample` draws new rows, `score_samples` estimates the log-likelihood of rows, for instance for anomaly
    detection, and `transform` returns the mean of the posterior. `reconstruction_probability` is another anomaly
    score [3]_.

    Scale the features first: the initial weights and the learning rate suit standardised data. The data must lie
    in [0, 1] for ``likelihood='bernoulli'``, must not be negative for 'poisson' and 'exponential', and must be
    one-hot for 'categorical'.

    Parameters
    ----------
    n_components : int, default=8
        Width of the code: the number of latent variables.
    likelihood : str or sequence of (str, columns) pairs, default='gaussian'
        Distribution p(x|z) of a row given its code: 'gaussian', 'student_t' (heavy tails), 'bernoulli' (data in
        [0, 1]), 'exponential' (non-negative data), 'poisson' (counts) or 'categorical' (one-hot columns). Pairs
        such as ``[("gaussian", [0, 1]), ("categorical", [2, 3, 4])]`` give each column its own; ``columns`` are
        integers, and each column belongs to one pair. The columns of a 'categorical' pair are one variable, with a
        category each; give every variable a pair.
    decoder_variance : float, 'learned' or 'conditional', default='learned'
        Variance of 'gaussian' columns, and squared scale of 'student_t' columns: one number for all of them, in
        squared units of X; 'learned', one for each column, the same for all rows; or 'conditional', given by the
        decoder for each row and column, for columns whose spread depends on the row [6]_. A learned or conditional
        variance starts at the column's own and stays above 1e-4 times that; for a constant column, above a
        hundredth of the others' mean. Conditional variances fit few rows too closely: use ``early_stopping``.
    prior : {'normal', 'mixture'}, default='normal'
        Distribution of the codes that `sample` draws: 'normal', the standard normal one, in much of which there
        are no codes of real rows; or 'mixture', at most 20 normal distributions that `fit`, in the end, fits to
        the posterior means of its rows [8]_. Training and scores are the same. For pictures, use 'mixture' and
        draw means: ``sample(n, mean=True)``. With 'mixture' there is no `partial_fit`.
    beta : float, default=1.0
        Weight of the KL divergence. Above 1, codes are closer to the standard normal distribution [4]_; below 1,
        reconstructions are better.
    kl_warm_up : float, default=0.0
        Number of epochs over which the weight of the KL divergence grows linearly from 0 to ``beta``. They are
        counted over all passes of `partial_fit`; a warm start begins at full strength. ``tol`` and
        ``early_stopping`` ignore them.
    free_bits : float, default=0.0
        KL divergence of each latent variable, in nats, that is not penalised: while the mean over a batch is below
        it, the divergence counts as ``free_bits`` and has no gradient [5]_. This keeps latent variables in use.
    n_mc_samples : int, default=1
        Number of draws of the code for each row of a batch.
    n_importance_samples : int, default=64
        Number of draws of the code for each row in `score_samples` and `impute`. More draws bring the estimate
        closer to log p(x).
    missing_values : int, float or None, default=None
        What stands for a missing value in X, such as ``np.nan``. None refuses NaN. Missing values contribute
        nothing to the loss and to scores [7]_; the encoder gets them as the mean of their column, with as many
        further inputs that mark them. `impute` fills them by means over ``n_importance_samples`` draws of the
        code, weighted by how well each draw explains the other values of the row [7]_. Where none is missing in X,
        the fit is the same as with None. Not for images and not for sparse X.
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
    encoder : torch.nn.Module or None, default=None
        Custom encoder: a module from shape (n, n_features) to shape (n, 2 * n_components), the means of the
        posteriors and, beside them, the logarithms of their variances, which are then bounded softly. `fit` trains
        a copy, starting from the module's weights, and does not centre X. ``hidden_layer_sizes``, ``activation``
        and ``code_activation`` do not apply to it. With ``missing_values`` it gets shape (n, 2 * n_features):
        zeros in place of missing values and, beside them, ones where a value is missing.
    decoder : torch.nn.Module or None, default=None
        Custom decoder: a module from shape (n, n_components) to shape (n, n_features), treated like ``encoder``.
        It returns what the link of the likelihood takes: means for 'gaussian' and 'student_t', logits for
        'bernoulli' and 'categorical', logarithms of means for 'exponential' and 'poisson'. With
        ``decoder_variance='conditional'``, logarithms of variances, relative to the columns' own, follow beside
        them, one for each column that has a variance.
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
    loss : str, callable or None, default=None
        None is the negative log-likelihood of ``likelihood``. Otherwise a plain reconstruction loss that replaces
        it, so that ``likelihood`` and ``decoder_variance`` are ignored: 'squared_error', 'absolute_error', 'huber'
        or 'binary_cross_entropy', summed over features. A callable ``(reconstruction, target) -> loss`` gets torch
        tensors of shape (n, n_features) and returns the loss of each row, summed over features, of shape (n,).
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
        hidden layer if that is less; for 'sgd' 0.2 and gradients scaled down to a norm of 0.5 unless
        ``max_grad_norm`` is given; and 0.001 in `partial_fit`, which has no end.
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
        Encoder, on ``device_`` and in evaluation mode: maps rows of shape (n, n_features) to the mean and the
        log-variance of q(z|x), each of shape (n, n_components).
    decoder_ : torch.nn.Module
        Decoder, on ``device_`` and in evaluation mode: maps codes of shape (n, n_components) to the mean of
        p(x|z), of shape (n, n_features), in units of X; for 'bernoulli' and 'categorical' columns, to
        probabilities. Its ``variance`` is that of each 'gaussian' column (the squared scale of each 'student_t'
        column), or None where variances are conditional; ``variances`` maps codes to them, shape (n, n_columns).
        Its ``degrees_of_freedom`` are those of each 'student_t' column.
    n_active_units_ : int
        Number of latent variables in use: those whose posterior mean has a variance above 0.01 over the training
        rows, or recent ones after `partial_fit` [2]_. Of more than 5,000 rows, an evenly spaced subset is used.
    reconstruction_curve_ : list of float
        Reconstruction term of each epoch: the negative log-likelihood in nats per row, or the plain loss per row.
    kl_curve_ : list of float
        KL divergence of each epoch, without ``beta`` and ``free_bits``, in nats per row.
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
        Number of trained parameters: biases, both heads of the encoder and learned variances included.
    learning_rate_ : float
        Highest learning rate that was used.
    batch_size_ : int
        Number of rows per batch that was used.
    max_iter_ : int
        Number of epochs that was aimed at.
    loss_curve_ : list of float
        Objective of each epoch, averaged over rows. With ``beta=1``, ``free_bits=0`` and ``alpha=0`` it is the
        negative ELBO, in nats per row. Passes of `partial_fit` add one each.
    loss_ : float
        Last entry of ``loss_curve_``. With ``early_stopping`` the weights that are kept are those of the best
        epoch, which need not be the last.
    validation_loss_curve_ : list of float
        Loss of the held-out rows after each epoch, KL divergence included, without the L2 penalty. Only with
        ``early_stopping``.
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
    AdversarialAutoencoder : A prior of any shape, without likelihoods.
    AutoencoderTransformer : Without distributions.
    sklearn.decomposition.FactorAnalysis : The linear model with Gaussian distributions, fitted exactly.

    Notes
    -----
    The objective is summed over features and latent variables and averaged over rows. With
    :math:`q(z \mid x) = \mathcal{N}(\mu(x), \mathrm{diag}\,\sigma^2(x))` from the encoder and :math:`L` =
    ``n_mc_samples`` draws :math:`z_{il}` from it by reparameterisation, it is

    .. math::
        \frac{1}{n} \sum_{i=1}^{n} \Bigl[
        -\frac{1}{L} \sum_{l=1}^{L} \log p(x_i \mid z_{il})
        + \beta \sum_{j=1}^{k} \tfrac12 \bigl(\mu_{ij}^2 + \sigma_{ij}^2 - 1 - \log \sigma_{ij}^2\bigr)
        \Bigr] + \frac{\alpha}{2} \sum_w w^2

    ``loss_curve_`` and ``validation_loss_curve_`` have the full ``beta`` also during warm-up, so that epochs can
    be compared. Held-out rows are evaluated with the same draws after every epoch.

    *Posterior.* The code layer has two outputs for each latent variable, and ``code_activation``, which should be
    'identity' or 'tanh', applies to both. The log-variance is ``10 * tanh(output / 10)``, so that no variance
    vanishes or overflows.

    *Likelihoods.* The decoder's output is the mean of a Gaussian, the location of a Student distribution, the
    logit of a Bernoulli distribution, the logits of the categories of a categorical one, which the softmax turns
    into probabilities, and the logarithm of the mean of an exponential or Poisson distribution. The biases of its
    last layer start where these give the means of the columns. Exponential and Poisson columns enter the encoder
    as ``log(1 + x / m)``, with the mean m of the column, so that counts may be large. Gaussian columns are
    centred, as described for :class:`AutoencoderTransformer`, if ``output_activation='identity'``; the other
    likelihoods need 'identity'. Log-likelihoods include all constants. For data between 0 and 1, such as grey
    levels, the Bernoulli one is the usual cross-entropy, but not the logarithm of a probability.

    *Heavy tails.* Each 'student_t' column has a scale and degrees of freedom, learned with the networks; they
    start where quantiles of the column suggest. The degrees of freedom stay above 1, so that there is a mean. The
    column is centred by its median, and enters the encoder as ``arsinh(x / s)``, with the scale s that it starts
    at, so that values from far away move codes little.

    *Conditional variances.* The last layer of the decoder has a second output r for each 'gaussian' or
    'student_t' column, and the variance is ``floor + v * exp(10 * tanh(r / 10))``, with the column's own variance
    v. At the start, r is 0 for all rows.

    *Plain losses.* With ``loss``, ``exp(-loss)`` takes the place of p(x|z) in `score_samples` and
    `reconstruction_probability`, which are then log-densities up to a constant, and `sample` returns means.

    *Support.* A fitted model cannot have seen rows outside the support of its likelihood, or of a bounded
    ``loss``: numbers outside [0, 1] for 'bernoulli', negative ones for 'poisson' and 'exponential', categories
    that are not one-hot. `fit` refuses them. Their scores are -inf, and all methods that take rows warn of them.
    Numbers between the integers are accepted by 'bernoulli' and 'poisson', in `fit` as in scores.

    *Scores* use the same draws for every row, whatever ``random_state``: they are repeatable, and the score of a
    row does not depend on the other rows.

    Initial weights, early stopping and reproducibility are otherwise as described in the Notes of
    :class:`AutoencoderTransformer`.

    References
    ----------
    .. [1] D. P. Kingma and M. Welling (2014).
       Auto-encoding variational Bayes. ICLR.
    .. [2] Y. Burda, R. Grosse and R. Salakhutdinov (2016).
       Importance weighted autoencoders. ICLR.
    .. [3] J. An and S. Cho (2015). Variational autoencoder based anomaly detection using reconstruction
       probability. SNU Data Mining Center.
    .. [4] I. Higgins et al. (2017). beta-VAE: learning basic visual concepts with a constrained variational
       framework. ICLR.
    .. [5] D. P. Kingma, T. Salimans, R. Jozefowicz, X. Chen, I. Sutskever and M. Welling (2016). Improved
       variational inference with inverse autoregressive flow. NIPS.
    .. [6] D. A. Nix and A. S. Weigend (1994). Estimating the mean and variance of the target probability
       distribution. ICNN.
    .. [7] P.-A. Mattei and J. Frellsen (2019). MIWAE: deep generative modelling and imputation of incomplete data
       sets. ICML.
    .. [8] P. Ghosh, M. S. M. Sajjadi, A. Vergari, M. Black and B. Schoelkopf (2020). From variational to
       deterministic autoencoders. ICLR. (Ex-post density estimation.)

    Examples
    --------
    Pictures are means, for codes drawn from a mixture of Gaussians fitted to those of real digits; see
    :doc:`the guide </guide/generation>`.

    >>> import numpy as np
    >>> from sklearn.datasets import load_breast_cancer, load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import VAESampler
    >>> digits = load_digits().data / 16
    >>> vae = VAESampler(8, likelihood="bernoulli", beta=0.3, prior="mixture", random_state=0)
    >>> vae.fit(digits).sample(5, random_state=0, mean=True).shape
    (5, 64)

    Rows of a table, and log-likelihoods:

    >>> X = load_breast_cancer().data
    >>> pipe = make_pipeline(StandardScaler(), VAESampler(8, random_state=0)).fit(X)
    >>> new = pipe[:-1].inverse_transform(pipe[-1].sample(5, random_state=0))
    >>> new.shape
    (5, 30)
    >>> shuffled = np.random.default_rng(0).permuted(X, axis=0)
    >>> bool(pipe.score_samples(X).mean() > pipe.score_samples(shuffled).mean())
    True
    """

    n_components: int = parameter(AT_LEAST_ONE, default=8, positional=True)
    loss: Any = parameter(*TakesMissingValues._parameter_constraints["loss"], None, default=None)
    likelihood: Any = parameter(StrOptions(set(likelihoods.LIKELIHOODS)), "array-like", default="gaussian")
    decoder_variance: Any = parameter(StrOptions({"learned", "conditional"}), POSITIVE, default="learned")
    prior: str = parameter(StrOptions({"normal", "mixture"}), default="normal")
    beta: float = parameter(NON_NEGATIVE, default=1.0)
    kl_warm_up: float = parameter(NON_NEGATIVE, default=0.0)
    free_bits: float = parameter(NON_NEGATIVE, default=0.0)
    n_mc_samples: int = parameter(AT_LEAST_ONE, default=1)
    n_importance_samples: int = parameter(AT_LEAST_ONE, default=64)

    tied_weights: ClassVar = False  # type: ignore[misc]  # no parameter: the encoder has two heads

    _mixture = None  # that codes are drawn from, as plain arrays; files of earlier versions have none
    _score_unit = "log-likelihood in nats"
    _against_inactive_units = "set free_bits or kl_warm_up, "  # what else helps, of the parameters there are
    _fewer_columns = ", or make fewer columns of X first, for instance with sklearn.decomposition.TruncatedSVD(20)"

    # Fitting ----------------------------------------------------------------------------------------------

    @available_if(_takes_portions)
    def partial_fit(self, X, y=None):
        """Take one pass over X, from the current weights and the current solver state.

        Call it repeatedly for data that come in chunks. No rows are held out for ``early_stopping``, and there is
        no :class:`~sklearn.exceptions.ConvergenceWarning`. Not with ``prior='mixture'``, which is fitted to the
        codes of all rows: go on with `fit` and ``warm_start=True`` there.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : None
            Ignored.

        Returns
        -------
        self : object
            Fitted estimator.
        """
        return super().partial_fit(X, y)

    # Using the model --------------------------------------------------------------------------------------

    def transform(self, X, return_std=False):
        """Map rows to the means of their posteriors q(z|x).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.
        return_std : bool, default=False
            Whether to return the standard deviations of the posteriors too.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Posterior means, of X's floating dtype. The code of a row does not depend on the other rows.
        Z_std : ndarray of shape (n_samples, n_components)
            Posterior standard deviations, of X's floating dtype. Only with ``return_std=True``; an array even if
            `set_output` asks for data frames.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, contains NaN or infinity, or differs from the data of `fit` in the number
            or the names of its features.
        """
        X = self._check(X, "transform")
        dtype, width = arrays.torch_dtype(X), self._n_features_out
        mean = self._stream(X, forward(self.encoder_, dtype), width, watch=SupportWatch(self._supports))
        if not return_std:
            return mean
        heads = forward(self.encoder_, dtype, heads=True)
        return mean, self._stream(
            X, lambda x, out: torch.exp(bounded(heads(x, None)[:, width:]) * 0.5, out=out), width
        )

    def sample(self, n_samples=1, random_state=None, *, mean=False):
        """Draw new rows: codes from the ``prior``, then a row for each code from p(x|z).

        For pictures, draw means, with ``prior='mixture'``. In a pipeline after a scaler,
        ``pipe[:-1].inverse_transform(pipe[-1].sample(n))`` brings them back to the original units.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows to draw.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None draws different rows each time.
        mean : bool, default=False
            Whether to return the mean of p(x|z) for each code instead of a draw from it. Means are smoother and
            vary less than data do: take them for pictures, and draws for rows of data. Of grey levels,
            ``likelihood='bernoulli'`` draws pixels that are black or white. With a plain ``loss`` there are only
            means.

        Returns
        -------
        X : {ndarray, data frame} of shape (n_samples, n_features)
            New rows, of the floating dtype of the data given to `fit`. A data frame if `set_output` asks for one.

        Raises
        ------
        TypeError, ValueError
            If ``n_samples`` is not an integer, or is below 1.
        """
        check_is_fitted(self)
        draws = self._objective["likelihood"] and not mean
        return generate(self, n_samples, random_state, self._draw_codes, self._draw_rows if draws else None)

    def _draw_codes(self, n: int, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if self._mixture is None:
            return normal((n, self._n_features_out), like, generator)
        return Mixture(*self._mixture).draw(n, like, generator)

    def _draw_rows(self, output: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return likelihoods.draw(self._objective["likelihood"], self.decoder_, output, generator)

    def score_samples(self, X):
        """Estimate the log-likelihood log p(x) of each row, in nats.

        The estimate is the logarithm of the mean of ``p(x|z) p(z) / q(z|x)`` over ``n_importance_samples`` draws z
        of q(z|x) (Burda et al. 2016). Its expectation lies between the ELBO and log p(x). All rows share the
        draws, so that their errors are correlated. p(z) is the standard normal distribution that the model was
        trained with, also with ``prior='mixture'``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Log-likelihoods in nats of the values that are not missing, of X's floating dtype. Higher is more
            normal. Repeatable, and the score of a row does not depend on the other rows. Rows outside the support
            of the likelihood score -inf, with a warning. With ``missing_values``, a row without any value scores
            0, the logarithm of one.
        """
        return self._over_draws(X, "score_samples", self.n_importance_samples, Densities.marginal)

    def score(self, X, y=None, sample_weight=None):
        """Compute the mean log-likelihood of the rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows in the mean. None is equal weights.

        Returns
        -------
        score : float
            Mean of `score_samples`, in nats per row; higher is better. It depends on the units of X. A single row
            outside the support of the likelihood makes it -inf, with a warning.
        """
        scores = self.score_samples(X)
        weight = arrays.check_weights(sample_weight, scores)
        scores = arrays.to_torch(scores).cpu().double()
        if weight is None:
            return float(scores.mean())
        weight = weight.cpu().double()
        return float(torch.dot(weight, scores.masked_fill(weight == 0, 0)) / weight.sum())

    def reconstruction_probability(self, X, n_samples=64):
        """Estimate the reconstruction probability of each row (An and Cho 2015).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.
        n_samples : int, default=64
            Number of draws of the code for each row.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Means of log p(x|z) over draws z of q(z|x), in nats, of X's floating dtype. Higher is more normal.
            Repeatable, and the score of a row does not depend on the other rows. Rows outside the support of the
            likelihood score -inf, with a warning.

        Raises
        ------
        TypeError, ValueError
            If ``n_samples`` is not an integer, or is below 1.
        """
        return self._over_draws(X, "reconstruction_probability", n_samples, Densities.reconstruction)

    def _expectation(self, dtype: torch.dtype):
        """Return what takes means over draws of the code, weighted by how well these explain what is there."""
        densities, decode = self._densities(dtype, self.n_importance_samples), forward(self.decoder_, dtype)
        return lambda x, out: densities.expectation(x, lambda z: decode(z, None), out)

    def _over_draws(self, X, method: str, n_samples, estimate):
        X, n_samples = self._check(X, method), check_n_samples(n_samples)
        densities = self._densities(arrays.torch_dtype(X), n_samples)
        watch = SupportWatch(self._supports, -math.inf)

        def estimated(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
            found = estimate(densities, x, out)
            return found.masked_fill_(is_empty(x), 0) if self._takes_missing else found

        return self._stream(X, estimated, 1, watch=watch, n_passes=n_samples)[:, 0]

    def _densities(self, dtype: torch.dtype, n_samples: int) -> Densities:
        return Densities(
            forward(self.encoder_, dtype, heads=True),
            forward(self.decoder_, dtype, linked=False),
            self._loss_of_observed,
            standard_normal(n_samples, self._n_features_out, torch.empty(0, dtype=dtype, device=self.device_)),
            self._widest,
        )

    def _loss_of_observed(self, output: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, (n,), over the entries that are not missing."""
        loss = _loss(self._objective["loss"], self._objective["likelihood"], self.decoder_)
        if not self._takes_missing:
            return loss.per_row(output, x)
        missing = x.isnan()
        return loss.per_row(output, x.masked_fill(missing, 0), (~missing).to(x.dtype))

    @property
    def _holds_out_extremes(self) -> bool:  # type: ignore[override]
        """Minus the log-likelihood of one row may be more than that of all others."""
        return self.loss is not None

    @property
    def _supports(self) -> Sequence[Support]:
        parts = self._objective["likelihood"]
        return likelihoods.supports(parts) if parts else super()._supports

    @property
    def _widest(self) -> int:
        n_variances = self._architecture["n_variances"]
        return max(super()._widest, 2 * self._n_features_out, self.n_features_in_ + n_variances)

    # Hooks ------------------------------------------------------------------------------------------------

    def _adapt_architecture(self, architecture: Architecture, mode: Mode) -> Architecture:
        shape = architecture._replace(code_heads=2, scaled=False)
        if self.loss is not None:
            return shape
        parts = likelihoods.partition(self.likelihood, shape.n_features)
        link, scaled = likelihoods.link(parts), likelihoods.with_scale(parts)
        student, conditional = likelihoods.of_family(parts, "student_t"), self.decoder_variance == "conditional"
        if link != "identity" and shape.output_activation not in ("identity", link):
            raise ValueError(
                f"likelihood={self.likelihood!r} applies a link of its own to the decoder's output, but "
                f"output_activation={self.output_activation!r}. Use output_activation='identity', or "
                "likelihood='gaussian'."
            )
        if conditional and not scaled:
            raise ValueError(
                "decoder_variance='conditional' needs columns with likelihood='gaussian' or 'student_t', but "
                f"likelihood={self.likelihood!r} has none: leave decoder_variance at 'learned'."
            )
        if (conditional or student) and shape.output_activation != "identity":
            raise ValueError(
                "decoder_variance='conditional' and likelihood='student_t' need output_activation='identity', but "
                f"output_activation={shape.output_activation!r}."
            )
        output_activation = shape.output_activation if link == "identity" else "identity"
        custom = self.encoder is not None or self.decoder is not None
        # A convolution gives a variance at each place.
        n_variances = shape.n_features if conditional and shape.images is not None else len(scaled)
        centred = bool(scaled) and output_activation == "identity" and not custom
        normal = len(scaled) == shape.n_features
        given = not isinstance(self.decoder_variance, str)  # a variance in squared units of X
        return shape._replace(
            output_activation=output_activation,
            link=link,
            centred=centred,
            scaled=centred and normal and not (student or given),
            uncentred=tuple(
                c for name, columns in parts if not likelihoods.LIKELIHOODS[name].has_scale for c in columns
            ),
            compresses=any(likelihoods.LIKELIHOODS[name].link == "exp" for name, _ in parts),
            n_variances=n_variances,
            learns_variances=bool(scaled) and self.decoder_variance == "learned",
            conditional_variances=conditional,
            n_dof=len(student),
            medians=student,
        )

    def _initialize_weights(self, setup: Setup, encoder: Any, decoder: Any) -> None:
        likelihoods.start_at_moments(self._parts(setup.architecture), encoder, decoder, setup.data)

    def _parts(self, architecture: Architecture) -> likelihoods.Parts:
        """Return which likelihood rules which columns; none with a plain loss."""
        return () if self.loss is not None else likelihoods.partition(self.likelihood, architecture.n_features)

    def _reconstruction_loss(self, setup: Setup, decoder: Any) -> Loss:
        if decoder.variance_floor is not None and not isinstance(self.decoder_variance, str):
            decoder.variance_floor.fill_(self.decoder_variance)
        return _loss(self.loss, self._parts(setup.architecture), decoder)

    def _bottleneck(self, setup: Setup) -> GaussianBottleneck:
        return GaussianBottleneck(
            beta=self.beta,
            n_draws=self.n_mc_samples,
            free_bits=self.free_bits,
            warm_up=self.kl_warm_up,
            dtype=setup.dtype,
            generator=setup.generator,
        )

    def _fitted_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        setup, parts = fit.setup, fit.history.parts
        return {
            "reconstruction_curve_": setup.curve("reconstruction_curve_", parts.get("reconstruction", [])),
            "kl_curve_": setup.curve("kl_curve_", parts.get("kl", [])),
            "n_active_units_": active_units(encoder.forward_centred, fit),
            "_mixture": tuple(mixture_of_means(encoder.forward_centred, fit)) if self.prior == "mixture" else None,
            "_objective": {"likelihood": self._parts(setup.architecture), "loss": self.loss},
        }

    def _warn_after_fit(self, history: History) -> None:
        if history.complaints or history.outweighed:  # which tell why
            return
        worth, width = history.worth_of_codes, self._n_features_out
        if self.n_active_units_ == 0:
            warn(
                f"All {width} units of the code are inactive: every row has the same posterior, so "
                f"that the codes carry no information. Lower beta, which is {self.beta:g}, "
                f"{self._against_inactive_units}or train longer (max_iter) or at another learning_rate than "
                f"{self.learning_rate_:g}; constant and independent columns cannot be compressed at all.",
            )
        elif worth is not None and worth < -WORTHLESS and not history.interrupted:
            warn(
                f"The codes are worth nothing, although {self.n_active_units_} of {width} units are active: with "
                f"one code for all rows, the loss would be lower by {-worth:.3g} nats per row. Lower "
                f"learning_rate, which was {self.learning_rate_:g}{self._fewer_columns}; independent columns "
                "cannot be compressed at all."
            )


def _loss(loss: Any, parts: likelihoods.Parts, decoder: Any) -> Loss:
    """Return the loss of whole rows: a plain one, or minus the log-likelihood."""
    if loss is not None:
        return loss_by(loss, mean_over_features=False)
    return likelihoods.negative_log_likelihood(parts, decoder)
