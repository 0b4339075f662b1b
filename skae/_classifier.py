"""A classifier on top of an autoencoder: pretrained on all rows, fine-tuned on those with a label."""

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch
from sklearn.base import ClassifierMixin, _fit_context, clone
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets
from torch import Tensor

from ._base import BaseAutoencoder, UsesEncoder
from ._data import arrays
from ._networks.inference import forward
from ._objectives.support import Support, SupportWatch
from ._stacked import StackedAutoencoder
from ._support.devices import random_seed
from ._support.parameters import AT_LEAST_ZERO, parameter
from ._training.fine_tuning import FineTuning
from ._training.fitting import restore_on_failure
from ._training.monitoring import Monitor, phase_task, warn_of_the_end


class AutoencoderClassifier(ClassifierMixin, UsesEncoder):
    """Classifier on an autoencoder's codes: pretrained on all rows, fine-tuned on labelled ones.

    An autoencoder is fitted to all rows, labelled or not. Then a softmax layer is put on its code layer, and
    encoder and softmax layer are trained together on the labelled rows [1]_. Mark unlabelled rows by -1, as in
    :mod:`sklearn.semi_supervised`.

    Parameters
    ----------
    autoencoder : autoencoder of skae or None, default=None
        Autoencoder to pretrain; it is cloned. Its ``device`` and ``dtype`` are the classifier's too. None is a
        stacked denoising autoencoder [2]_: ``StackedAutoencoder(32, code_activation='relu', noise='masking',
        noise_level=0.25, fine_tune=False, tol=None)``.
    n_frozen_layers : int, default=0
        Number of the encoder's layers, counted from the input, that keep their pretrained weights. With all of
        them frozen this is softmax regression on the codes.
    class_weight : dict, 'balanced' or None, default=None
        Weights of the classes in fine-tuning, ``{class: weight}``; 'balanced' is inversely proportional to the
        class frequencies among the labelled rows. Only their ratios matter.
    alpha : float, default=0.0
        Strength of the L2 penalty ``alpha / 2 * sum(w ** 2)`` on the weights. Biases are not penalised; tied
        weights count once.
    solver : {'adam', 'adamw', 'sgd'}, default='adam'
        Optimiser: Adam (Kingma and Ba 2015), AdamW, in which ``alpha`` is a decoupled weight decay (Loshchilov and
        Hutter 2019), or stochastic gradient descent with Nesterov momentum.
    learning_rate : float, default=1e-3
        Learning rate of the solver.
    momentum : float, default=0.9
        Momentum of ``solver='sgd'``, in [0, 1). The other solvers ignore it.
    batch_size : int or 'auto', default='auto'
        Number of rows per batch. 'auto' is ``min(200, n_samples)``. The last batch of an epoch may be smaller.
    max_iter : int, default=200
        Maximum number of epochs, that is, passes over the training rows.
    shuffle : bool, default=True
        Whether to shuffle the rows before each epoch.
    tol : float or None, default=1e-4
        Tolerance for stopping, in units of the loss. Training stops once the monitored loss has not improved by
        more than ``tol`` for more than ``n_iter_no_change`` consecutive epochs; if this does not happen within
        ``max_iter`` epochs, there is a :class:`~sklearn.exceptions.ConvergenceWarning`. 0 stops once the loss no
        longer improves at all, and never warns. None always runs ``max_iter`` epochs.
    n_iter_no_change : int, default=10
        Number of consecutive epochs without improvement that are tolerated; see ``tol``.
    early_stopping : bool, default=False
        Whether to hold out ``validation_fraction`` of the rows and to monitor their loss instead of the training
        loss. The weights of the best epoch are restored, however the fit ends.
    validation_fraction : float, default=0.1
        Fraction of the rows to hold out with ``early_stopping``, in (0, 1).
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the held-out rows, the order of the rows and the noise. With an int, fits on
        the CPU of one machine are reproducible bit for bit. The global generators of NumPy and torch are neither
        read nor changed.
    verbose : bool or int, default=False
        Whether to print the loss of each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels, sorted.
    autoencoder_ : autoencoder of skae
        Pretrained autoencoder, fitted to all rows.
    encoder_ : torch.nn.Module
        Fine-tuned encoder, on ``device_`` and in evaluation mode: maps rows of shape (n, n_features) to codes of
        shape (n, n_components).
    head_ : torch.nn.Linear
        Softmax layer: maps codes of shape (n, n_components) to logits of shape (n, n_classes).
    device_ : torch.device
        Device of the networks.
    n_parameters_ : int
        Number of parameters of encoder and softmax layer, biases included.
    loss_curve_ : list of float
        Objective of each epoch of fine-tuning: the cross-entropy, in nats per labelled row, plus the L2 penalty.
    loss_ : float
        Last entry of ``loss_curve_``.
    validation_loss_curve_ : list of float
        Cross-entropy of the held-out rows after each epoch, in nats per row. Only with ``early_stopping``.
    best_loss_ : float
        Smallest entry of ``validation_loss_curve_`` with ``early_stopping``, otherwise of ``loss_curve_``.
    n_iter_ : int
        Number of epochs of fine-tuning.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names that are all strings.

    See Also
    --------
    StackedAutoencoder : The autoencoder that is pretrained by default.
    sklearn.semi_supervised.SelfTrainingClassifier : Another way to use unlabelled rows.

    Notes
    -----
    If fewer than two classes remain besides -1, then -1 is a class like any other. ``max_iter``, ``solver``,
    ``early_stopping`` and the other training parameters are those of fine-tuning; pretraining has the
    autoencoder's own. ``early_stopping`` holds out rows of each class that has rows to spare. An autoencoder whose
    ``random_state`` is None gets one from the classifier's.

    A KeyboardInterrupt ends the current phase: after pretraining, fine-tuning still follows.

    References
    ----------
    .. [1] G. E. Hinton and R. R. Salakhutdinov (2006). Reducing the dimensionality of data with neural networks.
       Science 313, 504-507.
    .. [2] P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol (2010). Stacked denoising
       autoencoders: learning useful representations in a deep network with a local denoising criterion. Journal of
       Machine Learning Research 11, 3371-3408.

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

    autoencoder: Any = parameter(BaseAutoencoder, None, default=None, positional=True)
    n_frozen_layers: int = parameter(AT_LEAST_ZERO, default=0)
    class_weight: Any = parameter(dict, StrOptions({"balanced"}), None, default=None)

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y):
        """Pretrain the autoencoder on all rows, then fine-tune encoder and softmax layer on the labelled ones.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : array-like of shape (n_samples,)
            Class labels. Rows with label -1 are unlabelled, if two other classes remain.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If X is not two-dimensional, contains NaN or infinity, or has values outside the range of the loss; if
            parameters contradict each other; if ``early_stopping`` has too few rows to hold some out; or if
            training diverges.
        RuntimeError
            If ``device`` is not available.
        """
        with restore_on_failure(self):
            X, y = arrays.check_rows(self, X, y)
            labelled = _labelled(y)
            check_classification_targets(y[labelled])
            self.classes_, codes = np.unique(y[labelled], return_inverse=True)
            context = self._init_callback_context(max_subtasks=2)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            self.autoencoder_ = self._pretrained(X, context)
            run = FineTuning(self, X[labelled], codes)
            rows = run.data.X, run.y
            with phase_task(self, *rows, context, "fine-tune", self.max_iter) as task:
                monitor = Monitor(self, *rows, task, run.glimpse)
                history = run.train(run.step, run.schedule(run.step, self.max_iter), monitor)
            vars(self).pop("validation_loss_curve_", None)
            vars(self).update(run.attributes(history))
            context.call_on_fit_task_end(
                estimator=self, X=rows[0], y=rows[1], reconstruction_attributes=lambda: run.attributes(history)
            )
            if history.interrupted or (self.tol and not (history.converged or history.stopped)):
                warn_of_the_end(self, history)
        return self

    def _pretrained(self, X, context) -> BaseAutoencoder:
        autoencoder = clone(self.autoencoder) if self.autoencoder is not None else default_autoencoder()
        if autoencoder.random_state is None and self.random_state is not None:
            autoencoder.set_params(random_state=random_seed(self.random_state))
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
            Most probable class of each row, of the dtype of the labels given to `fit`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ValueError
            If X is not two-dimensional, contains NaN or infinity, or differs from the data of `fit` in the number
            or the names of its features.
        """
        most_probable = np.argmax(self.predict_proba(X), axis=1)
        return self.classes_[most_probable]

    def predict_proba(self, X):
        """Estimate the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to classify.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            Probabilities, of X's floating dtype, with columns in the order of ``classes_``. Each row sums to one.
        """
        X = self._check(X)
        dtype = arrays.torch_dtype(X)
        encode, head = forward(self.encoder_, dtype), copy.deepcopy(self.head_).to(dtype)

        def probabilities(x: Tensor, out: Tensor | None = None) -> Tensor:
            return torch.softmax(head(encode(x, None)), 1, out=out)

        watch = SupportWatch(self._supports_of_inputs)
        return self._stream(X, probabilities, len(self.classes_), watch=watch)

    def transform(self, X):
        """Map rows to their codes by the fine-tuned encoder.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to encode.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Codes of the fine-tuned encoder, of X's floating dtype.
        """
        return self._encode(X)

    @property
    def _n_features_out(self) -> int:
        return self.head_.in_features

    @property
    def _widest(self) -> int:
        return self.autoencoder_._widest

    @property
    def _supports_of_inputs(self) -> Sequence[Support]:
        return self.autoencoder_._supports_of_inputs


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
