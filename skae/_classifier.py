"""A classifier on top of an autoencoder: pretrained on all rows, fine-tuned on those with a label."""

import copy
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
    clone,
)
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from ._base import BaseAutoencoder
from ._data import arrays
from ._documentation import LinkedMixin
from ._fitted import persistence
from ._networks.inference import forward
from ._stacked import StackedAutoencoder
from ._support import random
from ._training.fine_tuning import FineTuning
from ._training.monitoring import Monitor, phase_task, warn_of_the_end
from ._training.fitting import restore_on_failure


class AutoencoderClassifier(
    ClassifierMixin,
    LinkedMixin,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    r"""Classifier on an autoencoder's codes: pretrained without labels, fine-tuned with few.

    An autoencoder is fitted to all rows, with and without a label. Then a softmax layer is put onto its codes, and
    the encoder and this layer are trained together on the rows that have a label [1]_. Mark rows without a label
    by -1, as in :mod:`sklearn.semi_supervised`.

    Parameters
    ----------
    autoencoder : autoencoder of skae or None, default=None
        What to pretrain; it is cloned. Its ``device`` and ``dtype`` are the classifier's too. None is a stacked
        denoising autoencoder: ``StackedAutoencoder(32, code_activation='relu', noise='masking',
        noise_level=0.25, fine_tune=False, tol=None)``.
    n_frozen_layers : int, default=0
        How many layers of the encoder, counted from the input, keep their pretrained weights. With all of them
        frozen this is a softmax regression on the codes.
    class_weight : dict, 'balanced' or None, default=None
        Weights of the classes in fine-tuning, ``{class: weight}``; 'balanced' weighs inversely to the classes'
        frequencies among the labelled rows. Only their ratios matter.
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
    random_state : int, RandomState instance or None, default=None
        Seed of the first weights, the rows held out, and the order of the rows. An integer makes fits repeat
        bit for bit on one machine's CPU. The global generators of NumPy and torch are neither read nor changed.
    verbose : bool or int, default=False
        Whether to print the loss of each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The class labels.
    autoencoder_ : autoencoder of skae
        The pretrained autoencoder, fitted to all rows.
    encoder_ : torch.nn.Module
        The fine-tuned encoder, on ``device_`` and in evaluation mode: rows of shape (n, n_features) to codes of
        shape (n, n_components).
    head_ : torch.nn.Linear
        From codes to one logit for each class.
    device_ : torch.device
        The device of the networks.
    n_parameters_ : int
        Number of parameters of encoder and head, biases included.
    loss_curve_ : list of float
        In each epoch of fine-tuning, the mean cross-entropy over labelled rows, in nats, and the L2 penalty.
    loss_ : float
        The last entry of ``loss_curve_``.
    validation_loss_curve_ : list of float
        With ``early_stopping``, the cross-entropy of the rows held out after each epoch.
    best_loss_ : float
        The smallest entry of ``validation_loss_curve_`` with ``early_stopping``, of ``loss_curve_`` without.
    n_iter_ : int
        Number of epochs of fine-tuning.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen in `fit`, where they are all strings.

    See Also
    --------
    StackedAutoencoder : The autoencoder that is pretrained by default.
    sklearn.semi_supervised.SelfTrainingClassifier : Another way to use rows without labels.

    Notes
    -----
    If fewer than two classes remain besides -1, then -1 is a class like any other. ``max_iter``, ``solver``,
    ``early_stopping`` and the other parameters of training are those of fine-tuning; pretraining has the
    autoencoder's own. ``early_stopping`` holds out rows of each class that has rows to spare. An autoencoder
    whose ``random_state`` is None gets one from the classifier's.

    An interrupt from the keyboard ends the phase it falls into: during pretraining, fine-tuning still follows.

    Whether pretraining helps depends on the data: compare with the same network trained on the labelled rows
    alone, that is, fitted to these rows only.

    References
    ----------
    .. [1] G. E. Hinton and R. R. Salakhutdinov (2006). Reducing the dimensionality of data with neural networks.
       Science 313, 504-507.
    .. [2] P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol (2010). Stacked denoising
       autoencoders: learning useful representations in a deep network with a local denoising criterion.
       Journal of Machine Learning Research 11, 3371-3408.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.preprocessing import scale
    >>> from skae import AutoencoderClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X, some_labels = scale(X), y.copy()
    >>> some_labels[400:] = -1
    >>> classifier = AutoencoderClassifier(max_iter=60, tol=None, random_state=0)
    >>> round(classifier.fit(X, some_labels).score(X[400:], y[400:]), 1)
    0.9
    """

    _parameter_constraints = {
        "autoencoder": [BaseAutoencoder, None],
        "n_frozen_layers": [Interval(Integral, 0, None, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        **{
            name: BaseAutoencoder._parameter_constraints[name]
            for name in (
                "alpha",
                "solver",
                "learning_rate",
                "momentum",
                "batch_size",
                "max_iter",
                "shuffle",
                "tol",
                "n_iter_no_change",
                "early_stopping",
                "validation_fraction",
                "random_state",
                "verbose",
            )
        },
    }

    def __init__(
        self,
        autoencoder=None,
        *,
        n_frozen_layers=0,
        class_weight=None,
        alpha=0.0,
        solver="adam",
        learning_rate=1e-3,
        momentum=0.9,
        batch_size="auto",
        max_iter=200,
        shuffle=True,
        tol=1e-4,
        n_iter_no_change=10,
        early_stopping=False,
        validation_fraction=0.1,
        random_state=None,
        verbose=False,
    ):
        self.autoencoder = autoencoder
        self.n_frozen_layers = n_frozen_layers
        self.class_weight = class_weight
        self.alpha = alpha
        self.solver = solver
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.verbose = verbose

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Pretrain the autoencoder on all rows, then train encoder and classifier on those with a label.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : array-like of shape (n_samples,)
            Class labels. Rows with label -1 have none, if two other classes remain.

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
        with restore_on_failure(self):
            X, y = arrays.check_rows_and_labels(self, X, y)
            labelled = _labelled(y)
            check_classification_targets(y[labelled])
            self.classes_, codes = np.unique(y[labelled], return_inverse=True)
            context = self._init_callback_context(max_subtasks=2)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            self.autoencoder_ = self._pretrained(X, context)
            run = FineTuning(self, X[labelled], codes)
            rows = run.data.X, run.y
            with phase_task(self, *rows, context, "fine-tune", self.max_iter) as task:
                monitor = Monitor.of(self, *rows, task, run.glimpse)
                history = run.train(run.step, run.schedule(run.step, self.max_iter), monitor)
            vars(self).pop("validation_loss_curve_", None)
            vars(self).update(run.attributes(history))
            context.call_on_fit_task_end(
                estimator=self, X=rows[0], y=rows[1], reconstruction_attributes=lambda: run.attributes(history)
            )
            warn_of_the_end(self, history)
        return self

    def _pretrained(self, X, context) -> BaseAutoencoder:
        autoencoder = clone(self.autoencoder) if self.autoencoder is not None else default_autoencoder()
        if autoencoder.random_state is None and self.random_state is not None:
            autoencoder.set_params(random_state=random.seed(self.random_state))
        task = context.subcontext(task_name="pretrain")
        with task.propagate_callback_context(autoencoder):
            task.call_on_fit_task_begin(estimator=self, X=X)
            autoencoder.fit(X)
            task.call_on_fit_task_end(estimator=self, X=X)
        return autoencoder

    def predict(self, X):
        """Predict the class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to classify.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The most probable classes, of the dtype of the labels given to `fit`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or has another width or other feature names than
            in `fit`.
        """
        check_is_fitted(self)
        return self.classes_[np.argmax(self.predict_proba(X), axis=1)]

    def predict_proba(self, X):
        """Estimate the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to classify.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Probabilities in the order of ``classes_``, of X's floating dtype; each row sums to one.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or has another width or other feature names than
            in `fit`.
        """
        X = self._check(X)
        dtype = arrays.torch_dtype(X)
        encode, head = forward(self.encoder_, dtype), copy.deepcopy(self.head_).to(dtype)

        def probabilities(x: Tensor, out: Tensor | None = None) -> Tensor:
            return torch.softmax(head(encode(x, None)), 1, out=out)

        return self._stream(X, probabilities, len(self.classes_))

    def transform(self, X):
        """Map rows to the codes that the classes are told by.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Codes of the fine-tuned encoder, of X's floating dtype.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, holds NaN or infinity, or has another width or other feature names than
            in `fit`.
        """
        X = self._check(X)
        return self._stream(X, forward(self.encoder_, arrays.torch_dtype(X)), self._n_features_out)

    def _stream(self, X, apply, width: int):
        return arrays.stream(X, apply, width, self.device_, widest=self.autoencoder_._widest)

    def _check(self, X):
        check_is_fitted(self)
        return arrays.check_rows(self, X, reset=False)

    @property
    def _n_features_out(self) -> int:
        return self.head_.in_features

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        return persistence.classifier_to_plain(dict(super().__getstate__()))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(persistence.classifier_from_plain(dict(state), type(self).__name__))


def default_autoencoder() -> StackedAutoencoder:
    """Return the autoencoder that a classifier pretrains if it is given none: a stacked denoising one."""
    return StackedAutoencoder(
        32, code_activation="relu", noise="masking", noise_level=0.25, fine_tune=False, tol=None
    )


def _labelled(y: np.ndarray) -> np.ndarray:
    """Tell which rows have a label: those that are not -1, if two classes remain without them."""
    if y.dtype.kind == "O":  # labels of other types beside the integer -1
        labelled = np.array([not (isinstance(label, Integral) and label == -1) for label in y], dtype=bool)
    else:
        labelled = y != -1 if y.dtype.kind in "iuf" else np.ones(len(y), dtype=bool)
    return labelled if len(np.unique(y[labelled])) >= 2 else np.ones(len(y), dtype=bool)
