"""What is wrong with detections, by kind.

The kinds are those of TIDE (Bolya et al., arXiv:2008.08115, section 2.2), whose "both" is a wrong
class here, as in Hoiem et al., "Diagnosing error in object detectors", ECCV 2012.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from cnnjax.metrics.detection import match, outcomes, special

Columns = Mapping[str, np.ndarray]
KINDS = ("missed", "duplicate", "wrong class", "badly placed", "background")
FAR, NEAR = 0.1, 0.5  # overlaps from which a detection is about a box, and finds it


class Errors(NamedTuple):
  """Errors of one kind, the worst first: [E] each.

  Attributes:
    images: the rows that they are in.
    places: there, of the detection; of what is missed, of the true box.
    labels: the class that was said; of what is missed, the true one.
  """

  images: np.ndarray
  places: np.ndarray
  labels: np.ndarray


def errors(found: Columns, truth: Columns, least: float = 0.5) -> dict[str, Errors]:
  """Returns the errors among detections of a score of `least` or more, by the names of `KINDS`.

  Args:
    found: boxes [N, K, 4], labels, scores and valid [N, K] of N images.
    truth: boxes [N, P, 4], labels and valid [N, P]; maybe difficult or crowd [N, P].
    least: score from which a detection counts.

  A miss by VOC's rules is, of these, the first that it fits: a duplicate overlaps by 0.5 a box of
  its class that a better one has found; of a wrong class it overlaps by 0.5 a box of another class;
  badly placed, by 0.1 one of its class; of a wrong class too, by 0.1 one of another; else it lies
  on the background. The worst have the highest scores. Missed are the boxes to find that nothing
  hits, and that nothing badly placed, or of a wrong class by 0.5, is about; the worst are largest.
  """
  counted = {**found, "valid": (found["valid"] > 0) & (found["scores"] >= least)}
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
  area = np.prod(truth["boxes"][..., 2:] - truth["boxes"][..., :2], -1)
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
