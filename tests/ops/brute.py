"""Sliding windows by plain indexing, to compare the operations with."""

from collections.abc import Iterator, Sequence

import numpy as np

Position = tuple[int, ...]


def size(n: int, window: int, padding: int, stride: int) -> int:
  """Returns the output size of the decks (course/002 and 004, "Stride")."""
  return (n - window + padding + stride) // stride


def slide(
  x: np.ndarray,
  window: Sequence[int],
  strides: Sequence[int],
  padding: Sequence[tuple[int, int]],
  dilation: Sequence[int],
  fill: float,
) -> Iterator[tuple[Position, np.ndarray]]:
  """Yields each position of the window and what it reads [B, *window, C] of x [B, *space, C]."""
  padded = np.pad(x, [(0, 0), *padding, (0, 0)], constant_values=fill)
  reach = [d * (k - 1) + 1 for k, d in zip(window, dilation)]
  counts = [
    size(n, r, sum(p), s) for n, r, p, s in zip(x.shape[1:-1], reach, padding, strides, strict=True)
  ]
  for position in np.ndindex(*counts):
    cut = [slice(i * s, i * s + r, d) for i, s, r, d in zip(position, strides, reach, dilation)]
    yield position, padded[(slice(None), *cut)]


def conv(x, kernel, strides, padding, dilation, groups) -> np.ndarray:
  """Returns the cross-correlation of x [B, *space, C] with [*window, C/groups, D]."""
  window, (inputs, outputs) = kernel.shape[:-2], kernel.shape[-2:]
  share, found = outputs // groups, {}
  for position, patch in slide(x, window, strides, padding, dilation, 0):
    found[position] = np.zeros((len(x), outputs))
    for d in range(outputs):
      first = d // share * inputs
      for b in range(len(x)):
        found[position][b, d] = np.sum(patch[b, ..., first : first + inputs] * kernel[..., d])
  return stack(found)


def stack(found: dict[Position, np.ndarray]) -> np.ndarray:
  """Returns the values [B, C] of all positions as one array [B, *space, C]."""
  counts = [1 + max(axis) for axis in zip(*found)]
  values = np.stack(list(found.values()), axis=1)
  return values.reshape(len(values), *counts, -1)
