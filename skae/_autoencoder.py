"""The plain autoencoder."""

from dataclasses import field
from numbers import Integral, Real
from typing import Any, ClassVar

from sklearn.base import _fit_context
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Interval, RealNotInt
from torch import nn

from ._base import BaseAutoencoder
from ._fitted.ordered_codes import OrderedCodes
from ._objectives.penalties import Penalty, contractive
from ._training.fitting import fit_networks
from ._training.setup import Setup


class AutoencoderTransformer(OrderedCodes, BaseAutoencoder):
    r"""Autoencoder: dimensionality reduction by a pair of neural networks.

    An encoder maps each row to a code of ``n_components`` numbers, a decoder maps the code back to the row, and
    both are trained together so that little is lost. Without hidden layers this is PCA's subspace; with them,
    the codes may follow curved surfaces. Penalties keep the weights small (``alpha``) or the codes insensitive
    to small changes of the input (``contractive``), ``tied_weights`` shares the weights of the two networks, and
    ``encoder`` and ``decoder`` take torch modules of your own. ``ordered`` sorts the units of the code by how much
    they explain, as PCA sorts its components.

    Scale the features first, for instance with :class:`~sklearn.preprocessing.StandardScaler`: squared errors
    add up over features, so that one in large units outweighs the others.

    Parameters
    ----------
    n_components : int or float, default=16
        Width of the code. It may be larger than the number of features. With ``ordered``, a number between 0 and 1
        is the share of the variance to keep: the networks are trained with as many units as there are features,
        or as the narrower of the layers next to the code has, and cut to the fewest that keep it.
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
    contractive : float, default=0.0
        Strength of the contractive penalty: it is multiplied by the mean over rows of the squared Frobenius
        norm of the code's Jacobian with respect to the row [4]_. Exact, not estimated. It costs one backward
        pass for each unit of the code, except without hidden layers and with an identity, relu, tanh or sigmoid
        code.
    ordered : bool, default=False
        Whether the units of the code are sorted by how much they explain: the first ``k`` of them, with zeros in
        the place of the others, are trained to be a good code of width ``k``, for each ``k`` [5]_. Training takes
        several times as long, and raises ``learning_rate``, see Notes.
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
    n_components_ : int
        Width of the code.
    explained_variance_ : ndarray of shape (`n_components_`,)
        With ``ordered``, how much of the variance of rows each unit adds to what the reconstruction from the units
        before it explains, in squared units of X, summed over features. Rows are those held out with
        ``early_stopping``, which tells what to expect of new ones, and the training rows without. Explained is the
        variance around the rows' mean, less the squared error; a unit that does harm has a negative entry.
    explained_variance_ratio_ : ndarray of shape (`n_components_`,)
        With ``ordered``, the same as shares of the rows' variance. They add up to `score` on those rows.
    components_ : ndarray of shape (`n_components_`, n_features)
        With ``ordered`` and linear networks under squared error, what each unit adds to the reconstruction: PCA's
        components, in their order and with their signs (see Notes).
    offset_ : ndarray of shape (n_features,)
        What is subtracted from each row before the encoder and added after the decoder, inside the networks:
        the mean of the rows given to `fit`, or zeros where the networks are not centred (see Notes).
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
    BaseAutoencoder : Base class of all autoencoders, for writing a variant.
    sklearn.decomposition.PCA : The best linear autoencoder, in closed form.

    Notes
    -----
    The objective, for rows :math:`x_i` with codes :math:`z_i` and reconstructions :math:`\hat x_i`, is

    .. math::
        \frac{1}{n d} \sum_{i=1}^{n} \sum_{j=1}^{d} \ell(\hat x_{ij}, x_{ij})
        + \frac{\alpha}{2} \sum_w w^2
        + \frac{c}{n} \sum_{i=1}^{n} \left\lVert \frac{\partial z_i}{\partial x_i} \right\rVert_F^2

    with :math:`\alpha` = ``alpha`` and :math:`c` = ``contractive``. Being means, the loss and the Jacobian term
    keep their scale whatever the number of rows; ``sample_weight`` turns them into weighted means.

    *Centring.* The mean of the rows given to `fit` is subtracted from each row, in the precision of the data
    and before any cast to float32, and added to the reconstruction, so that a column like 1e9 + N(0, 1) keeps
    what it holds. Networks work on uncentred data with binary cross-entropy, with a loss, encoder or decoder of
    your own, and with an output activation other than the identity.

    *Images.* With ``image_shape``, each entry of ``hidden_layer_sizes`` is a block of the encoder: a convolution
    to so many channels, with zeros around the image, and the activation. A block divides height and width by its
    ``downsampling_factor`` f: by the convolution's stride f, or by pooling over f x f places after the activation.
    The last one's result is flattened for a dense code, or goes through one more convolution whose result,
    flattened, is the code. The decoder has a block for each of the encoder's, in reverse order: a dense one from a
    dense code to the last image, then transposed convolutions of the same strides ('stride'), or convolutions
    after repeating places ('pool'). Each restores the height and width that its counterpart had, odd ones too.
    Between blocks, images are rows in C order, (height, width, channels). Of 28 x 28 images, for instance,

    - ``n_components=32, hidden_layer_sizes=(32, 64)`` makes images of 14 x 14 x 32 and 7 x 7 x 64, then the code,
      and the decoder goes back through 7 x 7 x 64 and 14 x 14 x 32;
    - ``n_components=128, hidden_layer_sizes=(16, 8), downsampling='pool', downsampling_factor=(2, 2, 2),
      code_layer='convolution'`` makes images of 14 x 14 x 16 and 7 x 7 x 8, and a code of 4 x 4 x 8;
    - ``n_components=12544, hidden_layer_sizes=(64, 128), downsampling='pool', code_layer='convolution'`` makes
      images of 14 x 14 x 64 and 7 x 7 x 128, and a code of 7 x 7 x 256.

    Convolutions are fastest in float32 and, on processors and accelerators made for it, with ``dtype='bfloat16'``.

    *First weights* are drawn uniformly within the bounds of Glorot and Bengio (2010). Biases start at zero, but
    for those that ordered codes need.

    *Linear networks.* With ``hidden_layer_sizes=()``, identities and squared error, the best reconstruction is
    PCA's [1]_ [2]_. The codes span the same subspace but are not its principal axes: they may be rotated,
    stretched and correlated. Deep nonlinear networks can do better [3]_.

    *Ordered codes.* The loss is then the mean over widths :math:`k` of the loss of reconstructions from
    :math:`(z_{i1}, \dots, z_{ik}, 0, \dots, 0)`. Nested dropout [5]_ draws a width for each row and has one
    decoder. Here the widths are in groups, 1, 2, ..., 16, 17-20, 21-24 and so on, four to each power of two. Each
    group has a decoder of its own, which a batch reaches by a width drawn from the group, so that training takes
    longer, 5 times for 8 units and 10 times for 16 in one case. The gradient is that of the mean logarithm of
    their losses, for small losses to be felt as much as large ones; the first two groups count three times, the
    third and the last twice, and the groups of longer prefixes, all together, are felt by a unit at most five
    times as much as its own. The biases of the first layer after the code are drawn between -0.3 and 0.3, for
    short prefixes to have hidden units that bend in different places. Rows held out are judged by the widest of
    each group. ``decoder_`` sends each row to the decoder for the units up to its last one that is not zero.

    Many prefixes at once are like a larger batch. ``learning_rate`` is therefore multiplied by the number of
    groups for 'sgd', and for 'adam' and 'adamw' by its square root [6]_, but not raised above 0.01. What is kept,
    and validated, is a running mean of the weights, which reaches back about a tenth of the steps, and at most
    about fifty [7]_. The loss of the rows trained on is that of the weights in each step. `partial_fit` carries on
    from those, unless the model has been saved or its networks changed since.

    Tied weights, a decoder of your own and codes made by a convolution leave one decoder for all widths, which
    is clearly worse for short prefixes. One encoder serves all widths in any case, and a prefix can be somewhat
    worse than a network trained for its width alone. On digits held out, in four settings and averaged over four
    splits, the error of the worst prefix was 3 to 8 % larger for 8 units and 8 to 11 % for 16; in single fits up
    to 18 %, where two networks of one width, too, differ by 10 % from seed to seed.

    Linear networks under squared error need none of this. They are trained as usual and their code is changed at
    the end to the principal axes of the reconstruction, which changes no reconstruction from the whole code, and
    makes every prefix the best that the whole has. ``components_`` are of length one and orthogonal; with tied
    weights, which leave room for a rotation only, nearly so.

    *Early stopping* chooses the rows to hold out by their values and the seed, not by their position. Equal rows
    stay on the same side, so that no row is validated on its own copy, and a row of weight two is treated as two
    equal rows. Rows that are equal to so many others that they are more than what is to be held out are trained
    on.

    *Reproducibility.* On any device the first weights, the rows held out and the order of the rows are those of
    the CPU; sums on other devices, or other machines, may round differently.

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
    >>> autoencoder = AutoencoderTransformer(8, learning_rate=5e-3, max_iter=50, tol=None, random_state=0)
    >>> Z = autoencoder.fit_transform(X)
    >>> Z.shape
    (1000, 8)
    >>> autoencoder.inverse_transform(Z).shape
    (1000, 64)
    >>> round(autoencoder.score(X), 1)
    0.8

    As many units as it takes to keep three quarters of the variance:

    >>> ordered = AutoencoderTransformer(
    ...     0.75, ordered=True, learning_rate=5e-3, max_iter=50, tol=None, random_state=0
    ... ).fit(X)
    >>> ordered.n_components_ < 16, bool(ordered.explained_variance_ratio_.sum() >= 0.75)
    (True, True)
    """

    n_components: Any = field(default=16, kw_only=False)
    contractive: float = 0.0
    ordered: bool = False
    tied_weights: bool = False
    encoder: Any = None
    decoder: Any = None

    _parameter_constraints: ClassVar[dict] = {
        **BaseAutoencoder._parameter_constraints,
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            Interval(RealNotInt, 0, 1, closed="neither"),
        ],
        "contractive": [Interval(Real, 0, None, closed="left")],
        "ordered": ["boolean"],
        "tied_weights": ["boolean"],
        "encoder": [nn.Module, None],
        "decoder": [nn.Module, None],
    }

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Train the networks on X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows. Integer weights are as good as repeated rows, and zero as good
            as leaving a row out.

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

    def _penalties(self, setup: Setup) -> list[Penalty]:
        if not self.contractive:
            return []
        if self.normalization == "batch":
            raise ValueError(
                f"contractive={self.contractive:g} needs codes that depend on their own row alone, but "
                "normalization='batch' mixes the rows of a batch. Use normalization='layer' or None, or "
                "contractive=0."
            )
        one_layer = len(setup.architecture.encoder_layer_sizes) == 1
        return [contractive(self.contractive, setup.architecture.code_activation if one_layer else None)]
