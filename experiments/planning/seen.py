"""What is seen in a set of volumes, as far as a plan depends on it: nnU-Net's data fingerprint."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnjax.data.inputs.volume import values_of
from cnnjax.data.stream import by_threads
from cnnjax.data.table import Table

AIR = -900  # Hounsfield units: what CT has outside of the body; no other kind of scan goes there
CT = ("ct",)  # what dataset.json calls a channel whose values are Hounsfield units


@dataclass(frozen=True)
class Seen:
  """Facts about a training split.

  Attributes:
    sizes: [N, 3] in voxels.
    spacings: [N, 3] in millimetres.
    channels: of a voxel.
    classes: their names.
    voxels: [C], of each class.
    lowest: of each volume, its lowest value, [N].
    low: percentile 0.5 of the values in classes but the first.
    high: percentile 99.5.
    mean: of these values.
    std: their deviation.
    ct: why the values are taken for Hounsfield units, "" where they are not.
  """

  sizes: np.ndarray
  spacings: np.ndarray
  channels: int
  classes: tuple[str, ...]
  voxels: np.ndarray
  lowest: np.ndarray
  low: float
  high: float
  mean: float
  std: float
  ct: str


def look(table: Table, root: Path) -> Seen:
  """Returns what is seen in a table of volumes; each is read twice."""
  columns, count = table.columns, len(table)

  def one(n: int) -> tuple[float, np.ndarray]:
    labels = columns["segments"][n : n + 1][0]
    voxels = np.bincount(labels.ravel(), minlength=256)[: len(table.classes)]
    return float(columns["volume"][n : n + 1].min()), voxels

  lowest, voxels = zip(*by_threads(one, range(count)))
  lowest, values = np.asarray(lowest), values_of(table)
  ct = _named_ct(root / "dataset.json")
  if not ct and np.median(lowest) <= AIR:
    ct = f"half of the volumes go down to {np.median(lowest):g}, as only air in CT does"
  return Seen(
    sizes=np.asarray(columns["size"]),
    spacings=np.asarray(columns["spacing"], np.float64),
    channels=columns["volume"].shape[-1],
    classes=table.classes,
    voxels=np.sum(voxels, 0),
    lowest=lowest,
    low=values["clip"][0],
    high=values["clip"][1],
    mean=values["mean"][0],
    std=values["std"][0],
    ct=ct,
  )


def _named_ct(path: Path) -> str:
  """Returns that dataset.json names a channel CT, "" where it does not."""
  try:
    facts = json.loads(path.read_bytes())
    kinds = facts.get("channel_names") or facts.get("modality") or {}
    named = [name for name in kinds.values() if str(name).strip().lower() in CT]
  except (OSError, ValueError, AttributeError):
    return ""
  return f"{path.name} names a channel {named[0]}" if named else ""
