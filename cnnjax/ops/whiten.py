"""Whitening of image patches, computed from images without gradients."""

import numpy as np

PART = 500  # images at once, for all patches take size^2 times the images' memory


def whitening(images: np.ndarray, size: int, epsilon: float) -> np.ndarray:
  """Returns the kernel [size, size, C, D], D = size^2 C, of a convolution that whitens patches.

  Output k is the dot product of a patch of images [N, H, W, C] with the k-th eigenvector of the
  patches' second moments, by descending eigenvalue v, over sqrt(v + epsilon). So the outputs are
  uncorrelated, with mean squares v / (v + epsilon). Nothing is subtracted: the images' mean is
  expected to be 0.
  """
  images, total, count = np.asarray(images), 0.0, 0
  for part in np.array_split(images, -(-len(images) // PART)):
    height, width = (side - size + 1 for side in part.shape[1:3])
    cuts = [part[:, i : i + height, j : j + width] for i in range(size) for j in range(size)]
    rows = np.concatenate(cuts, -1).reshape(-1, size * size * part.shape[-1])
    rows = rows.astype(np.float64)
    total, count = total + rows.T @ rows, count + len(rows)
  values, vectors = np.linalg.eigh(total / count)
  kernel = (vectors / np.sqrt(np.maximum(values, 0) + epsilon))[:, ::-1]
  return kernel.reshape(size, size, images.shape[-1], -1).astype(np.float32)
