"""scikit-learn's handwritten digits: a real data set that needs no file."""

import numpy as np

from cnnjax.data.split import hold_out
from cnnjax.data.table import Table


def load(root: str, seed: int) -> dict[str, Table]:
  """Returns scikit-learn's 1,797 handwritten digits, 8x8 grey, split 80/20, stratified by seed."""
  del root
  from sklearn.datasets import load_digits

  data = load_digits()
  image = np.round(data.images * (255 / 16)).astype(np.uint8)[..., None]
  everything = Table(
    {"image": image, "label": data.target.astype(np.int32)}, tuple(map(str, data.target_names))
  )
  train, test = hold_out(everything, 0.2, seed)
  return {"train": train, "test": test}
