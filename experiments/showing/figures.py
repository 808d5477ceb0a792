"""The figures of an evaluation, printed for people and written for programs."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnnjax.engine import log
from cnnjax.engine.record import write_json, write_text

from .written import known

SQUARE = 20  # classes up to which the confusion matrix is printed
MANY = 100  # classes up to which it stands in evaluation.json, and each has a line in a table
WORST = 20  # lines of a table of more classes
BY = ("f1", "ap50", "ap", "r2")  # what makes a class a bad one, the first that its figures have


def tell(figures: dict[str, Any], names: Sequence[str]) -> None:
  """Prints the figures that are more than one number."""
  for each in ("class", "label", "target"):
    if f"per_{each}" in figures:
      rows = figures[f"per_{each}"]
      rows = [{**a, **b} for a, b in zip(rows, figures.get("ranking", [{}] * len(rows)))]
      grid(f"per {each}", dict(zip(names, rows)))
  if "averages" in figures:
    log.grid("averages", figures["averages"])
  reasons = list(figures.get("undefined", {}).items())
  for name, why in reasons[:WORST]:
    print(f"{name} is not defined: {why}")
  if len(reasons) > WORST:
    print(f"and {len(reasons) - WORST:,} more are not defined, which evaluation.json lists")
  if "not_finite" in figures:
    print(
      f"the network's numbers are not finite for {figures['not_finite']:,} of "
      f"{figures['examples']:,} examples, which count as not answered"
    )
  if "confusion" in figures and len(names) <= SQUARE:
    rows = {n: dict(zip(names, row)) for n, row in zip(names, figures["confusion"])}
    log.grid("confusion: true class by row, predicted by column", rows)


def grid(title: str, rows: Mapping[str, Mapping[str, Any]], by: str = "") -> None:
  """Prints a table with a line for each class; of many classes only the worst.

  Args:
    title: of the table.
    rows: figures by class.
    by: a number of errors, of which the worst have most; by default one of `BY`, of which they have
      the lowest.
  """
  if len(rows) > MANY:
    first = next(iter(rows.values()))
    key = by or next((name for name in BY if name in first), "")
    sign = -1 if by else 1
    held = {n: r for n, r in rows.items() if not key or r[key] is not None}
    worst = sorted(held, key=lambda name: sign * held[name][key]) if key else list(held)
    what = f"the {'most' if by else 'lowest'} {key}" if key else "the first"
    title = f"{title}: {WORST} of {len(rows):,}, {what}; evaluation.json has all"
    rows = {name: rows[name] for name in worst[:WORST]}
  log.grid(title, rows)


def write(folder: Path, figures: Mapping[str, Any], names: Sequence[str]) -> None:
  """Writes evaluation.json, and the confusion matrix of many classes apart.

  Its size grows with the square of the classes; confusion.csv has a row for each cell that is not 0
  (true and predicted class, and the number of examples), of which there are no more than examples.
  """
  folder.mkdir(parents=True, exist_ok=True)
  whole = {key: value for key, value in figures.items() if key != "pairs"}
  if len(whole.get("confusion", ())) > MANY:
    counts, text = np.asarray(whole.pop("confusion")), io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("true", "predicted", "examples"))
    for true, predicted in np.argwhere(counts).tolist():
      table.writerow((names[true], names[predicted], counts[true, predicted]))
    write_text(folder / "confusion.csv", text.getvalue())
    whole["confusion_file"] = "confusion.csv"
    print(f"wrote {folder / 'confusion.csv'}")
  write_json(folder / "evaluation.json", known({**whole, "classes": list(names)}))
  print(f"wrote {folder / 'evaluation.json'}")
