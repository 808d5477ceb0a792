"""A small network classifies tumours on brain scans with 96 %: good or bad? (course/000)"""

from functools import partial
from pathlib import Path

import numpy as np

from cnnjax.engine import log
from cnnjax.visualise.confusion import confusion
from cnnjax.visualise.figure import save

from .finding import Finding
from .trainings import accuracies, config_of, spread, trainings

CONFIGS = {"tumor_net": "tumor_net_brain_tumor", "resnet18": "resnet18_brain_tumor"}
HEALTHY = "notumor"  # the class without a tumour: predicting it for a tumour is the worst mistake


def tumor(
  *,
  root: str = "",
  epochs: float | None = None,
  seeds: int = 1,
  quick: bool = False,
  out: Path = Path("runs/claims/tumor"),
) -> list[Finding]:
  """The deck's NetChain and a ResNet-18 with mirrored and shifted images, tested class by class.

  Args:
    root: folder of the data, with train and test.
    epochs: of each training.
    seeds: number of trainings of each network.
    quick: whether to take generated data instead.
    out: folder for the runs and pictures.
  """
  vary = dict(root=root, epochs=epochs, quick=quick)
  configs = {name: partial(config_of, file, **vary) for name, file in CONFIGS.items()}
  found = trainings(configs, seeds=seeds, out=out)
  counts = {
    name: sum(np.asarray(r.figures["confusion"]) for r in runs) for name, runs in found.items()
  }
  classes = found["tumor_net"][0].classes
  for name in counts:
    _show(name, counts[name], classes, out)
  accuracy = accuracies(found["tumor_net"])
  wrong = [int(n.sum() - np.trace(n)) for n in counts.values()]
  return [
    Finding("tumor_net, accuracy", "96 %", spread(accuracy), bool(round(accuracy.mean()) >= 96)),
    Finding("resnet18, accuracy", "", spread(accuracies(found["resnet18"]))),
    Finding("mistakes, tumor_net : resnet18", "", f"{wrong[0]} : {wrong[1]}"),
    *(finding for name in counts for finding in _by_class(name, counts[name], classes)),
  ]


def _show(name, counts, classes, out):
  rows = {c: dict(zip(classes, row)) for c, row in zip(classes, counts.tolist())}
  log.grid(f"{name}: true class by row, predicted by column", rows)
  save(confusion(counts, classes), out / f"confusion_{name}.png")
  print(f"wrote {out / f'confusion_{name}.png'}")


def _by_class(name, counts, classes):
  """Returns each class's recall, and the mistakes between tumours and no tumour."""
  recall = 100 * np.diag(counts) / counts.sum(1)
  findings = [Finding(f"{name}, recall of {c}", "", f"{r:.1f} %") for c, r in zip(classes, recall)]
  if HEALTHY in classes:
    place = classes.index(HEALTHY)
    ill, well = np.delete(counts, place, axis=0), counts[place]
    missed, alarms = ill[:, place].sum(), well.sum() - well[place]
    findings += [
      Finding(f"{name}, tumours taken for none", "", f"{missed} of {ill.sum()}"),
      Finding(f"{name}, none taken for a tumour", "", f"{alarms} of {well.sum()}"),
    ]
  return findings
