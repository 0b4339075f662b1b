"""Every estimator through scikit-learn's checks, the ones that it does not run by itself, and its docstring."""

import inspect
import re
from functools import partial

import numpy as np
import pytest
from estimators import (
    CLASSIFIERS,
    CONFIGURATIONS,
    DETECTORS,
    EVERY_ESTIMATOR,
    EVERY_OF_ANY_WIDTH,
    GREEDY,
    IMPUTERS,
    INEXACT_WEIGHTS,
    MISSING,
    PUBLIC_CLASSES,
    SPARSE_OUTPUT,
    TABULAR,
    dtype_out,
    labels,
    rows,
)
from sklearn.base import clone
from sklearn.utils import estimator_checks as checks
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

import skae

# scikit-learn's checks -------------------------------------------------------------------------------------


SCIKIT_LEARNS = [CONFIGURATIONS, CLASSIFIERS, DETECTORS, SPARSE_OUTPUT, GREEDY, MISSING]
SCIKIT_LEARNS += [{"imputer": IMPUTERS["imputer"]}, {"tabular": TABULAR["tabular"]}]


@parametrize_with_checks([estimator for group in SCIKIT_LEARNS for estimator in group.values()])
@pytest.mark.filterwarnings("ignore:No row can be an outlier:UserWarning")  # of the few that the checks pass
def test_scikit_learn(estimator, check):
    check(estimator)


def _all_but_weights(estimator):
    for instance, check in estimator_checks_generator(estimator):
        if "check_sample_weight_equivalence" not in str(check):
            yield instance, check


@pytest.mark.parametrize(
    ("estimator", "check"),
    [pair for estimator in INEXACT_WEIGHTS.values() for pair in _all_but_weights(estimator)],
    ids=checks._get_check_estimator_ids,
)
def test_scikit_learn_in_single_precision(estimator, check):
    check(estimator)


MORE_CHECKS = [
    checks.check_dataframe_column_names_consistency,
    checks.check_estimators_partial_fit_n_features,
    checks.check_get_feature_names_out_error,
    checks.check_global_output_transform_pandas,
    checks.check_global_set_output_transform_polars,
    checks.check_inplace_ensure_writeable,
    checks.check_param_validation,
    checks.check_set_output_transform,
    checks.check_set_output_transform_pandas,
    checks.check_set_output_transform_polars,
    checks.check_transformer_get_feature_names_out,
    checks.check_transformer_get_feature_names_out_pandas,
]

ARRAY_API_CHECKS = [
    *(
        partial(checks.check_array_api_input_and_values, array_namespace=namespace, dtype_name=dtype)
        for namespace in ("numpy", "torch", "array_api_strict")
        for dtype in ("float64", "float32")
    ),
    partial(
        checks.check_array_api_input_and_values,
        array_namespace="torch",
        device_name="cpu",
        check_sample_weight=True,
    ),
]


@pytest.mark.parametrize("check", MORE_CHECKS, ids=checks._get_check_estimator_ids)
@pytest.mark.parametrize("estimator", [*EVERY_OF_ANY_WIDTH, pytest.param(IMPUTERS["imputer"], id="imputer")])
@pytest.mark.filterwarnings("ignore:X .* feature names:UserWarning")  # what the checks pass
def test_scikit_learn_more(estimator, check):
    estimator = clone(estimator)
    if check is checks.check_inplace_ensure_writeable and hasattr(estimator, "missing_values"):
        estimator.set_params(missing_values=np.nan)  # there is one among the data
        if getattr(estimator, "tied_weights", False):
            estimator.set_params(tied_weights=False)
        if callable(getattr(estimator, "loss", None)):
            pytest.skip("a loss of whole rows cannot leave out one of their entries")
    check(type(estimator).__name__, estimator)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_dataframe_column_names_consistency,
        checks.check_inplace_ensure_writeable,
        checks.check_param_validation,
    ],
    ids=checks._get_check_estimator_ids,
)
@pytest.mark.parametrize("estimator", [pytest.param(value, id=name) for name, value in DETECTORS.items()])
@pytest.mark.filterwarnings("ignore:X .* feature names:UserWarning", "ignore:X are the rows of fit:UserWarning")
def test_scikit_learn_more_of_detectors(estimator, check):
    check(type(estimator).__name__, clone(estimator))


@pytest.mark.parametrize("check", ARRAY_API_CHECKS, ids=checks._get_check_estimator_ids)
@pytest.mark.parametrize("estimator", EVERY_OF_ANY_WIDTH)
def test_scikit_learn_array_api(estimator, check):
    check(type(estimator).__name__, clone(estimator))


@pytest.mark.parametrize("estimator", EVERY_ESTIMATOR)
def test_tags_declare_what_is_supported(estimator):
    tags = estimator.__sklearn_tags__()
    assert tags.input_tags.sparse
    assert tags.array_api_support
    assert not tags.non_deterministic
    preserved = {"float32", "float64"} if dtype_out(estimator, "transform", float) is float else set()
    assert set(tags.transformer_tags.preserves_dtype) == preserved


@pytest.mark.parametrize("estimator_class", PUBLIC_CLASSES)
def test_every_parameter_is_validated(estimator_class):
    """scikit-learn's check leaves out what is declared to need none."""
    constraints = estimator_class._parameter_constraints
    assert set(constraints) == set(inspect.signature(estimator_class).parameters)
    assert not [name for name, constraint in constraints.items() if isinstance(constraint, str)]


# Docstrings ------------------------------------------------------------------------------------------------


def sections(docstring):
    """A numpydoc docstring's sections: {title: body}."""
    parts = re.split(r"^([A-Z][A-Za-z ]+)\n-{3,}\n", inspect.cleandoc(docstring or ""), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(body):
    """The entries of a section: {name: (type, description)}."""
    found = {}
    for line in body.rstrip().splitlines():
        if line and not line.startswith(" "):
            names, _, kind = line.partition(" : ")
            for name in names.split(", "):
                found[name] = (kind, "")
                current = name
        else:
            kind, text = found[current]
            found[current] = (kind, f"{text} {line.strip()}".strip())
    return found


@pytest.mark.parametrize("estimator_class", PUBLIC_CLASSES)
def test_docstring_lists_the_parameters_and_their_defaults(estimator_class):
    documented = entries(sections(estimator_class.__doc__).get("Parameters", ""))
    signature = inspect.signature(estimator_class).parameters
    assert list(documented) == list(signature)
    for name, (kind, description) in documented.items():
        assert description, f"{name} is not described"
        default = re.search(r"default=(.+)$", kind)
        assert default, f"the default of {name} is not stated in {kind!r}"
        assert repr(eval(default[1], {"np": np})) == repr(signature[name].default), name


@pytest.mark.filterwarnings("ignore:n_components=16 is more than the 5 columns")
@pytest.mark.parametrize("estimator_class", PUBLIC_CLASSES)
def test_docstring_lists_the_attributes(estimator_class):
    documented = entries(sections(estimator_class.__doc__).get("Attributes", ""))
    settings = {"max_iter": 2, "tol": None, "early_stopping": True, "hidden_layer_sizes": ()}
    if issubclass(estimator_class, skae.AutoencoderOutlierDetector):
        settings = {}
    if "ordered" in inspect.signature(estimator_class).parameters:  # with all attributes that there can be
        settings["ordered"] = True
    settings = {name: value for name, value in settings.items() if hasattr(estimator_class, name)}
    y = np.where(np.arange(60) < 30, labels(rows()), -1)  # for a classifier, rows without a label
    estimator = estimator_class(**settings).fit(rows(), y)
    known = {
        *vars(estimator),
        *(n for n, value in inspect.getmembers_static(estimator_class) if isinstance(value, property)),
    }
    fitted = {name for name in known if re.fullmatch("[a-z].*[^_]_", name) and hasattr(estimator, name)}
    assert fitted - {"offset_"} <= set(documented)
    assert set(documented) - {"feature_names_in_"} <= fitted
    assert "feature_names_in_" in documented


@pytest.mark.parametrize("estimator_class", PUBLIC_CLASSES)
def test_docstring_has_a_summary_and_an_example(estimator_class):
    assert re.match(r"[A-Z].+\.$", inspect.cleandoc(estimator_class.__doc__).splitlines()[0])
    assert ">>>" in sections(estimator_class.__doc__).get("Examples", "")


@pytest.mark.parametrize("estimator_class", PUBLIC_CLASSES)
def test_shared_parameters_read_the_same_everywhere(estimator_class):
    reference = PUBLIC_CLASSES[0]
    shared = set(inspect.signature(skae.BaseAutoencoder).parameters)
    shared -= {"encoder", "decoder"}  # which have to return what each class needs
    here, there = (entries(sections(c.__doc__).get("Parameters", "")) for c in (estimator_class, reference))
    defaults, others = (inspect.signature(c).parameters for c in (estimator_class, reference))
    for name in shared & set(here) & set(there):
        if defaults[name].default == others[name].default != "auto":  # which each class has its own values for
            assert here[name] == there[name], name
