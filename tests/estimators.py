"""The configurations that the contract tests walk through; a new estimator joins with one line."""

import inspect

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_classifier

import skae
from skae import (
    AdversarialAutoencoder,
    AutoencoderClassifier,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    AutoencoderTransformer,
    BaseAutoencoder,
    DenoisingAutoencoder,
    SemanticHasher,
    SparseAutoencoder,
    StackedAutoencoder,
    TabularVAESampler,
    VAESampler,
)


class fourth_power:  # noqa: N801
    """A loss of the user's own, one value for each row.

    A class that is called as a function is: its name holds no address, so that tests of it are called the same in
    each process.
    """

    def __new__(cls, reconstruction, target):
        return (reconstruction - target).pow(4).mean(1)


def configured(estimator_class, **parameters):
    """A fast configuration: few steps at a constant rate, which a fit that is stopped takes too."""
    settings = {"hidden_layer_sizes": (8,), "max_iter": 4, "learning_rate": 1e-3, "random_state": 0}
    settings["batch_size"] = 200  # all rows, for what is said of weights
    if issubclass(estimator_class, SemanticHasher):
        settings |= {"n_bits": 8, "learning_rate": 0.02}  # so that few steps change some bits
    else:
        settings["n_components"] = 2
    if parameters.get("encoder") is not None and parameters.get("decoder") is not None:
        del settings["hidden_layer_sizes"]  # which would have no effect
    return estimator_class(**{**settings, **parameters})


CONFIGURATIONS = {
    "default": configured(AutoencoderTransformer),
    "drawn": configured(AutoencoderTransformer, init="he", max_grad_norm=0.01, activation="gelu"),
    "falling_rate": configured(AutoencoderTransformer, learning_rate="auto", hidden_layer_sizes=(8, 6)),
    "automatic": configured(
        AutoencoderTransformer, learning_rate="auto", batch_size="auto", max_iter="auto", activation="silu"
    ),
    "early_stopping": configured(AutoencoderTransformer, early_stopping=True, validation_fraction=0.2),
    "tied": configured(AutoencoderTransformer, tied_weights=True, activation="elu"),
    "contractive_deep": configured(AutoencoderTransformer, contractive=0.1, activation="tanh"),
    "contractive_shallow": configured(
        AutoencoderTransformer, contractive=0.1, hidden_layer_sizes=(), code_activation="sigmoid"
    ),
    "huber_alpha": configured(AutoencoderTransformer, loss="huber", alpha=0.01),
    "linear": configured(AutoencoderTransformer, hidden_layer_sizes=()),
    "sgd": configured(AutoencoderTransformer, solver="sgd"),
    "own_loss": configured(AutoencoderTransformer, loss=fourth_power),
    "ordered": configured(AutoencoderTransformer, n_components=11, ordered=True),
    "ordered_tied": configured(
        AutoencoderTransformer, n_components=18, ordered=True, early_stopping=True, tied_weights=True
    ),
    "ordered_linear": configured(AutoencoderTransformer, ordered=True, hidden_layer_sizes=()),
    "ordered_own_loss": configured(AutoencoderTransformer, n_components=6, ordered=True, loss=fourth_power),
    "layer_normalization": configured(AutoencoderTransformer, normalization="layer"),
    "denoising": configured(DenoisingAutoencoder),
    "masking": configured(DenoisingAutoencoder, noise="masking", early_stopping=True, validation_fraction=0.2),
    "salt_and_pepper": configured(DenoisingAutoencoder, noise="salt_and_pepper", tied_weights=True),
    "stacked": configured(StackedAutoencoder, hidden_layer_sizes=(8, 4), pretrain_max_iter=3),
    "stacked_logistic": configured(
        StackedAutoencoder, activation="logistic", tied_weights=True, early_stopping=True, pretrain_max_iter=2
    ),
    "sparse_kl": configured(SparseAutoencoder, sparsity_weight=0.01, sparsity_target=0.3),
    "sparse_l1": configured(SparseAutoencoder, sparsity="l1", sparsity_warm_up=2),
    "sparse_topk": configured(SparseAutoencoder, sparsity="topk", hidden_layer_sizes=()),
    "sparse_topk_signed": configured(SparseAutoencoder, sparsity="topk", code_activation="identity"),
    "sparse_batch_topk": configured(SparseAutoencoder, sparsity="batch_topk", early_stopping=True),
    "sparse_winner_take_all": configured(
        SparseAutoencoder, sparsity="winner_take_all", sparsity_target=0.5, tied_weights=True
    ),
    "sparse_own_loss": configured(
        SparseAutoencoder, sparsity="topk", code_activation="identity", loss=fourth_power
    ),
    "vae": configured(VAESampler),
    "vae_draws": configured(VAESampler, n_mc_samples=3, code_activation="tanh", kl_warm_up=2, free_bits=0.1),
    "vae_early_stopping": configured(VAESampler, early_stopping=True, validation_fraction=0.2, beta=0.5),
    "vae_loss": configured(VAESampler, loss="squared_error", alpha=0.01, hidden_layer_sizes=()),
    "vae_own_loss": configured(VAESampler, loss=fourth_power),
    "vae_student_t": configured(VAESampler, likelihood="student_t"),
    "vae_conditional": configured(VAESampler, decoder_variance="conditional"),
    "vae_mixture": configured(VAESampler, prior="mixture"),
    "hasher": configured(SemanticHasher, noise_warm_up=2),
    "hasher_watched": configured(
        SemanticHasher, n_bits=11, alpha=0.01, early_stopping=True, hidden_layer_sizes=()
    ),
    "hasher_own_loss": configured(SemanticHasher, loss=fourth_power),
    "adversarial": configured(AdversarialAutoencoder),
    "adversarial_mixture": configured(
        AdversarialAutoencoder, prior=[(-2, 0.5), (2, 1.0)], tied_weights=True, alpha=0.01
    ),
    "adversarial_early_stopping": configured(
        AdversarialAutoencoder, early_stopping=True, discriminator_hidden_layer_sizes=(16, 8), solver="sgd"
    ),
    "adversarial_own_loss": configured(AdversarialAutoencoder, loss=fourth_power, discriminator_noise=0.0),
}

# With missing values, of which CSR rows have none.
MISSING = {
    "vae_missing": configured(VAESampler, missing_values=np.nan),
    "denoising_missing": configured(DenoisingAutoencoder, missing_values=np.nan),
    "denoising_missing_masking": configured(DenoisingAutoencoder, missing_values=np.nan, noise="masking"),
}

# In float32, with noise drawn for each row, or with means over batches, a row of weight two is not two equal rows
# to 1e-7: scikit-learn's check of that leaves these out.
INEXACT_WEIGHTS = {
    "dropout": configured(AutoencoderTransformer, dropout=0.2, hidden_layer_sizes=(8, 6)),
    "float32": configured(AutoencoderTransformer, dtype="float32"),
    "stacked_denoising": configured(StackedAutoencoder, noise="masking", pretrain_max_iter=3),
    "vae_float32": configured(VAESampler, dtype="float32", decoder_variance=0.5),
    "batch_normalization": configured(AutoencoderTransformer, normalization="batch"),
}


def of_images(estimator_class, **parameters):
    """A convolutional configuration for the rows of these tests, which hold images of 5 x 1 numbers."""
    return configured(estimator_class, **{"image_shape": (5, 1), "hidden_layer_sizes": (4, 3), **parameters})


# scikit-learn's checks choose the number of features, which has to be that of the images here.
CONVOLUTIONAL = {
    "images": of_images(AutoencoderTransformer),
    "images_pooled": of_images(
        AutoencoderTransformer, downsampling="pool", normalization="layer", tied_weights=True, early_stopping=True
    ),
    "images_contractive": of_images(AutoencoderTransformer, contractive=0.1, activation="tanh"),
    "images_batch": of_images(DenoisingAutoencoder, normalization="batch", image_shape=(1, 5)),
    "images_sparse": of_images(SparseAutoencoder, sparsity="topk", tied_weights=True),
    "images_stacked": of_images(StackedAutoencoder, activation="sigmoid", pretrain_max_iter=2),
    "images_vae": of_images(VAESampler, normalization="batch"),
    "images_vae_conditional": of_images(VAESampler, decoder_variance="conditional"),
    "images_hasher": of_images(SemanticHasher, hidden_layer_sizes=(8,)),
    "images_ordered": of_images(AutoencoderTransformer, n_components=6, hidden_layer_sizes=(8,), ordered=True),
    "images_adversarial": of_images(AdversarialAutoencoder, normalization="layer"),
}


def classifier(autoencoder=None, **parameters):
    """A fast classifier, good enough for scikit-learn's checks of accuracy."""
    settings = {"max_iter": 60, "learning_rate": 0.02, "tol": None, "random_state": 0}
    return AutoencoderClassifier(autoencoder, **{**settings, **parameters})


# The autoencoder's seed comes from the classifier's.
CLASSIFIERS = {
    "classifier": classifier(learning_rate=0.002),  # 0.02 would fit rows of hardly any weight, too
    "classifier_stacked": classifier(
        configured(StackedAutoencoder, activation="tanh", pretrain_max_iter=3, random_state=None)
    ),
    "classifier_frozen": classifier(
        configured(AutoencoderTransformer, n_components=8, max_iter=20, random_state=None),
        n_frozen_layers=2,
        learning_rate=0.1,
    ),
    "classifier_watched": classifier(
        configured(DenoisingAutoencoder, tied_weights=True, random_state=None),
        class_weight="balanced",
        early_stopping=True,
        validation_fraction=0.2,
        alpha=1e-4,
    ),
    "classifier_hashed": classifier(configured(SemanticHasher, max_iter=20, random_state=None)),
    "classifier_variational": classifier(configured(VAESampler, max_iter=20, random_state=None)),
}
CLASSIFIERS_OF_IMAGES = {
    "classifier_images": classifier(of_images(StackedAutoencoder, random_state=None), n_frozen_layers=1),
}

# Imputers have no code: they share what every transformer promises, and `test_imputer.py` has the rest.
IMPUTERS = {
    "imputer": AutoencoderImputer(n_estimators=2, max_iter=2, hidden_layer_sizes=(8,), random_state=0),
    "imputer_alone": AutoencoderImputer(n_estimators=1, max_iter=20, hidden_layer_sizes=(), random_state=0),
    "imputer_float64": AutoencoderImputer(max_iter=3, n_components=1, dtype="float64", random_state=0),
}


def detector(autoencoder=None, **parameters):
    """A fast outlier detector."""
    return AutoencoderOutlierDetector(autoencoder, **{"n_estimators": 3, "random_state": 0, **parameters})


# The members' seeds come from the detector's.
DETECTORS = {
    "detector": detector(),
    "detector_trimmed": detector(trim=0.1, code_weight=0.0, n_components=3),
    "detector_contamination": detector(n_estimators=1, max_samples=0.5, contamination=0.1),
    "detector_sparse": detector(configured(SparseAutoencoder, sparsity="topk", random_state=None)),
    "detector_variational": detector(configured(VAESampler, random_state=None)),
}

# Tables in, tables out: what is of arrays only is not theirs, and `test_tabular.py` has the rest.
TABULAR = {
    "tabular": configured(TabularVAESampler),
    "tabular_standard": configured(
        TabularVAESampler, numeric_transform="standard", prior="normal", early_stopping=True, beta=0.5
    ),
    "tabular_float64": configured(TabularVAESampler, dtype="float64", atom_share=1.0, dropout=0.1),
}

# Codes in SciPy's CSR format, which those tests that look into the codes do not take.
SPARSE_OUTPUT = {"sparse_output": configured(SparseAutoencoder, sparsity="topk", sparse_output=True)}

# Trained layer by layer only: its curves are of other lengths than max_iter.
GREEDY = {"stacked_greedy": configured(StackedAutoencoder, fine_tune=False, pretrain_max_iter=3)}

ANY_WIDTH = [pytest.param(estimator, id=name) for name, estimator in {**CONFIGURATIONS, **INEXACT_WEIGHTS}.items()]
ESTIMATORS = [*ANY_WIDTH, *(pytest.param(estimator, id=name) for name, estimator in CONVOLUTIONAL.items())]

# For the tests of what classifiers promise too.
EVERY_OF_ANY_WIDTH = [*ANY_WIDTH, *(pytest.param(estimator, id=name) for name, estimator in CLASSIFIERS.items())]
EVERY_ESTIMATOR = [
    *ESTIMATORS,
    *(pytest.param(estimator, id=name) for name, estimator in {**CLASSIFIERS, **CLASSIFIERS_OF_IMAGES}.items()),
]

# Those that take rows portion by portion.
CONTINUING = [p for p in ESTIMATORS if hasattr(p.values[0], "partial_fit")]

# Those whose score is R^2 and whose rows score minus their error; the others have a likelihood.
BY_ERROR = [p for p in ESTIMATORS if type(p.values[0]).score_samples is BaseAutoencoder.score_samples]
# Those that draw nothing for each batch and leave the code as it was trained: rows alone tell what a step does.
NOISELESS = [
    p
    for p in ESTIMATORS
    if getattr(p.values[0], "noise", None) is None
    and not isinstance(p.values[0], VAESampler | AdversarialAutoencoder | SemanticHasher)
    and not getattr(p.values[0], "ordered", False)
    and not p.values[0].dropout
]

PUBLIC_CLASSES = [
    value
    for name in skae.__all__
    if inspect.isclass(value := getattr(skae, name)) and value is not skae.BaseAutoencoder
]
# Outlier detectors and imputers have no code, samplers of tables no reconstruction; they have tests of their own.
WITH_CODES = [
    c
    for c in PUBLIC_CLASSES
    if hasattr(c, "transform") and not issubclass(c, AutoencoderImputer | TabularVAESampler)
]


def rows(n_samples=60, n_features=5, seed=0):
    """Rows near a plane, so that two codes are worth having; float64."""
    rng = np.random.default_rng(seed)
    plane = rng.normal(size=(n_samples, 2)) @ rng.normal(size=(2, n_features))
    return plane + 0.1 * rng.normal(size=(n_samples, n_features))


def labels(X):
    """Three classes for these rows; autoencoders ignore them."""
    return np.arange(X.shape[0] if hasattr(X, "shape") else len(X)) % 3


def row_methods(estimator):
    """The methods of a fitted estimator that map rows one by one."""
    if is_classifier(estimator):
        return ["transform", "predict_proba"]
    return ["transform", "reconstruct", "reconstruction_error", "score_samples"]


def width_parameter(estimator):
    """The name of the parameter that an autoencoder's code has its width from."""
    return "n_bits" if isinstance(estimator, SemanticHasher) else "n_components"


def dtype_out(estimator, method, dtype):
    """The dtype, of NumPy's or torch's, of what a method makes of rows of a floating one: bits are bytes."""
    bits = method == "transform" and isinstance(estimator, SemanticHasher)
    return (torch if isinstance(dtype, torch.dtype) else np).uint8 if bits else dtype


def widths(estimator):
    """A grid of two code widths to search, or of two step sizes where a default autoencoder has its own."""
    if not is_classifier(estimator):
        return {width_parameter(estimator): [1, 2]}
    if estimator.autoencoder is None:
        return {"learning_rate": [0.01, 0.02]}
    return {f"autoencoder__{width_parameter(estimator.autoencoder)}": [1, 2]}


def assert_same(first, second):
    """Equal bit for bit, and of one dtype."""
    first, second = np.asarray(first), np.asarray(second)
    assert first.dtype == second.dtype
    np.testing.assert_array_equal(first, second)


def fitted(estimator, X=None, **parameters):
    """A fitted copy."""
    X = rows() if X is None else X
    return clone(estimator).set_params(**parameters).fit(X, labels(X))


def assert_same_model(first, second):
    """Same networks and same history, bit for bit."""
    for name in ("encoder_", "head_" if is_classifier(first) else "decoder_"):
        one, other = (getattr(model, name).state_dict() for model in (first, second))
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    for name in ("loss_curve_", "n_iter_", "n_features_in_", "best_loss_", "n_parameters_"):
        assert_same(getattr(first, name), getattr(second, name))


def along_columns(member, scale, of_residuals, of_codes, rows):
    """Half the slope and half the curvature of a detector's distance, row i moved along column i; by hand."""

    def measured(X):
        return (member.reconstruct(X) - X) / scale - of_residuals.mean, member.transform(X) - of_codes.mean

    steps = 0.25 * np.diag(scale)
    slope, curvature = 0, 0
    inverses = [of_residuals.root @ of_residuals.root.T, 0.3 * of_codes.root @ of_codes.root.T]
    for at, above, below, inverse in zip(
        measured(rows), measured(rows + steps), measured(rows - steps), inverses, strict=True
    ):
        followed = 2 * (above - below)
        slope = slope + ((followed @ inverse) * at).sum(1)
        curvature = curvature + ((followed @ inverse) * followed).sum(1)
    return slope, curvature
