"""A classifier on top of an autoencoder: pretrained on all rows, then trained with the labels of some of them."""

import copy
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin, _fit_context, clone
from sklearn.callback import with_callbacks
from sklearn.utils._param_validation import Options, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import has_fit_parameter
from torch import Tensor

from ._base import BaseAutoencoder, UsesEncoder
from ._data import arrays, labels
from ._data.markers import in_rows
from ._data.split import distinct
from ._denoising import DenoisingAutoencoder
from ._networks.inference import forward
from ._objectives.support import Support, SupportWatch
from ._support import threads
from ._support.devices import random_seed, random_streams
from ._support.parameters import AT_LEAST_ZERO, parameter
from ._support.ranks import refuse
from ._training.advice import warn_of_the_end
from ._training.automatic import STEADY
from ._training.fine_tuning import Classification, FineTuning
from ._training.fitting import restore_on_failure
from ._training.monitoring import Monitor, phase_task
from ._training.semi_supervised import SemiSupervised


class AutoencoderClassifier(ClassifierMixin, UsesEncoder):
    """Semi-supervised classifier on an autoencoder's codes, for few labels and many rows.

    An autoencoder is fitted to all rows, labelled or not. Then a softmax layer is put on its code layer, and
    encoder and softmax layer are trained together [1]_. Mark unlabelled rows by -1, as in
    :mod:`sklearn.semi_supervised`: if there are any, they are learnt from, too.

    Parameters
    ----------
    autoencoder : autoencoder of skae or None, default=None
        Autoencoder to pretrain; it is cloned. Its ``device`` and ``dtype`` are the classifier's too. None is
        ``DenoisingAutoencoder(128, noise='isotropic', noise_level=1.0, hidden_layer_sizes=(256,),
        code_activation='relu', init='glorot', learning_rate=1e-3, batch_size=100, max_iter=40)``.
    semi_supervised : 'auto' or False, default='auto'
        Whether to learn from unlabelled rows after pretraining. 'auto' does where there are any; see Notes. False
        fine-tunes encoder and softmax layer on the labelled rows alone.
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
    learning_rate : float or 'auto', default='auto'
        Highest learning rate of the solver. 'auto' is 0.001, for 'sgd' 0.2 and gradients scaled down to a norm of
        0.5 unless ``max_grad_norm`` is given.
    learning_rate_schedule : {'auto', 'constant', 'linear', 'cosine'}, default='auto'
        How the rate changes over the ``max_iter`` epochs. 'linear' and 'cosine' warm up over the first 5% and
        fall to zero at the end, 'linear' from the middle on. 'auto' is 'constant', but where unlabelled rows are
        learnt from; see Notes.
    momentum : float, default=0.9
        Momentum of ``solver='sgd'``, in [0, 1). The other solvers ignore it.
    max_grad_norm : float or None, default=None
        Gradients of a larger Euclidean norm are scaled down to it.
    batch_size : int or 'auto', default='auto'
        Number of rows per batch. 'auto' is ``min(200, n_samples)``. The last batch of an epoch may be smaller.
    max_iter : int or 'auto', default='auto'
        Maximum number of epochs, that is, passes over the training rows: all of them where unlabelled ones are
        learnt from. 'auto' then takes 800 steps, and at least 40 epochs; otherwise it takes 5000 steps, in at
        least 20 epochs and at most 200.
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
        loss. The weights of the best epoch are restored, however the fit ends. 'auto' is False.
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
    learning_rate_ : float
        Highest learning rate that was used.
    batch_size_ : int
        Number of rows per batch that was used.
    max_iter_ : int
        Number of epochs that was aimed at.
    label_distributions_ : ndarray of shape (n_samples, n_classes)
        Probabilities of the classes that the graph, or the linear model, gives each row of `fit`; see Notes.
        Only if unlabelled rows were learnt from.
    transduction_ : ndarray of shape (n_samples,)
        Most probable class of each row of `fit` in ``label_distributions_``.
    loss_curve_ : list of float
        Objective of each epoch, the L2 penalty included. In fine-tuning, that is the cross-entropy, in nats per
        labelled row.
    loss_ : float
        Last entry of ``loss_curve_``. With ``early_stopping`` the weights that are kept are those of the best
        epoch, which need not be the last.
    validation_loss_curve_ : list of float
        Cross-entropy of the held-out rows after each epoch, in nats per row. Only with ``early_stopping``.
    best_loss_ : float
        Loss of the best weights for the held-out rows with ``early_stopping``, those at the start included;
        otherwise the smallest entry of ``loss_curve_``.
    n_iter_ : int
        Number of epochs after pretraining.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during `fit`. Defined only if X has feature names that are all strings.

    See Also
    --------
    DenoisingAutoencoder : The autoencoder that is pretrained by default.
    sklearn.semi_supervised.LabelSpreading : Spreads labels along a graph of neighbours.

    Notes
    -----
    *Unlabelled rows.* Each row is joined to its eight nearest neighbours, by the row and its code, and labels
    spread along this graph [2]_. Each step takes a batch of all rows and one of labelled rows, and adds noise to
    both. Its objective is the cross-entropy of the labelled rows; that of all rows to the graph's labels, which
    fades to zero as training goes on; the squared change of a row's probabilities by noise [3]_; the entropy of
    these [4]_; and the divergence of their mean from the classes' frequencies. The running mean of the weights
    is kept. Batches have 100 rows where ``batch_size='auto'``, and the learning rate falls to zero over the last
    third.

    Frequencies of classes are counted in the graph, where all have the same mass, however many labels each has;
    labelled rows are weighted to have them too, unless there is a ``class_weight``.

    Where classes are no clusters, a graph misleads. So the labels of a fifth of the labelled rows at a time are
    predicted from the others, along the graph and by a logistic regression on the rows. Where the regression is
    better by more than a standard error, its labels take the place of the graph's; they do not fade, and the three
    terms of rows alone are left out.

    If more than 20,000 rows are given, as many are in the graph, with at most 10,000 labelled ones among them;
    the others get their labels from their neighbours in it. Rows of more than 1024 columns are projected at random
    for it.

    If fewer than two classes remain besides -1, then -1 is a class like any other, with a warning unless the other
    is 1. ``max_iter``, ``solver``, ``early_stopping`` and the other training parameters are those of the training
    after pretraining, which has the autoencoder's own. ``early_stopping`` holds out labelled rows, of each class
    that has rows to spare. An autoencoder whose ``random_state`` is None gets one from the classifier's.

    A KeyboardInterrupt ends the current phase: after pretraining, training with labels still follows.

    References
    ----------
    .. [1] G. E. Hinton and R. R. Salakhutdinov (2006). Reducing the dimensionality of data with neural networks.
       Science 313, 504-507.
    .. [2] D. Zhou, O. Bousquet, T. N. Lal, J. Weston and B. Schoelkopf (2004). Learning with local and global
       consistency. NIPS.
    .. [3] S. Laine and T. Aila (2017).
       Temporal ensembling for semi-supervised learning. ICLR.
    .. [4] Y. Grandvalet and Y. Bengio (2005).
       Semi-supervised learning by entropy minimization. NIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> some_labels = np.where(np.arange(len(y)) < 100, y, -1)
    >>> classifier = AutoencoderClassifier(random_state=0).fit(X / 16, some_labels)
    >>> classifier.score(X[100:] / 16, y[100:]) > 0.92
    True
    """

    autoencoder: Any = parameter(BaseAutoencoder, None, default=None, positional=True)
    semi_supervised: Any = parameter(StrOptions({"auto"}), Options(bool, {False}), default="auto")
    n_frozen_layers: int = parameter(AT_LEAST_ZERO, default=0)
    class_weight: Any = parameter(dict, StrOptions({"balanced"}), None, default=None)

    _automatic = STEADY._replace(n_steps=5000, epochs=(20, 200))

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None):
        """Pretrain the autoencoder on all rows, then train encoder and softmax layer with the labels.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, real and finite.
        y : array-like of shape (n_samples,)
            Class labels. Rows with label -1 are unlabelled, if two other classes remain. Only the number -1 marks
            them, also among strings; the string '-1' is a class, with a warning, and missing labels are an error.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights of the rows. An autoencoder whose `fit` takes weights gets them too; one that
            does not is pretrained on the distinct rows of positive weight. Where all rows have a label, an integer
            weight is equivalent to repeating the row, zero to leaving it out.

        Returns
        -------
        self : object
            Fitted estimator.

        Raises
        ------
        ValueError
            If no row has a label, or labels are missing or cannot be sorted; if X is not two-dimensional, contains
            NaN or infinity, or has values outside the range of the loss; if parameters contradict each other; if
            ``early_stopping`` has too few rows to hold some out; or if training diverges.
        RuntimeError
            If ``device`` is not available.
        """
        refuse("AutoencoderClassifier.fit")
        with restore_on_failure(self), threads.for_work(0):
            labels.refuse_missing(y)
            given, (X, y) = X, arrays.check_rows(self, X, y)
            _refuse_marker(self.autoencoder, X, given)
            weights = arrays.check_weights(sample_weight, X)
            weight = None if weights is None else weights.cpu().numpy()
            labelled, codes = self._check_labels(X, y)
            context = self._init_callback_context(max_subtasks=2)
            context.call_on_fit_task_begin(estimator=self, X=X, y=y)
            self.autoencoder_ = self._pretrained(X, sample_weight, context)
            run = self._run(X, codes, weight)
            rows = arrays.take(X, labelled), arrays.take(y, labelled)
            schedule = run.schedule(run.step, run.max_iter)
            with phase_task(self, *rows, context, "fine-tune", schedule.max_iter) as task:
                monitor = Monitor(self, *rows, task, run.glimpse)
                with run.training(run.step, schedule, monitor) as (history, batches):
                    for index, losses in batches:
                        losses.append(run.step(index))
            for name in ("validation_loss_curve_", "label_distributions_", "transduction_"):
                vars(self).pop(name, None)
            vars(self).update(run.attributes(history))
            context.call_on_fit_task_end(
                estimator=self, X=rows[0], y=rows[1], reconstruction_attributes=lambda: run.attributes(history)
            )
            warn_of_the_end(self, history)
        return self

    def _check_labels(self, X, y) -> tuple[np.ndarray, np.ndarray]:
        """Set ``classes_``; return which rows have a label, and the numbers of their classes, -1 for none."""
        values = arrays.to_numpy(y)
        labelled = labels.labelled(values)
        check_classification_targets(values[labelled])
        classes, numbers = np.unique(values[labelled], return_inverse=True)
        codes = np.full(len(values), -1)
        codes[labelled] = numbers
        is_numeric = classes.dtype.kind in "biuf"  # other labels are in no namespace but NumPy's
        self.classes_ = arrays.to_namespace_of(X, classes) if is_numeric else classes
        return np.flatnonzero(labelled), codes

    def _pretrained(self, X, sample_weight, context) -> BaseAutoencoder:
        autoencoder = clone(self.autoencoder) if self.autoencoder is not None else default_autoencoder()
        is_unseeded = autoencoder.get_params(deep=False).get("random_state", "none to set") is None
        if is_unseeded and self.random_state is not None:
            autoencoder.set_params(random_state=random_seed(self.random_state))
        weights = {}
        if has_fit_parameter(autoencoder, "sample_weight"):
            weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        else:
            weight = arrays.check_weights(sample_weight, X)
            X = arrays.take(
                X, distinct(arrays.to_torch(X), weight, random_streams(autoencoder.random_state).split)
            )
        task = context.subcontext(task_name="pretrain")
        with task.propagate_callback_context(autoencoder):
            task.call_on_fit_task_begin(estimator=self, X=X)
            autoencoder._code_may_be_wide = True  # it is for labels, and need not be decoded
            autoencoder.fit(X, **weights)
            del autoencoder._code_may_be_wide
            task.call_on_fit_task_end(estimator=self, X=X)
        return autoencoder

    def _run(self, X, codes: np.ndarray, sample_weight: np.ndarray | None) -> Classification:
        """Return the training that comes after pretraining."""
        labelled = np.flatnonzero(codes >= 0)
        if self.semi_supervised == "auto" and len(labelled) < len(codes):
            return SemiSupervised(self, X, codes, sample_weight)
        weight = None if sample_weight is None else sample_weight[labelled]
        return FineTuning(self, arrays.take(X, labelled), codes[labelled], weight)

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
        log_p = arrays.to_numpy(self._classify(X, "predict", torch.log_softmax))
        return arrays.take(self.classes_, log_p.argmax(axis=1))

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
        return self._classify(X, "predict_proba", torch.softmax)

    def predict_log_proba(self, X):
        """Estimate the logarithm of the probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Data to classify.

        Returns
        -------
        log_p : ndarray of shape (n_samples, n_classes)
            Logarithms of the probabilities that `predict_proba` returns, exact also where these are too small
            for a floating-point number.
        """
        return self._classify(X, "predict_log_proba", torch.log_softmax)

    def _check(self, X, method: str | None = None):
        given, X = X, super()._check(X, method)
        _refuse_marker(self.autoencoder_, X, given)
        return X

    def _classify(self, X, method: str, normalize):
        X = self._check(X, method)
        dtype = arrays.torch_dtype(X)
        encode, head = forward(self.encoder_, dtype), copy.deepcopy(self.head_).to(dtype)

        def apply(x: Tensor, out: Tensor | None = None) -> Tensor:
            return normalize(head(encode(x, None)), 1, out=out)

        watch = SupportWatch(self._supports_of_inputs)
        return self._stream(X, apply, self.classes_.shape[0], watch=watch)

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
        return self._encode(X, "transform")

    @property
    def offset_(self):
        """What the autoencoder centres rows by, in the array namespace that `fit` was given."""
        return self.autoencoder_.offset_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.head_.in_features

    @property
    def _widest(self) -> int:
        return self.autoencoder_._widest

    @property
    def _supports_of_inputs(self) -> Sequence[Support]:
        return self.autoencoder_._supports_of_inputs


def default_autoencoder() -> DenoisingAutoencoder:
    """Return the autoencoder that a classifier pretrains if it is given none."""
    return DenoisingAutoencoder(
        128,
        noise="isotropic",
        noise_level=1.0,
        hidden_layer_sizes=(256,),
        code_activation="relu",
        init="glorot",
        learning_rate=1e-3,
        batch_size=100,
        max_iter=40,
    )


def _refuse_marker(autoencoder, X, given) -> None:
    """Refuse rows with a number that stands for missing values to the autoencoder: here it would be one."""
    marker = getattr(autoencoder, "missing_values", None)
    is_number = isinstance(marker, Real) and not arrays.is_nan(marker)
    if not is_number or issparse(X) or not bool((in_rows(marker, given) == X).any()):
        return
    raise ValueError(
        f"X contains {marker}, which stands for a missing value to the autoencoder (missing_values={marker}), but "
        "AutoencoderClassifier does not accept missing values. Fill them in a step before it, such as "
        f"AutoencoderImputer(missing_values={marker})."
    )
