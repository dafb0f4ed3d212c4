"""A ridge regression and a k-means with scikit-learn on 64 MiB of samples. Knows nothing of hotswap:

hotswap run --limit 16M -- python examples/fit.py
"""

import sys

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import Ridge

rows = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
random = np.random.default_rng(3)
samples = random.standard_normal((rows, 20))
weights = np.arange(20) - 9.5
target = samples @ weights + random.standard_normal(rows)
print(f"{samples.nbytes >> 20} MiB of samples")
model = Ridge(alpha=1.0).fit(samples, target)
print("weights", np.round(model.coef_, 5))
print(f"score {model.score(samples, target):.9f}")
groups = MiniBatchKMeans(4, random_state=1, n_init=1, max_iter=2, batch_size=4096).fit(samples[:50_000])
print("groups", np.sort(np.bincount(groups.predict(samples))))
