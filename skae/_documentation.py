"""Where the documentation is, for the links in estimators' HTML representation."""

URL = "https://skae.readthedocs.io/en/latest"


class LinkedMixin:
    """Links the HTML representation of the estimators of skae, and of no one else's, to their pages.

    scikit-learn fills in module and name. It comes before `BaseEstimator` among the bases, whose links it
    replaces.
    """

    _doc_link_module = "skae"
    _doc_link_template = URL + "/api/generated/{estimator_module}.{estimator_name}.html"
