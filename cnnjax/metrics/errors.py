"""Errors of detections, by kind.

The kinds are those of TIDE (Bolya et al., arXiv:2008.08115, section 2.2), whose "both" is a wrong
class here, as in Hoiem et al., "Diagnosing error in object detectors", ECCV 2012.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cnnjax.metrics.detection import match, outcomes, present, special

Columns = Mapping[str, np.ndarray]
KINDS = ("missed", "duplicate", "wrong class", "badly placed", "background")
FAR, NEAR = 0.1, 0.5  # least IoU at which a detection refers to a box, and at which it finds it


class Errors(NamedTuple):
  """Errors of one kind, the worst first: [E] each.

  Attributes:
    images: indices of their images.
    places: index in its image of the detection, or of a missed true box.
    labels: class of the detection, or of a missed true box.
  """

  images: np.ndarray
  places: np.ndarray
  labels: np.ndarray


def errors(found: Columns, truth: Columns, least: float = 0.5) -> dict[str, Errors]:
  """Returns the errors among detections with a score of `least` or more, by the names of `KINDS`.

  Args:
    found: boxes [N, K, 4], labels, scores and valid [N, K] of N images.
    truth: boxes [N, P, 4], labels and valid [N, P]; maybe difficult or crowd [N, P], and areas
      [N, P] in pixels of the user's images.
    least: least score of a detection that counts.

  A detection that is a miss by VOC's rules has the first kind whose condition holds:
  - duplicate: its IoU is 0.5 or more with a box of its class that a better detection has found;
  - wrong class: its IoU is 0.5 or more with a box of another class;
  - badly placed: its IoU is 0.1 or more with a box of its class;
  - wrong class: its IoU is 0.1 or more with a box of another class;
  - background: none of these.
  The worst of a kind have the highest scores. Missed is a box that must be found, that no detection
  hits, and to which no badly placed detection, and none of a wrong class with an IoU of 0.5 or
  more, refers; the worst are the largest.
  """
  counted = {**found, "valid": present(found) & (found["scores"] >= least)}
  hits, misses = outcomes(counted, truth, NEAR)
  (own_at, own), (other_at, other) = match(counted, truth), match(counted, truth, other=True)
  rules = (
    (own >= NEAR, "duplicate"),
    (other >= NEAR, "wrong class"),
    (own >= FAR, "badly placed"),
    (other >= FAR, "wrong class"),
  )
  kind = np.select(*map(list, zip(*rules)), "background")
  missed = (truth["valid"] > 0) & ~special(truth)
  if missed.shape[1]:
    about = hits | (misses & (kind == "badly placed"))
    swapped = misses & (kind == "wrong class") & (other >= NEAR)
    for those, at in ((about, own_at), (swapped, other_at)):
      images, places = np.nonzero(those)
      missed[images, at[images, places]] = False
  area = truth.get("areas", np.prod(truth["boxes"][..., 2:] - truth["boxes"][..., :2], -1))
  parts = {"missed": _worst(missed, area, truth["labels"])}
  for name in KINDS[1:]:
    parts[name] = _worst(misses & (kind == name), found["scores"], found["labels"])
  return parts


def counts(parts: Mapping[str, Errors], classes: int) -> list[dict[str, int]]:
  """Returns how many errors of each kind each class has."""
  each = {kind: np.bincount(of.labels, minlength=classes) for kind, of in parts.items()}
  return [{kind: int(n[label]) for kind, n in each.items()} for label in range(classes)]


def _worst(those: np.ndarray, by: np.ndarray, labels: np.ndarray) -> Errors:
  images, places = np.nonzero(those)
  order = np.argsort(-by[images, places], kind="stable")
  images, places = images[order], places[order]
  return Errors(images, places, labels[images, places])
