"""
Semantic hashing
================

A semantic hasher gives similar rows similar binary codes. To find the rows most similar to a query, count the
bits in which they differ (Hamming distance), or look only into the bucket of rows with exactly the same bits.
Here digits are searched among 1347 others by 8 to 32 bits, one to four bytes instead of 64 pixels.
"""

# %%
# The training rows are the database, the test rows are the queries. Two simple binary codes for comparison: the
# signs of PCA's components, and the sides of random hyperplanes (signs of random projections).

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import NearestNeighbors

from skae import SemanticHasher

X, y = load_digits(return_X_y=True)
X, X_query, y, y_query = train_test_split(
    (X / 16).astype(np.float32), y, stratify=y, random_state=0
)


def bits_of(name, n_bits):
    """The bits of the database and of the queries."""
    if name == "semantic hashing":
        hasher = SemanticHasher(
            n_bits,
            noise_level=8,
            noise_warm_up=50,
            learning_rate=3e-3,
            batch_size=50,
            max_iter=80,
            tol=None,
            random_state=0,
        ).fit(X)
        return hasher.transform(X), hasher.transform(X_query)
    if name == "signs of PCA":
        axes = PCA(n_bits, random_state=0).fit(X).components_.T
    else:
        axes = np.random.default_rng(0).normal(size=(64, n_bits))
    return tuple(
        ((rows - X.mean(0)) @ axes > 0).astype(np.uint8) for rows in (X, X_query)
    )


names = ["semantic hashing", "signs of PCA", "random hyperplanes"]
widths = [8, 16, 32]
bits = {(name, n_bits): bits_of(name, n_bits) for name in names for n_bits in widths}

# %%
# Precision: of the ten nearest neighbours of a query in Hamming distance, the share that show the same digit.


def precision(codes, queries):
    search = NearestNeighbors(n_neighbors=10, metric="hamming").fit(codes)
    nearest = search.kneighbors(queries, return_distance=False)
    return (y[nearest] == y_query[:, None]).mean()


precisions = {key: precision(*codes) for key, codes in bits.items()}

# %%
# Purity of the buckets: the probability that two rows drawn from one bucket show the same digit (Gini purity),
# averaged over rows. With 8 bits there are at most 256 buckets.


def purity(codes):
    _, bucket = np.unique(codes, axis=0, return_inverse=True)
    counts = np.zeros((bucket.max() + 1, 10))
    np.add.at(counts, (bucket.ravel(), y), 1)
    sizes = counts.sum(1)
    return (np.square(counts).sum(1) / sizes).sum() / sizes.sum(), len(sizes)


print(f"{'8 bits':20}{'Gini purity':>12}{'buckets':>9}")
for name in names:
    print("{:20}{:12.2f}{:9}".format(name, *purity(bits[name, 8][0])))

# %%
# The first queries, and their nearest neighbours by 32 bits.

n_shown = 5
search = NearestNeighbors(n_neighbors=8, metric="hamming").fit(
    bits["semantic hashing", 32][0]
)
distances, nearest = search.kneighbors(bits["semantic hashing", 32][1][:n_shown])

figure = plt.figure(figsize=(9, 4), layout="constrained")
left, right = figure.subfigures(1, 2, width_ratios=[1, 1.3])
ax = left.subplots()
for name in names:
    ax.plot(
        widths, [precisions[name, n_bits] for n_bits in widths], marker="o", label=name
    )
ax.set(
    xlabel="bits", ylabel="same digit among the 10 nearest", ylim=(0, 1), xticks=widths
)
ax.legend(loc="lower right")
axes = right.subplots(n_shown, 9)
for line, query, rows, apart in zip(axes, X_query, nearest, distances, strict=False):
    for axis, row in zip(line, [query, *X[rows]], strict=True):
        axis.imshow(row.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
    for axis, bits_apart in zip(line[1:], 32 * apart, strict=True):
        axis.set_xlabel(f"{bits_apart:.0f}", fontsize="small", labelpad=1)
axes[0, 0].set_title("query", fontsize="medium")
axes[0, 4].set_title("nearest, and how many bits differ", fontsize="medium")
plt.show()
