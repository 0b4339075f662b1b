"""The adversarial autoencoder."""

from dataclasses import field
from numbers import Integral, Real
from typing import Any, ClassVar

import torch
from sklearn.utils._param_validation import Interval, StrOptions

from ._base import BaseAutoencoder
from ._bottleneck import prior as priors
from ._bottleneck.adversary import Adversary, Discriminator
from ._fitted.generation import generate
from ._training.architecture import layer_sizes
from ._training.optimizers import AdversarialAdam
from ._training.prepare import Fit
from ._training.setup import Setup


class AdversarialAutoencoder(BaseAutoencoder):
    r"""Adversarial autoencoder: codes that are distributed as a prior says.

    A second, small network, the discriminator, learns to tell the codes of rows from draws of a prior; the encoder
    learns to restore rows and, at the same time, to be mistaken for the prior [1]_. Codes then fill the prior
    without gaps, so that its draws, decoded, are new rows (`sample`). The prior may be anything that one can draw
    from. Unlike :class:`VAESampler` it gives no likelihoods; each row has one code, and `transform` returns it.

    Scale the features first, for instance with :class:`~sklearn.preprocessing.StandardScaler`.

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
    prior : 'normal', sequence of (mean, covariance) pairs, or callable, default='normal'
        What codes are to be distributed as: 'normal' is the standard normal distribution; pairs are a mixture of
        normal distributions that are equally likely, each with a mean of shape (n_components,) or one number, and
        a covariance matrix of shape (n_components, n_components), variances of shape (n_components,), or one
        variance. A callable ``(n, generator) -> codes`` gets a `torch.Generator` and returns draws, a tensor of
        shape (n, n_components), or what becomes one; draws made with ``generator`` obey ``random_state``.
    adversarial_weight : float, default=1.25
        Strength of the pull towards the prior, in units of the reconstruction loss (see Notes). More brings the
        distribution of codes closer to the prior; less restores rows better.
    discriminator_hidden_layer_sizes : int or array-like of int, default=(128,)
        Widths of the discriminator's hidden layers, leaky rectifiers, from the code on.
    discriminator_learning_rate : float, default=0.01
        Step size of the discriminator's own solver, Adam with a short memory. The discriminator has to follow the
        encoder, which learns at twice ``learning_rate`` (see Notes): keep it above that.
    n_discriminator_steps : int, default=2
        Steps of the discriminator for each step of the autoencoder, with new draws from the prior in each.
    discriminator_noise : float, default=0.6
        Standard deviation of normal noise on all that the discriminator sees, codes and draws alike. It keeps the
        discriminator from learning few rows by heart. What is finer than the noise is matched less well: lower
        it for a prior whose parts are narrower than that of a standard normal one.
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
        Number of trained parameters of both networks, biases included; tied weights count once.
    loss_curve_ : list of float
        The reconstruction in each epoch: the mean loss over rows and features, and the L2 penalty. After
        `partial_fit`, of every pass so far.
    discriminator_loss_curve_ : list of float
        The discriminator's loss in each epoch, a mean over codes and draws, in nats: log 2 = 0.69 is that of
        guessing.
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
    VAESampler : Codes near a standard normal distribution by a divergence in closed form, with likelihoods.
    AutoencoderTransformer : Codes with no distribution in view.

    Notes
    -----
    With the discriminator's logit :math:`D`, codes :math:`z_i`, and draws :math:`p_i` of the prior, the
    discriminator lowers

    .. math::
        \frac{1}{2n} \sum_{i=1}^{n} \bigl[
        \log\bigl(1 + e^{-D(p_i)}\bigr) + \log\bigl(1 + e^{D(z_i)}\bigr) \bigr]

    in ``n_discriminator_steps`` steps on each batch; it is log 2 = 0.69 when codes cannot be told from draws. Then
    encoder and decoder take a step down the gradient of

    .. math::
        L + \bar L\, \lambda A + \frac{\alpha}{2} \sum_w w^2, \qquad
        A = \frac{1}{n} \sum_{i=1}^{n} \log\bigl(1 + e^{-D(z_i)}\bigr)

    with the reconstruction loss L of the batch, a mean over rows and features; :math:`\bar L` is its value, held
    fixed, and :math:`\lambda` = ``adversarial_weight``. The pull A has the form that does not vanish where the
    discriminator is sure [2]_. Without the last term, this gradient is L times that of :math:`\log L + \lambda A`:
    the weight means the same whatever the units of the data, and however well they can be restored.

    ``loss_curve_``, ``validation_loss_curve_``, ``tol`` and ``early_stopping`` look at the reconstruction (and the
    L2 penalty) alone: the pull rises as the discriminator learns, so that it cannot be compared between epochs.

    Encoder and decoder learn at twice ``learning_rate``, which is not raised above 0.01 for 'adam' and 'adamw',
    since a step has to serve both the reconstruction and the pull. What is kept, and validated, is a running mean
    of their weights, which reaches back about a tenth of the steps, and at most about fifty [6]_.
    ``loss_curve_`` is of the weights in each step.

    *Stability.* The discriminator sees through noise [3]_, learns faster than the encoder [4]_, and its solver
    forgets soon (``beta1=0.5``) [5]_. If codes drift or oscillate, raise ``discriminator_learning_rate`` or
    ``n_discriminator_steps``, or lower ``adversarial_weight`` or ``learning_rate``. Where
    ``discriminator_loss_curve_`` stays well below 0.69, codes are still told from the prior: train longer, or
    raise ``adversarial_weight``. Few rows with many components cannot look like the prior and be restored well
    at once.

    *Carrying on.* The discriminator's weights are kept with the model, as a plain array, also when it is saved:
    ``warm_start`` and `partial_fit` go on with them, or with a new discriminator where
    ``discriminator_hidden_layer_sizes`` has changed. The state of its solver is kept for `partial_fit` alone, as
    are the weights that encoder and decoder have reached beside their mean, and neither is saved.

    Centring, first weights, early stopping and reproducibility are as described for
    :class:`AutoencoderTransformer`.

    References
    ----------
    .. [1] A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow and B. Frey (2015). Adversarial autoencoders.
       arXiv:1511.05644.
    .. [2] I. Goodfellow et al. (2014). Generative adversarial nets. NIPS.
    .. [3] C. K. Sonderby et al. (2017). Amortised MAP inference for image super-resolution. ICLR.
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

    n_components: int = field(default=8, kw_only=False)
    prior: Any = "normal"
    adversarial_weight: float = 1.25
    discriminator_hidden_layer_sizes: Any = (128,)
    discriminator_learning_rate: float = 0.01
    n_discriminator_steps: int = 2
    discriminator_noise: float = 0.6
    tied_weights: bool = False

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "prior": [StrOptions({"normal"}), "array-like", callable],
        "adversarial_weight": [Interval(Real, 0, None, closed="left")],
        "discriminator_hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "discriminator_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "n_discriminator_steps": [Interval(Integral, 1, None, closed="left")],
        "discriminator_noise": [Interval(Real, 0, None, closed="left")],
        "tied_weights": ["boolean"],
    }

    def sample(self, n_samples=1, random_state=None):
        """Draw new rows: codes from the prior, decoded.

        After a scaler, ``pipe[:-1].inverse_transform(pipe[-1].sample(n))`` brings them back to its input's units.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState instance or None, default=None
            Seed of the draws. None draws other rows each time.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            New rows, of the floating dtype of the data that were given to `fit`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError, ValueError
            If ``n_samples`` is no integer, or is below 1.
        """
        return generate(self, n_samples, random_state, self._draw_codes)

    def _draw_codes(self, n: int, like: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return priors.draw(self._prior, n, self._n_features_out, like, generator)

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
