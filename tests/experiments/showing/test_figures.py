"""The figures of many classes: what is printed and written grows no faster than they."""

import csv
import json

import numpy as np

from experiments.showing.figures import MANY, grid, tell, write


def many(count):
  """Figures of so many classes, of which two are confused."""
  confusion = np.eye(count, dtype=int) * 3
  confusion[5, 7] = 2
  each = [{"f1": n / count, "examples": 3} for n in range(count)]
  undefined = {f"ranking[{n}].roc_auc": "no example is of this class" for n in range(count)}
  return {"confusion": confusion.tolist(), "per_class": each, "undefined": undefined}


def test_the_confusion_matrix_of_many_classes_is_kept_apart(tmp_path):
  count = 600
  names = [f"a, {n}" for n in range(count)]
  figures = many(count)
  write(tmp_path, figures, names)
  written = json.loads((tmp_path / "evaluation.json").read_text())
  assert written["confusion_file"] == "confusion.csv" and "confusion" not in written
  assert (tmp_path / "evaluation.json").stat().st_size < 300 * count
  back = np.zeros((count, count), int)
  with (tmp_path / written["confusion_file"]).open(newline="") as file:
    for row in csv.DictReader(file):
      back[names.index(row["true"]), names.index(row["predicted"])] = row["examples"]
  assert back.tolist() == figures["confusion"]


def test_of_few_classes_all_is_in_one_file(tmp_path):
  figures = {**many(MANY), "roc_auc": float("nan"), "pairs": np.zeros(3)}
  figures["per_class"][3]["f1"] = float("nan")
  write(tmp_path / "new", figures, list(map(str, range(MANY))))
  assert [p.name for p in (tmp_path / "new").iterdir()] == ["evaluation.json"]
  written = json.loads((tmp_path / "new" / "evaluation.json").read_text(), parse_constant=repr)
  assert written["confusion"] == figures["confusion"] and "pairs" not in written
  assert written["roc_auc"] is None and written["per_class"][3]["f1"] is None


def test_of_many_classes_the_worst_are_printed(capsys):
  tell(many(4000), [f"class {n}" for n in range(4000)])
  told = capsys.readouterr().out
  assert len(told.splitlines()) < 60
  assert "class 19 " in told and "class 20 " not in told and "20 of 4,000" in told
  assert "and 3,980 more are not defined" in told
  rows = {f"class {n}": {"missed": n % 1000, "duplicate": 0} for n in range(1001)}
  grid("errors", rows, by="missed")
  assert "class 999" in capsys.readouterr().out
  tell({"not_finite": 3, "examples": 12}, [])
  assert "not finite for 3 of 12 examples" in capsys.readouterr().out
