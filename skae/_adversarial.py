"""The adversarial autoencoder."""

from typing import Any

from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import check_is_fitted

from ._base import BaseAutoencoder
from ._bottleneck import prior as priors
from ._bottleneck.adversary import Adversary, Discriminator
from ._fitted.sampling import generate
from ._support.parameters import AT_LEAST_ONE, NON_NEGATIVE, POSITIVE, layer_sizes, parameter
from ._training.automatic import STEADY
from ._training.fitting import Fit
from ._training.optimizers import AdversarialAdam
from ._training.setup import Setup


class AdversarialAutoencoder(BaseAutoencoder):
    r"""Adversarial autoencoder: codes that follow a given prior distribution.

    A second network, the discriminator, learns to distinguish codes of rows from draws from a prior. The encoder
    learns to reconstruct rows and, at the same time, to fool the discriminator [1]_. The distribution of the codes
    thus approaches the prior, so that draws from the prior, decoded, are new rows (`sample`). The prior may be any
    distribution that can be drawn from. Unlike in :class:`VAESampler` there are no likelihoods, and each row has a
    single code, not a posterior.

    Scale the features first, for instance with :class:`~sklearn.preprocessing.StandardScaler`.

    Parameters
    ----------
    n_components : int, default=8
        Width of the code: the number of latent variables.
    prior : 'normal', sequence of (mean, covariance) pairs, or callable, default='normal'
        Prior distribution of the codes. 'normal' is the standard normal distribution. Pairs are a mixture of
        equally likely Gaussians: a mean is of shape (n_components,) or a number; a covariance is a matrix of shape
        (n_components, n_components), variances of shape (n_components,), or one variance. A callable
        ``(n, generator) -> codes`` gets a `torch.Generator` and returns draws, array-like of shape
        (n, n_components); if it draws with ``generator``, ``random_state`` makes it reproducible.
    adversarial_weight : float, default=1.25
        Weight of the adversarial loss, relative to the reconstruction loss (see Notes). A larger one brings the
        codes closer to the prior, a smaller one reconstructs better.
    discriminator_hidden_layer_sizes : int or array-like of int, default=(128,)
        Widths of the discriminator's hidden layers (leaky ReLU), from the code to the output.
    discriminator_learning_rate : float, default=0.01
        Learning rate of the discriminator's solver, Adam with ``beta1=0.5``. The discriminator has to follow the
        encoder: keep it above the encoder's, ``learning_rate``.
    n_discriminator_steps : int, default=2
        Number of steps of the discriminator for each step of the autoencoder, each with new draws of the prior.
    discriminator_noise : float, default=0.6
        Standard deviation of Gaussian noise on the discriminator's inputs, codes and draws alike. It keeps the
        discriminator from memorising the rows, but hides details of the prior that are finer: lower it for a prior
        with narrow components.
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
        ``code_activation`` do not apply to it.
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
        Highest learning rate of the solver. 'auto' is 0.002, or 2.56 divided by the units of the widest hidden
        layer if that is less; for 'sgd' 0.4 and gradients scaled down to a norm of 0.5 unless ``max_grad_norm``
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
    discriminator_loss_curve_ : list of float
        Discriminator's cross-entropy in each epoch, averaged over codes and draws, in nats; log 2 = 0.69 is that
        of guessing.
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
        Number of trained parameters of encoder and decoder, biases included. Tied weights count once.
    learning_rate_ : float
        Highest learning rate that was used.
    batch_size_ : int
        Number of rows per batch that was used.
    max_iter_ : int
        Number of epochs that was aimed at.
    loss_curve_ : list of float
        Reconstruction loss of each epoch, averaged over rows and features, plus the L2 penalty. Passes of
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
    VAESampler : Codes near a standard normal prior by a KL divergence, with likelihoods.
    AutoencoderTransformer : Codes without a prior.

    Notes
    -----
    With the discriminator's logit :math:`D`, codes :math:`z_i` and draws :math:`p_i` of the prior, the
    discriminator minimises

    .. math::
        \frac{1}{2n} \sum_{i=1}^{n} \bigl[
        \log\bigl(1 + e^{-D(p_i)}\bigr) + \log\bigl(1 + e^{D(z_i)}\bigr) \bigr]

    in ``n_discriminator_steps`` steps on each batch; this is log 2 = 0.69 when codes cannot be distinguished from
    draws. Then encoder and decoder take a gradient step on

    .. math::
        L + \bar L\, \lambda A + \frac{\alpha}{2} \sum_w w^2, \qquad
        A = \frac{1}{n} \sum_{i=1}^{n} \log\bigl(1 + e^{-D(z_i)}\bigr)

    where L is the reconstruction loss of the batch, averaged over rows and features, :math:`\bar L` its value,
    held constant, and :math:`\lambda` is ``adversarial_weight``. The adversarial loss A is the non-saturating one
    [2]_. Without the last term, the gradient is L times that of :math:`\log L + \lambda A`, so that the weight has
    the same effect whatever the units of the data.

    The adversarial loss contributes to the gradient, not to the reported losses: ``loss_curve_``,
    ``validation_loss_curve_``, ``tol`` and ``early_stopping`` only know the reconstruction (and the L2 penalty).
    It rises as the discriminator improves, so that it cannot be compared between epochs.

    The automatic ``learning_rate`` is twice that of an autoencoder with as many rows a batch, since a step of the
    networks has to serve the reconstruction and the pull. The weights that are validated and kept are a running
    mean of those of recent steps [6]_; ``loss_curve_`` is the loss of the weights of each step.

    *Stability.* The discriminator sees noisy inputs [3]_ and learns faster than the encoder [4]_, and its solver
    has a short memory [5]_. If codes drift or oscillate, raise ``discriminator_learning_rate`` or
    ``n_discriminator_steps``, or lower ``adversarial_weight`` or ``learning_rate``. If
    ``discriminator_loss_curve_`` stays well below 0.69, the codes still differ from the prior: train longer, or
    raise ``adversarial_weight``.

    *Continuing.* The discriminator's weights are kept with the model, also when it is saved; ``warm_start`` and
    `partial_fit` continue with them, unless ``discriminator_hidden_layer_sizes`` has changed. The state of its
    solver, and the encoder's and decoder's weights before averaging, are kept for `partial_fit` only and are not
    saved.

    Centring, initial weights, early stopping and reproducibility are as described in the Notes of
    :class:`AutoencoderTransformer`.

    References
    ----------
    .. [1] A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow and B. Frey (2015). Adversarial autoencoders.
       arXiv:1511.05644.
    .. [2] I. Goodfellow et al. (2014).
       Generative adversarial nets. NIPS.
    .. [3] C. K. Sonderby et al. (2017).
       Amortised MAP inference for image super-resolution. ICLR.
    .. [4] M. Heusel, H. Ramsauer, T. Unterthiner, B. Nessler and S. Hochreiter (2017). GANs trained by a two
       time-scale update rule converge to a local Nash equilibrium. NIPS.
    .. [5] A. Radford, L. Metz and S. Chintala (2016). Unsupervised representation learning with deep convolutional
       generative adversarial networks. ICLR.
    .. [6] Y. Yazici, C.-S. Foo, S. Winkler, K.-H. Yap, G. Piliouras and V. Chandrasekhar (2019). The unusual
       effectiveness of averaging in GAN training. ICLR.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import AdversarialAutoencoder
    >>> X = StandardScaler().fit_transform(load_digits().data)
    >>> model = AdversarialAutoencoder(2, max_iter=60, tol=None, random_state=0).fit(X)
    >>> Z = model.transform(X)
    >>> bool(abs(Z.mean(axis=0)).max() < 0.15), bool(abs(Z.std(axis=0) - 1).max() < 0.15)
    (True, True)
    >>> model.sample(5, random_state=0).shape
    (5, 64)
    """

    _automatic = STEADY

    n_components: int = parameter(AT_LEAST_ONE, default=8, positional=True)
    prior: Any = parameter(StrOptions({"normal"}), "array-like", callable, default="normal")
    adversarial_weight: float = parameter(NON_NEGATIVE, default=1.25)
    discriminator_hidden_layer_sizes: Any = parameter("array-like", AT_LEAST_ONE, default=(128,))
    discriminator_learning_rate: float = parameter(POSITIVE, default=0.01)
    n_discriminator_steps: int = parameter(AT_LEAST_ONE, default=2)
    discriminator_noise: float = parameter(NON_NEGATIVE, default=0.6)

    def sample(self, n_samples=1, random_state=None):
        """Draw new rows: codes from the prior, decoded.

        In a pipeline after a scaler, ``pipe[:-1].inverse_transform(pipe[-1].sample(n))`` brings them back to the
        original units.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows to draw.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None draws different rows each time.

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
        prior, width = self._prior, self._n_features_out
        return generate(self, n_samples, random_state, lambda n, *how: priors.draw(prior, n, width, *how))

    def _bottleneck(self, setup: Setup) -> Adversary:
        width = setup.architecture.encoder_layer_sizes[-1]
        prior = priors.prior(self.prior, width)
        hidden = layer_sizes(self.discriminator_hidden_layer_sizes, "discriminator_hidden_layer_sizes")
        discriminator = Discriminator((width, *hidden, 1), setup.streams.weights, setup.dtype, setup.device)
        if setup.previous is not None:
            discriminator.load(setup.previous._discriminator)
        return Adversary(
            discriminator,
            AdversarialAdam(*discriminator.flat, learning_rate=self.discriminator_learning_rate),
            lambda n, generator: priors.draw(prior, n, width, discriminator.parameters, generator),
            weight=self.adversarial_weight,
            noise=self.discriminator_noise,
            n_steps=self.n_discriminator_steps,
            generator=setup.generator,
        )

    def _fitted_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        curve = fit.history.parts.get("discriminator", [])
        adversary: Any = fit.objective.bottleneck
        return {
            "discriminator_loss_curve_": fit.setup.curve("discriminator_loss_curve_", curve),
            "_discriminator": adversary.discriminator.plain(),
            "_prior": priors.prior(self.prior, self.n_components),
        }
