"""
A first autoencoder
===================

Fit, transform, reconstruct: sixteen numbers for each handwritten digit, and the digits reconstructed from them.
"""

# %%
# An autoencoder is used like any transformer of scikit-learn. With a scaler in front, both form one model.

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skae import AutoencoderTransformer
from skae.inspection import ReconstructionDisplay

X_train, X_test = train_test_split(load_digits().data, random_state=0)
autoencoder = AutoencoderTransformer(
    16, learning_rate=3e-3, max_iter=60, tol=None, random_state=0
)
model = make_pipeline(MinMaxScaler(), autoencoder).fit(X_train)

Z = model.transform(X_test)
X_back = model.inverse_transform(Z)
print(X_test.shape, "->", Z.shape, "->", X_back.shape)
print(f"R² of the reconstruction of new digits: {model.score(X_test):.2f}")

ReconstructionDisplay.from_estimator(model, X_test, image_shape=(8, 8))
plt.show()
