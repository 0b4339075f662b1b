"""Reproduce published results, through the public API.

    python tests/benchmarks/quality.py              every row (more than an hour on one core)
    python tests/benchmarks/quality.py linear deep  some of them, by name

Each line holds our figure, the published one with its source, and what is asked of us. MNIST is read as told in
``datasets.py``; rows that need it are skipped with a word where there is none. Each row takes less than a
quarter of an hour of one core. A new row is a generator function marked ``@row``.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")

import sys

import quality_adversarial
import quality_codes
import quality_defaults
import quality_denoising
import quality_dense
import quality_few_labels
import quality_imputation
import quality_maps
import quality_outliers
import quality_sparse
import quality_tables
import quality_variational
import table

__all__ = [  # each registers its rows
    "quality_adversarial",
    "quality_codes",
    "quality_defaults",
    "quality_denoising",
    "quality_dense",
    "quality_few_labels",
    "quality_imputation",
    "quality_maps",
    "quality_outliers",
    "quality_sparse",
    "quality_tables",
    "quality_variational",
]

if __name__ == "__main__":
    table.main(sys.argv[1:])
