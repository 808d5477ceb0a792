"""Boxes to try operators on, random and adversarial, and plain loops over them."""

import math

import numpy as np


def random(seed, count, width=200.0, height=150.0, whole=False):
  """Returns boxes [count, 4] around an image, some of them partly or wholly outside of it."""
  rng = np.random.default_rng([seed, count])
  centre = rng.uniform(-0.2, 1.2, (count, 2)) * [width, height]
  side = np.exp(rng.uniform(np.log(2), np.log(width), (count, 2)))
  found = np.concatenate([centre - side / 2, centre + side / 2], -1)
  return (np.round(found / 8) * 8 if whole else found).astype(np.float32)


def odd(width=200.0, height=150.0):
  """Returns boxes [9, 4] that are equal, of no area, reversed, far away or larger than all."""
  return np.asarray(
    [
      *[(8, 16, 72, 80)] * 3,
      (40, 40, 40, 90),
      (0, 0, 0, 0),
      (90, 90, 30, 30),
      (width, height, width, height),
      (-9 * width, -9 * height, -8 * width, -8 * height),
      (-9 * width, -9 * height, 9 * width, 9 * height),
    ],
    np.float32,
  )


def iou(a, b):
  """Returns the overlap of two boxes, 0 where it is 0 / 0, step by step in float32."""
  a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
  wide = max(min(a[2], b[2]) - max(a[0], b[0]), np.float32(0))
  high = max(min(a[3], b[3]) - max(a[1], b[1]), np.float32(0))
  both = wide * high
  union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
  return both / union if union else np.float32(0)


def nms(boxes, scores, threshold, labels=None):
  """Returns the indices of the boxes that are kept, best first."""
  stay = []
  for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):  # sorted is stable
    rivals = [j for j in stay if labels is None or labels[i] == labels[j]]
    if all(float(iou(boxes[i], boxes[j])) <= threshold for j in rivals):
      stay.append(i)
  return stay


def parts(low, high, count, length):
  """Yields the cells of each part of low..high that lie on a map of that length."""
  n = max(high - low + 1, 1)
  for i in range(count):
    start, stop = low + i * n // count, low + math.ceil((i + 1) * n / count)
    yield [cell for cell in range(start, stop) if 0 <= cell < length]


def max_in_cells(features, cells, size):
  """Returns the maxima [K, *size, C] of one image's [H, W, C], and (y, x, c) of each first one."""
  height, width, channels = features.shape
  found = np.zeros((len(cells), *size, channels), np.float32)
  first = {}
  for k, (x0, y0, x1, y1) in enumerate(np.asarray(cells).tolist()):
    for p, rows in enumerate(parts(y0, y1, size[0], height)):
      for q, columns in enumerate(parts(x0, x1, size[1], width)):
        for c in range(channels) if rows and columns else ():
          best = max((features[y, x, c], -y, -x) for y in rows for x in columns)
          found[k, p, q, c] = best[0]
          first[k, p, q, c] = (-best[1], -best[2], c)
  return found, first


def bilinear(features, y, x):
  """Returns the value [C] of [H, W, C] at a position, 0 if more than a cell outside."""
  height, width, _ = features.shape
  if not (-1 <= y <= height and -1 <= x <= width):
    return np.zeros(features.shape[-1])
  y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
  top, left = int(y), int(x)
  down, right = min(top + 1, height - 1), min(left + 1, width - 1)
  b, r = y - top, x - left
  upper = features[top, left] * (1 - r) + features[top, right] * r
  return upper * (1 - b) + (features[down, left] * (1 - r) + features[down, right] * r) * b


def roi_align(features, boxes, size, scale, samples, aligned):
  """Returns the means [K, *size, C] of bilinear samples of one image's [H, W, C]."""
  found = np.zeros((len(boxes), *size, features.shape[-1]))
  for k, box in enumerate(np.asarray(boxes, np.float64) * scale - 0.5 * aligned):
    wide, high = box[2] - box[0], box[3] - box[1]
    if not aligned:
      wide, high = max(wide, 1), max(high, 1)
    for p, q, i, j in np.ndindex(*size, samples, samples):
      y = box[1] + (p + (i + 0.5) / samples) * high / size[0]
      x = box[0] + (q + (j + 0.5) / samples) * wide / size[1]
      found[k, p, q] += bilinear(features, y, x) / samples**2
  return found
