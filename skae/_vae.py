"""The variational autoencoder."""

from numbers import Integral, Real
from typing import Any, ClassVar, cast

import torch
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from ._base import BaseAutoencoder, field
from ._bottleneck.gaussian import Posterior, active_units
from ._data import arrays
from ._fitted.generation import generate
from ._fitted.sampling import Densities, check_n_samples, standard_normal
from ._networks.inference import Forward, forward
from ._networks.networks import Architecture, Decoder, bounded
from ._objectives import likelihoods
from ._objectives.likelihood_initialization import start_at_moments
from ._objectives.likelihood_loss import negative_log_likelihood
from ._objectives.losses import Loss, loss_by
from ._support.warnings import warn
from ._training.fitting import Fit
from ._training.loop import History
from ._training.monitoring import Monitor


class VAESampler(BaseAutoencoder):
    r"""Variational autoencoder: codes with a distribution, from which new rows can be drawn.

    The encoder gives each row a normal distribution of codes instead of one code, and the decoder gives each
    code a distribution of rows. Both are trained to make the data probable while the codes stay close to a
    standard normal distribution [1]_. Draws from that, decoded, are new rows (`sample`), and the probability of
    a row tells how normal it is (`score_samples`). As a transformer it returns the mean code.

    Scale the features first: the networks start at, and learn at, the scale of standardised data. With
    ``likelihood='bernoulli'`` the data must lie in [0, 1], with 'poisson' and 'exponential' they must not be
    negative.

    Parameters
    ----------
    n_components : int, default=8
        Width of the code: the number of latent variables.
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
    loss : str, callable or None, default=None
        None takes minus the logarithm of ``likelihood``. Otherwise a plain reconstruction loss instead of it, of
        which ``likelihood`` and ``decoder_variance`` then tell nothing: 'squared_error', 'absolute_error',
        'huber' or 'binary_cross_entropy', summed over features, or a callable, which gets the reconstruction
        and the target, torch tensors of shape (n, n_features), and returns the loss of each row, shape (n,),
        already summed.
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
    likelihood : str or sequence of (str, columns) pairs, default='gaussian'
        Distribution of a row, given its code: 'gaussian', 'bernoulli' (data in [0, 1]), 'exponential' (positive
        data) or 'poisson' (counts). Pairs such as ``[("gaussian", [0, 1]), ("bernoulli", [2])]`` give each
        column its own; ``columns`` are integers, and each column belongs to one pair.
    decoder_variance : float or 'learned', default='learned'
        Variance of 'gaussian' columns: one number for all of them, in squared units of the data, or learned for
        each column, the same for all rows. A learned variance starts at the column's own and stays above one
        ten-thousandth of that; a constant column's stays above a hundredth of the others' mean.
    beta : float, default=1.0
        Weight of the divergence from the prior. More than 1 presses the codes towards it [4]_; less lets them
        keep more of the data.
    kl_warm_up : float, default=0.0
        Number of epochs in which the weight of the divergence grows evenly from 0 to ``beta``. They are counted
        anew by each `fit`, and over all passes of `partial_fit`; none of them counts as flat or as the best.
    free_bits : float, default=0.0
        Nats of divergence, for each latent variable, that are not pressed upon: while its mean over the batch is
        below, it has no gradient and counts as ``free_bits`` [5]_. It keeps latent variables in use.
    n_mc_samples : int, default=1
        Draws of the code for each row of a batch.
    n_importance_samples : int, default=64
        Draws of the code for each row in `score_samples`. More come nearer to log p(x).

    Attributes
    ----------
    encoder_ : torch.nn.Module
        The encoder, on ``device_`` and in evaluation mode: rows of shape (n, n_features) to the mean and the
        log-variance of their codes, each of shape (n, n_components).
    decoder_ : torch.nn.Module
        The decoder, likewise: codes to means in the data's space, of shape (n, n_features). Its ``variance``
        holds that of each 'gaussian' column.
    n_active_units_ : int
        Number of latent variables in use: those whose posterior mean has a variance above 0.01 over the
        training rows [2]_; of more than 5,000 rows, over about as many that are evenly spaced.
    reconstruction_curve_ : list of float
        Minus the mean log-likelihood of a training row, or its plain loss, in each epoch, in nats.
    kl_curve_ : list of float
        The mean divergence of a training row in each epoch, in nats, without ``beta`` and ``free_bits``.
    offset_ : ndarray of shape (n_features,)
        What is subtracted from each row before the encoder and added after the decoder, inside the networks:
        the mean of the rows given to `fit`, or zeros where the networks are not centred (see Notes).
    device_ : torch.device
        The device of the networks.
    n_parameters_ : int
        Number of trained parameters, biases, both heads of the encoder and learned variances included.
    loss_curve_ : list of float
        The objective in each epoch, a mean over rows: with ``beta=1``, no free bits and no penalty, minus the
        evidence lower bound in nats. After `partial_fit`, of every pass so far.
    loss_ : float
        The last entry of ``loss_curve_``.
    validation_loss_curve_ : list of float
        With ``early_stopping``, the loss of the rows held out after each epoch, without the L2 penalty.
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
    AutoencoderTransformer : Without distributions.
    sklearn.decomposition.FactorAnalysis : The linear model with normal distributions, fitted exactly.

    Notes
    -----
    The objective is a sum over features and latent variables and a mean over rows. With
    :math:`q(z \mid x) = \mathcal{N}(\mu(x), \mathrm{diag}\,\sigma^2(x))` from the encoder and :math:`L` =
    ``n_mc_samples`` draws :math:`z_{il}` from it, it is

    .. math::
        \frac{1}{n} \sum_{i=1}^{n} \Bigl[
        -\frac{1}{L} \sum_{l=1}^{L} \log p(x_i \mid z_{il})
        + \beta \sum_{j=1}^{k} \tfrac12 \bigl(\mu_{ij}^2 + \sigma_{ij}^2 - 1 - \log \sigma_{ij}^2\bigr)
        \Bigr] + \frac{\alpha}{2} \sum_w w^2

    The losses in ``loss_curve_`` and ``validation_loss_curve_`` have the whole ``beta``, also while it warms up,
    so that they can be compared. Those of rows held out are taken over the same draws after every epoch.

    *Posterior.* The last layer of the encoder has two outputs for each latent variable, and ``code_activation``
    applies to both, before they become mean and log-variance; 'identity' and 'tanh' make sense there, rectifiers
    hardly. The log-variance is then ``10 * tanh(output / 10)``, so that no variance vanishes or overflows.

    *Likelihoods.* The decoder returns the mean of a gaussian, the logit of a bernoulli, and the logarithm of the
    mean of an exponential or a poisson distribution; its last biases start where these give the columns' means.
    Exponential and poisson columns enter the encoder as ``log(1 + x / m)``, with m the column's mean, so that
    counts may be large.
    Gaussian columns are centred instead, as described for :class:`AutoencoderTransformer`, if
    ``output_activation='identity'``. Leave ``output_activation`` at 'identity' with all other likelihoods.
    Their logarithms are complete, constants included. Between 0 and 1, such as for grey values, the bernoulli
    one is the usual cross-entropy, but no probability.

    *With a plain loss*, ``exp(-loss)`` takes the place of p(x|z) in `score_samples` and
    `reconstruction_probability`, which makes them densities up to a constant factor, and `sample` returns means.

    *Scores* are taken over the same draws for every row, whatever ``random_state``: they repeat, and no row's
    depends on the other rows.

    First weights, early stopping and reproducibility are as described for :class:`AutoencoderTransformer`.

    References
    ----------
    .. [1] D. P. Kingma and M. Welling (2014). Auto-encoding variational Bayes. ICLR.
    .. [2] Y. Burda, R. Grosse and R. Salakhutdinov (2016). Importance weighted autoencoders. ICLR.
    .. [3] J. An and S. Cho (2015). Variational autoencoder based anomaly detection using reconstruction
       probability. SNU Data Mining Center.
    .. [4] I. Higgins et al. (2017). beta-VAE: learning basic visual concepts with a constrained variational
       framework. ICLR.
    .. [5] D. P. Kingma, T. Salimans, R. Jozefowicz, X. Chen, I. Sutskever and M. Welling (2016). Improved
       variational inference with inverse autoregressive flow. NIPS.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import VAESampler
    >>> X = load_digits().data
    >>> vae = VAESampler(8, learning_rate=3e-3, max_iter=40, tol=None, random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), vae).fit(X)
    >>> pipe.transform(X).shape
    (1797, 8)
    >>> new = pipe[:-1].inverse_transform(pipe[-1].sample(5, random_state=0))
    >>> new.shape
    (5, 64)
    >>> normal, odd = pipe.score_samples(X).mean(), pipe.score_samples(X[:, ::-1]).mean()
    >>> bool(normal > odd)
    True
    """

    n_components: int = field(default=8, kw_only=False)
    loss: Any = None
    likelihood: Any = "gaussian"
    decoder_variance: Any = "learned"
    beta: float = 1.0
    kl_warm_up: float = 0.0
    free_bits: float = 0.0
    n_mc_samples: int = 1
    n_importance_samples: int = 64

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "loss": [*BaseAutoencoder._parameter_constraints["loss"], None],
        "likelihood": [StrOptions(set(likelihoods.LIKELIHOODS)), "array-like"],
        "decoder_variance": [StrOptions({"learned"}), Interval(Real, 0, None, closed="neither")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "kl_warm_up": [Interval(Real, 0, None, closed="left")],
        "free_bits": [Interval(Real, 0, None, closed="left")],
        "n_mc_samples": [Interval(Integral, 1, None, closed="left")],
        "n_importance_samples": [Interval(Integral, 1, None, closed="left")],
    }

    # Using the model --------------------------------------------------------------------------------------

    def transform(self, X, return_std=False):
        """Map rows to the means of their codes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.
        return_std : bool, default=False
            Whether to return the standard deviations of the codes too.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Posterior means, of X's floating dtype. Each row's depends on that row alone.
        Z_std : ndarray of shape (n_samples, n_components)
            Posterior standard deviations, with ``return_std=True``; always an array, whatever `set_output` says.
        """
        X = self._check(X, "transform")
        dtype, width = arrays.torch_dtype(X), self._n_features_out
        mean = self._stream(X, self._encoding(dtype), width)
        if not return_std:
            return mean
        heads = forward(self.encoder_, dtype)
        return mean, self._stream(
            X, lambda x, out: torch.exp(bounded(heads(x, None)[:, width:]) * 0.5, out=out), width
        )

    def sample(self, n_samples=1, random_state=None, *, mean=False):
        """Draw new rows: codes from the prior, and a row for each from the likelihood.

        After a scaler, ``pipe[:-1].inverse_transform(pipe[-1].sample(n))`` brings them back to its input's units.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None draws other rows each time.
        mean : bool, default=False
            Whether to return the mean of the likelihood for each code instead of a draw from it, which looks
            smoother and spreads less than data do. With a plain ``loss`` there are only means.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            New rows, of the floating dtype of the data that were given to `fit`.
        """
        return generate(self, n_samples, random_state, self._draw_codes, None if mean else self._draw_rows)

    def _draw_codes(self, n: int, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return like.new_empty(n, self._n_features_out).normal_(generator=generator)

    def _draw_rows(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        parts = self._objective["likelihood"]
        return likelihoods.draw(parts, self.decoder_, x, generator) if parts else x

    def score_samples(self, X):
        r"""Estimate the log-likelihood of each row, log p(x), in nats.

        The estimate is the logarithm of the mean of ``p(x|z) p(z) / q(z|x)`` over ``n_importance_samples``
        draws z of q(z|x) (Burda et al. 2016). Its expectation lies between the evidence lower bound and log p(x).
        All rows share the draws, so that their errors have much in common, a tenth of a nat for instance.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            Log-likelihoods; higher is more normal. The same at every call, and each row's depends on that row
            alone.
        """
        return self._over_draws(X, "score_samples", self.n_importance_samples, Densities.marginal)

    def score(self, X, y=None):
        """Compute the mean log-likelihood of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.
        y : None
            Ignored.

        Returns
        -------
        score : float
            Mean of `score_samples`, in nats; higher is better. It depends on the units of X.
        """
        return float(arrays.to_torch(self.score_samples(X)).cpu().double().mean())

    def reconstruction_probability(self, X, n_samples=64):
        """Estimate how probable each row is, given what its code says about it (An and Cho 2015).

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to score.
        n_samples : int, default=64
            Draws of the code for each row.

        Returns
        -------
        score : ndarray of shape (n_samples,)
            The mean of log p(x|z) over draws z of q(z|x), in nats; higher is more normal. The same at every call,
            and each row's depends on that row alone.
        """
        return self._over_draws(X, "reconstruction_probability", n_samples, Densities.reconstruction)

    def _over_draws(self, X, method: str, n_samples, estimate):
        X, n_samples = self._check(X, method), check_n_samples(n_samples)
        dtype = arrays.torch_dtype(X)
        densities = Densities(
            forward(self.encoder_, dtype),
            forward(self.decoder_, dtype, linked=False),
            self._per_row_loss(),
            standard_normal(n_samples, self._n_features_out, torch.empty(0, dtype=dtype, device=self.device_)),
            self._widest,
        )
        return self._stream(X, lambda x, out: estimate(densities, x, out), 1)[:, 0]

    def _per_row_loss(self):
        loss, parts = self._objective["loss"], self._objective["likelihood"]
        if loss is None:
            return negative_log_likelihood(parts, self.decoder_).per_row
        return loss_by(loss, mean_over_features=False).per_row

    @property
    def _widest(self) -> int:
        return max(super()._widest, 2 * self._n_features_out)

    # Hooks ------------------------------------------------------------------------------------------------

    def _encoding(self, dtype: torch.dtype) -> Forward:
        return forward(self.encoder_, dtype, width=self._n_features_out)

    def _adapt(self, architecture: Architecture) -> Architecture:
        shape = architecture._replace(code_heads=2)
        if self.loss is not None:
            return shape
        parts = likelihoods.partition(self.likelihood, shape.n_features)
        link, n_gaussian = likelihoods.link(parts), likelihoods.n_gaussian(parts)
        if link != "identity" and shape.output_activation not in ("identity", link):
            raise ValueError(
                f"likelihood={self.likelihood!r} applies a link of its own to the decoder's output, but "
                f"output_activation={self.output_activation!r}. Use output_activation='identity', or "
                "likelihood='gaussian'."
            )
        output_activation = shape.output_activation if link == "identity" else "identity"
        return shape._replace(
            output_activation=output_activation,
            link=link,
            centred=n_gaussian > 0 and output_activation == "identity",
            uncentred=tuple(c for name, columns in parts if name != "gaussian" for c in columns),
            compresses=any(likelihoods.LIKELIHOODS[name].link == "exp" for name, _ in parts),
            n_variances=n_gaussian,
            learns_variances=n_gaussian > 0 and self.decoder_variance == "learned",
        )

    def _initialize(self, fit: Fit, encoder: Any, decoder: Any) -> None:
        start_at_moments(self._parts(fit), encoder, decoder, fit.data)

    def _parts(self, fit: Fit) -> likelihoods.Parts:
        """Return which likelihood rules which columns; none with a plain loss."""
        return () if self.loss is not None else likelihoods.partition(self.likelihood, fit.data.n_features)

    def _bridge(self, fit: Fit) -> Posterior:
        return Posterior(
            len(fit.data.train_rows),
            beta=self.beta,
            n_draws=self.n_mc_samples,
            free_bits=self.free_bits,
            warm_up=self.kl_warm_up,
            epochs_done=fit.start.n_iter_ if fit.one_pass and fit.start is not None else 0,
            dtype=fit.dtype,
            generator=fit.noise_generator(),
        )

    def _reconstruction_loss(self, fit: Fit) -> Loss:
        if self.loss is not None:
            return fit.bridge.watch(loss_by(self.loss, mean_over_features=False))
        parts, decoder = self._parts(fit), cast(Decoder, fit.decoder)
        loss = negative_log_likelihood(parts, decoder)
        loss.check(fit.data)
        if decoder.variance_floor is not None and self.decoder_variance != "learned":
            decoder.variance_floor.fill_(self.decoder_variance)
        return fit.bridge.watch(loss)

    def _train(self, fit: Fit, context) -> History:
        # While beta grows, the objective changes: those epochs are neither best nor flat.
        monitor = Monitor(self, fit, context)
        return fit.train(fit.step, monitor, max_iter=self.max_iter, warm_up=self.kl_warm_up)

    def _own_encoder(self) -> nn.Module:
        return self.encoder_.of_means()

    def _own_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        n_active = active_units(encoder.core, fit.inputs, fit.data.train_rows)
        return {
            "reconstruction_curve_": fit.curve("reconstruction_curve_", fit.bridge.ledger.curve("reconstruction")),
            "kl_curve_": fit.curve("kl_curve_", fit.bridge.ledger.curve("kl")),
            "n_active_units_": n_active,
            "_objective": {"likelihood": self._parts(fit), "loss": self.loss},
        }

    def _warn(self, history) -> None:
        super()._warn(history)
        if self.n_active_units_ == 0:
            warn(
                f"All {self._n_features_out} units of the code are inactive: every row has the same posterior, so "
                f"that the codes hold nothing of the data. Lower beta, which is {self.beta:g}, give the units "
                "free_bits or a kl_warm_up, or train longer or faster (max_iter, learning_rate); columns that "
                "have nothing in common cannot be encoded at all.",
            )
