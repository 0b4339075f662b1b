"""The plain autoencoder."""

from numbers import Integral
from typing import Any

from sklearn.utils._param_validation import Interval, RealNotInt

from ._base import TakesSampleWeight
from ._bottleneck.nested_dropout import NestedDropout
from ._fitted import ordered
from ._networks.building import Architecture
from ._objectives.losses import loss_by
from ._objectives.penalties import Penalty, contractive
from ._support.parameters import AT_LEAST_ONE, NON_NEGATIVE, parameter
from ._support.warnings import warn
from ._training.automatic import Automatic
from ._training.fitting import Fit
from ._training.history import History
from ._training.setup import Mode, Setup


class AutoencoderTransformer(TakesSampleWeight):
    r"""Autoencoder: dimensionality reduction by a pair of neural networks.

    The encoder maps each row to a code of ``n_components`` numbers, the decoder maps the code back to a row, and
    both are trained together to minimise the reconstruction loss. Without hidden layers the codes span the same
    subspace as PCA; with hidden layers they can follow curved manifolds. ``alpha`` penalises large weights,
    ``contractive`` penalises codes that are sensitive to small changes of the input, and ``ordered`` sorts the
    units of the code by explained variance, as PCA sorts its components.

    Scale the features first, for instance with :class:`~sklearn.preprocessing.StandardScaler`: squared errors add
    up over features, so that features in large units outweigh the others.

    Parameters
    ----------
    n_components : int or float, default=16
        Width of the code. It may exceed the number of features, but such a code can copy the rows: if it
        is asked for, `fit` warns, unless a penalty or a narrow layer keeps it from that. With ``ordered=True``, a
        float between 0 and
        1 is the fraction of the variance to keep: the networks are trained at full width, which is the number of
        features or the width of a narrower layer next to the code, and then truncated to the fewest units that
        keep this fraction.
    contractive : float, default=0.0
        Strength of the contractive penalty, the squared Frobenius norm of the Jacobian of the code with respect to
        the row, averaged over rows [4]_. It is exact, not estimated, and costs one backward pass per unit of the
        code. Without hidden layers and with an 'identity', 'relu', 'tanh' or 'sigmoid' code there is a closed
        form, which costs less.
    ordered : bool, default=False
        Whether to sort the units of the code by how much variance they explain. For each ``k``, the first ``k``
        units, with zeros in place of the others, are trained to be a good code of width ``k`` (nested dropout
        [5]_). Training takes several times as long; see Notes.
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
        normal distribution of He et al. (2015), which some use before rectifiers. 'pca' starts at the solution of
        PCA, which needs squared error, dense networks without normalisation and tied weights, 'identity' for code
        and output, hidden layers of 'relu', 'leaky_relu', 'silu', 'gelu' or 'identity', and (but for 'identity')
        hidden widths of at least twice the code's; see Notes. 'auto' is 'pca' where that is possible, else
        'glorot'.
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
    n_components_ : int
        Width of the code: ``n_components``, or the number of units kept if that is a fraction.
    explained_variance_ : ndarray of shape (`n_components_`,)
        Variance that each unit explains in addition to the units before it, summed over features, in squared units
        of X. The variance explained by the first k units is that of the rows around their mean, minus the squared
        error of the reconstruction from these units; it can fall, and an entry then is negative. Measured on the
        held-out rows with ``early_stopping``, otherwise on the training rows, on recent ones after `partial_fit`.
        Only with ``ordered=True``.
    explained_variance_ratio_ : ndarray of shape (`n_components_`,)
        ``explained_variance_`` divided by the total variance of the same rows. The sum is `score` on these rows.
        Only with ``ordered=True``.
    is_pca_ : bool
        Whether the networks are PCA, since training was not worth it: of as many components as the narrowest layer
        lets through, which may be fewer than ``n_components``; see Notes.
    n_refit_iter_ : int
        Number of epochs for which the networks were trained on all rows, those held out among them; 0 if they have
        not been; see Notes.
    components_ : ndarray of shape (`n_components_`, n_features)
        What each unit of the code adds to a row, in units of X: the decoder's weights, before the output
        activation and the link of the loss. Only with a decoder of a single dense layer, as with
        ``hidden_layer_sizes=()``, or of dense layers with 'identity' activations. With ``ordered=True``, linear
        networks and squared error, these are principal axes, in the order and with the signs of
        :class:`~sklearn.decomposition.PCA`; see Notes.
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
    BaseAutoencoder : Base class of all autoencoders, for writing a variant.
    sklearn.decomposition.PCA : The best linear autoencoder, in closed form.

    Notes
    -----
    With rows :math:`x_i`, codes :math:`z_i` and reconstructions :math:`\hat x_i`, the objective is

    .. math::
        \frac{1}{n d} \sum_{i=1}^{n} \sum_{j=1}^{d} \ell(\hat x_{ij}, x_{ij})
        + \frac{\alpha}{2} \sum_w w^2
        + \frac{c}{n} \sum_{i=1}^{n} \left\lVert \frac{\partial z_i}{\partial x_i} \right\rVert_F^2

    where :math:`\alpha` is ``alpha`` and :math:`c` is ``contractive``. The loss and the contractive penalty are
    means over rows, so that their scale does not depend on the number of rows; with ``sample_weight`` they are
    weighted means.

    *Centring.* The mean of the rows given to `fit` is subtracted before the encoder and added after the decoder,
    in the precision of the data and before any cast to float32, so that a column such as 1e9 + N(0, 1) keeps its
    variation. Networks are not centred with binary cross-entropy, with a custom loss, encoder or decoder, or with
    an ``output_activation`` other than 'identity'.

    *Units.* Centred rows are divided by ``unit_``, the root of the mean variance of their columns, before the
    encoder, and reconstructions are multiplied by it. First weights, learning rates and solvers are made for rows
    of that size, so that no result depends on the unit of X; the objective is in units of X all the same: so are
    losses, and what ``alpha`` and ``contractive`` are weighed against, and 'huber' is quadratic up to a residual
    of 1. ``unit_`` is 1 where networks are not centred, and for linear networks with ``ordered``, whose codes are
    in units of X. `partial_fit` keeps the unit of its first rows; a warm start keeps that of the fit before.

    *Images.* With ``image_shape``, each entry of ``hidden_layer_sizes`` is a block of the encoder: a zero-padded
    convolution to that many channels, and the activation. A block divides height and width by its
    ``downsampling_factor`` f, by a stride of f or by max pooling over f x f windows after the activation. The
    output of the last block is flattened for a dense code layer, or goes through one more convolution, whose
    flattened output is the code. The decoder mirrors the encoder block by block: a dense layer from a dense code
    to the last feature map, then transposed convolutions of the same strides ('stride'), or upsampling (nearest
    neighbour) and convolutions ('pool'). Each block restores the height and width of its counterpart, odd ones
    included. Feature maps are flattened in C order, (height, width, channels). For images of 28 x 28 pixels, for
    example,

    - ``n_components=32, hidden_layer_sizes=(32, 64)`` has feature maps of 14 x 14 x 32 and 7 x 7 x 64, then the
      dense code;
    - ``n_components=128, hidden_layer_sizes=(16, 8), downsampling='pool', downsampling_factor=(2, 2, 2),
      code_layer='convolution'`` has feature maps of 14 x 14 x 16 and 7 x 7 x 8, and a code of 4 x 4 x 8;
    - ``n_components=12544, hidden_layer_sizes=(64, 128), downsampling='pool', code_layer='convolution'`` has
      feature maps of 14 x 14 x 64 and 7 x 7 x 128, and a code of 7 x 7 x 256.

    *Initial weights.* Biases start at zero, except for some of those of ordered codes. With ``init='pca'``
    networks start at the solution of PCA. For a rectifier, relu(a) - relu(-a) = a (silu, gelu and leaky_relu have
    the same identity, up to a factor), so that a pair of hidden units carries a principal component through a
    layer. The other hidden units are drawn, with outgoing weights of three tenths of the usual ones.

    *Never worse than PCA.* With ``init='auto'`` or 'pca' and rows held out, PCA is a candidate too, unless there
    is a penalty or dropout: where the networks are better on the held-out rows by less than a standard error of
    the difference, they become PCA, of all rows given to `fit`, and ``is_pca_`` says so; ``loss_curve_`` stays as
    it was. This also serves 'relu', 'leaky_relu', 'silu' and 'gelu' networks that are too narrow to start at PCA.
    Where a hidden layer is narrower than the code, it is PCA with as many components as that layer has units: no
    network of this kind keeps more, so give hidden layers at least ``n_components`` units.

    *All rows of small tables.* With automatic ``max_iter`` and ``early_stopping``, and fewer than 1000 rows,
    networks are trained anew on all rows, for as many epochs as were best for those held out: they are those of
    ``max_iter=n_refit_iter_``. Curves and ``best_loss_`` are of the training before. Where that has started at PCA
    and is clearly better, it ends once 30 epochs have been no better for the rows held out. With ``X_val``,
    ``warm_start`` or ``ordered``, or where the networks become PCA, there is no second training.

    *Linear networks.* With ``hidden_layer_sizes=()``, identity activations and squared error, the best
    reconstruction is that of PCA [1]_ [2]_. With ``init='auto'`` or 'pca' and no penalty, they start there and are
    brought back to it; one epoch is enough. Otherwise the codes span the same subspace after training, but may be
    rotated, stretched and correlated. Deep nonlinear networks can do better [3]_.

    *Ordered codes.* With ``ordered``, the loss is a mean over widths :math:`k` of the loss of reconstructions from
    truncated codes :math:`(z_{i1}, \dots, z_{ik}, 0, \dots, 0)`. Nested dropout [5]_ draws a width for each row
    and has a single decoder. Here the widths form groups (1, 2, ..., 16, 17-20, 21-24 and so on, four for each
    power of two), each group has a decoder of its own, and each batch is reconstructed once per group, from a
    width drawn from it. The gradient is that of a weighted mean of the groups' log losses, so that small losses
    contribute as much as large ones. Held-out rows are evaluated at the largest width of each group. ``decoder_``
    sends each row to the decoder of the group that its last nonzero unit belongs to. Tied weights, a custom
    decoder and a convolutional code leave a single decoder for all widths, which reconstructs worse from few
    units.

    Since all groups at once act like a larger batch, an automatic ``learning_rate`` is multiplied by their number
    for 'sgd', and by its square root for 'adam' and 'adamw' [6]_, but not raised above 0.01. The weights that are
    validated and kept are a running mean of those of recent steps [7]_; ``loss_curve_`` is the loss of the weights
    of each step. `partial_fit` continues from the weights of the last step, unless the model was saved or its
    networks changed in between.

    Linear networks under squared error need none of this: they are trained as usual, and the code is then
    transformed to the principal axes of the reconstruction. This leaves reconstructions from the whole code as
    they are and makes those from the first k units the best possible, for each k. The rows of ``components_`` are
    orthonormal; with ``tied_weights``, which allow for a rotation only, approximately so.

    *Early stopping.* The held-out rows are chosen by their values and the seed, not by their position. Equal rows
    stay together, so that no row is validated on its own copy, and a row of weight two is treated as two equal
    rows. A group of equal rows larger than the whole validation set is trained on.

    *Reproducibility.* The initial weights, the held-out rows and the order of the rows are the same on every
    device. Floating-point sums may round differently on other devices or machines.

    References
    ----------
    .. [1] H. Bourlard and Y. Kamp (1988). Auto-association by multilayer perceptrons and singular value
       decomposition. Biological Cybernetics 59, 291-294.
    .. [2] P. Baldi and K. Hornik (1989). Neural networks and principal component analysis: learning from examples
       without local minima. Neural Networks 2, 53-58.
    .. [3] G. E. Hinton and R. R. Salakhutdinov (2006). Reducing the dimensionality of data with neural networks.
       Science 313, 504-507.
    .. [4] S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio (2011). Contractive auto-encoders: explicit
       invariance during feature extraction. ICML.
    .. [5] O. Rippel, M. A. Gelbart and R. P. Adams (2014). Learning ordered representations with nested dropout.
       ICML.
    .. [6] S. Malladi, K. Lyu, A. Panigrahi and S. Arora (2022). On the SDEs and scaling rules for adaptive
       gradient algorithms. NeurIPS.
    .. [7] B. T. Polyak and A. B. Juditsky (1992). Acceleration of stochastic approximation by averaging. SIAM
       Journal on Control and Optimization 30, 838-855.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skae import AutoencoderTransformer
    >>> X = StandardScaler().fit_transform(load_digits().data[:1000])
    >>> autoencoder = AutoencoderTransformer(8, learning_rate=5e-3, max_iter=50, random_state=0)
    >>> Z = autoencoder.fit_transform(X)
    >>> Z.shape
    (1000, 8)
    >>> autoencoder.inverse_transform(Z).shape
    (1000, 64)
    >>> round(autoencoder.score(X), 1)
    0.9

    As few units as keep three quarters of the variance:

    >>> ordered = AutoencoderTransformer(
    ...     0.75, ordered=True, learning_rate=5e-3, max_iter=50, tol=None, random_state=0
    ... ).fit(X)
    >>> ordered.n_components_ < 16, bool(ordered.explained_variance_ratio_.sum() >= 0.75)
    (True, True)
    """

    n_components: Any = parameter(
        AT_LEAST_ONE, Interval(RealNotInt, 0, 1, closed="neither"), default=16, positional=True
    )
    contractive: float = parameter(NON_NEGATIVE, default=0.0)
    ordered: bool = parameter("boolean", default=False)

    _starts_at_pca = True
    _automatic = Automatic(own_norm=0.5, refits=True)

    def _penalties(self, setup: Setup) -> list[Penalty]:
        if not self.contractive:
            return []
        if self.normalization == "batch":
            raise ValueError(
                f"contractive={self.contractive:g} needs codes that depend on their own row alone, but "
                "normalization='batch' mixes the rows of a batch. Use normalization='layer' or None, or "
                "contractive=0."
            )
        architecture = setup.architecture
        one_layer = len(architecture.encoder_layer_sizes) == 1
        strength = self.contractive / setup.loss_unit(loss_by(self.loss))
        activation = architecture.code_activation if one_layer else None
        return [contractive(strength, activation, architecture.unit)._replace(setting="contractive")]

    def _adapt_architecture(self, architecture: Architecture, mode: Mode) -> Architecture:
        if isinstance(self.n_components, Integral) and not self.ordered:
            return architecture
        return ordered.adapt(self, architecture, mode)

    def _bottleneck(self, setup: Setup) -> NestedDropout | None:
        if not self.ordered or ordered.is_linear(self, setup.architecture):
            return None
        return NestedDropout(setup.architecture.encoder_layer_sizes[-1], setup.generator)

    def _finalize_networks(self, fit: Fit, encoder: Any, decoder: Any, architecture: Architecture) -> tuple:
        if not self.ordered:
            return encoder, decoder, architecture
        return ordered.finalize(self, fit, encoder, decoder, architecture)

    def _fitted_attributes(self, fit: Fit, encoder: Any, decoder: Any) -> dict[str, Any]:
        own = ordered.attributes(self, fit, encoder, decoder) if self.ordered else {}
        width, n_refit = fit.architecture.encoder_layer_sizes[-1], fit.n_refit_epochs
        return {"n_components_": width, "is_pca_": fit.is_pca, "n_refit_iter_": n_refit, **own}

    def _warn_after_fit(self, history: History) -> None:
        if self.ordered and self._short_of is not None:
            warn(
                f"All {self.n_components_} units keep {self._short_of:.3g} of the variance, less than "
                f"n_components={self.n_components}: none was removed. Raise max_iter or learning_rate, widen the "
                "hidden layers, or lower n_components.",
            )
