"""A comparison of the ImageNet classifiers: course/004's table, and Canziani's picture.

Depth, parameters and multiply-adds are counted here, without auxiliary classifiers, which take no
part in inference. Accuracies and the deck's column are published figures. Years are those of the
papers.
"""

import re
from typing import NamedTuple

from matplotlib.figure import Figure

import cnnjax
from cnnjax.models.depth import depth
from cnnjax.models.weights import WEIGHTS
from cnnjax.models.zoo import ZOO
from cnnjax.visualise.balls import balls

TOP1 = {  # accuracy in %, ImageNet validation, one crop, of each model's first published weights
  **{
    name: next(iter(sets.values())).top1
    for name, sets in WEIGHTS.items()
    if ZOO[name].task == "classification"
    and len(ZOO[name].input) == 3  # no clips
    and not name.endswith("_bn")
    and "cifar" not in name
  },
  "seresnet50": 77.6,  # of its authors' weights; timm's state none
  "mobilenet_v1": 70.6,  # arXiv:1704.04861, table 8
}


class Deck(NamedTuple):
  """A row of course/004's comparison; its errors are the best top-5 ones, often of ensembles."""

  name: str
  depth: int | None
  millions: float
  error: str


DECK = {  # our model that has the depth of the deck's row: that row
  "alexnet_2012": Deck("AlexNet", 8, 60, "16.4"),
  "vgg19": Deck("VGG", 19, 138, "7.3"),
  "googlenet_2014": Deck("GoogLeNet", 22, 4, "6.7"),
  "resnet152": Deck("ResNet", 152, 25.6, "3.6"),
  "seresnet152": Deck("SENet", 152, 27.5, "2.3"),
  "mobilenet_v1": Deck("MobileNetV1", None, 4.2, "5-10"),
  "mobilenet_v2": Deck("MobileNetV2", None, 3.47, "3-6"),
}
NOTES = """\
Counted here, for the published input, without auxiliary classifiers: depth (layers that multiply
on the longest path, the gates of squeeze-and-excitation left out), parameters, multiply-adds.
Published: top-1 accuracy of one crop; top-5 error as in course/004's table, mostly of ensembles."""
NEAR = 0.03  # relative difference up to which our count agrees with a rounded figure of the deck


class Entry(NamedTuple):
  """One model: its counted and its published figures (top1 in %)."""

  year: int
  depth: int
  parameters: int
  multiply_adds: int
  top1: float | None


def names() -> list[str]:
  """Returns the zoo's classifiers of ImageNet's thousand classes."""
  rows = ((name, ZOO[name]) for name in cnnjax.list_models("classification"))
  return [name for name, row in rows if len(row.input) == 3 and min(row.input[:2]) > 200]


def count(name: str) -> Entry:
  """Returns one row of the comparison."""
  arguments = {"aux": False} if hasattr(cnnjax.create_model(name), "aux") else {}
  summary = cnnjax.summarize(name, **arguments)
  return Entry(
    year(ZOO[name].paper),
    depth(name, **arguments),
    summary.parameters,
    summary.multiply_adds,
    TOP1.get(name),
  )


def year(paper: str) -> int:
  """Returns a paper's year: "arXiv:1409.1556" -> 2014, "LeCun et al. 1998" -> 1998."""
  archived = re.search(r"arXiv:(\d\d)", paper)
  return 2000 + int(archived[1]) if archived else int(re.search(r"\d{4}$", paper)[0])


def compare() -> dict[str, Entry]:
  """Returns the comparison by name, the oldest first."""
  entries = {name: count(name) for name in names()}
  return dict(sorted(entries.items(), key=lambda item: item[1].year))


def columns(entries: dict[str, Entry]) -> dict[str, dict[str, str]]:
  """Returns the table to print."""
  return {
    name: {
      "year": str(e.year),
      "depth": str(e.depth),
      "parameters\nM": f"{e.parameters / 1e6:.2f}",
      "mult-adds\nG": f"{e.multiply_adds / 1e9:.2f}",
      "top-1\n%": f"{e.top1:.1f}" if e.top1 else "",
      "error\n%": DECK[name].error if name in DECK else "",
    }
    for name, e in entries.items()
  }


def contradictions(entries: dict[str, Entry]) -> list[str]:
  """Returns a sentence for each figure of the deck's table that our counts contradict."""
  sentences = []
  for name, deck in DECK.items():
    found = entries[name]
    if deck.depth and deck.depth != found.depth:
      sentences.append(f"{deck.name}: the deck says {deck.depth} layers, {name} has {found.depth}")
    if abs(found.parameters / 1e6 / deck.millions - 1) > NEAR:
      said = f"{deck.name}: the deck says {deck.millions:g} M parameters"
      others = {n: abs(e.parameters / 1e6 / deck.millions - 1) for n, e in entries.items()}
      whose = min(others, key=others.get)
      hint = f"; {deck.millions:g} M is nearest to {whose}" if others[whose] < NEAR else ""
      sentences.append(f"{said}, {name} has {found.parameters / 1e6:.2f} M{hint}")
  return sentences


def picture(entries: dict[str, Entry]) -> Figure:
  """Draws published accuracy against multiply-adds, with discs whose area shows the parameters."""
  shown = {name: e for name, e in entries.items() if e.top1}
  return balls(
    {name: (e.multiply_adds / 1e9, e.top1, e.parameters / 1e6) for name, e in shown.items()},
    xlabel="multiply-adds for one image, G (counted)",
    ylabel="ImageNet top-1 accuracy, % (published)",
    unit="M parameters (counted)",
  )
