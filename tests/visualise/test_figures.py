"""Every figure draws what it is given, and is written whole."""

import numpy as np
import pytest
from PIL import Image

from cnnjax.errors import UserError
from cnnjax.metrics.errors import errors
from cnnjax.visualise import boxes
from cnnjax.visualise.answers import above, as_text
from cnnjax.visualise.bands import bands
from cnnjax.visualise.confusion import confusion
from cnnjax.visualise.curves import curves
from cnnjax.visualise.figure import save
from cnnjax.visualise.filters import filters
from cnnjax.visualise.mistakes import mistakes
from cnnjax.visualise.pairs import pairs
from cnnjax.visualise.precision_recall import precision_recall
from cnnjax.visualise.reliability import reliability
from cnnjax.visualise.roofline import roofline
from cnnjax.visualise.search import history, importance
from cnnjax.visualise.sheet import contact_sheet
from cnnjax.visualise.surface import Surface, surfaces


def test_confusion_writes_each_count(tmp_path):
  figure = confusion([[5, 1], [0, 7]], ["cat", "dog"])
  axes = figure.axes[0]
  assert {text.get_text() for text in axes.texts} == {"5", "1", "7"}
  assert axes.get_title() == "12 of 13 right"
  assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog"]
  save(figure, tmp_path / "c.png")
  assert Image.open(tmp_path / "c.png").format == "PNG"
  assert [p.name for p in tmp_path.iterdir()] == ["c.png"]


def test_curves_have_a_line_for_each_split():
  rows = [{"epoch": e, "split": s, "loss": e + 1.0} for e in range(3) for s in ("train", "test")]
  left, right = curves(rows).axes
  assert [line.get_label() for line in left.lines] == ["train", "test"]
  assert list(left.lines[0].get_ydata()) == [1.0, 2.0, 3.0]
  assert not right.lines  # no accuracy was noted


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_each_filter_has_its_place(channels):
  kernel = np.random.default_rng(0).normal(size=(5, 5, channels, 6))
  drawn = [axes for axes in filters(kernel).axes if axes.images]
  assert len(drawn) == 6
  shape = (5, 5, 3) if channels == 3 else (5, 5)
  assert drawn[0].images[0].get_array().squeeze().shape == shape


def test_filters_need_a_kernel():
  with pytest.raises(UserError, match="found shape"):
    filters(np.zeros((5, 5)))


def test_names_are_no_formulas(tmp_path):
  names = ["cost$x_$", "$\\oops$"]
  save(contact_sheet([np.zeros((4, 4), np.uint8)] * 2, names), tmp_path / "sheet.png")
  save(confusion([[1, 0], [0, 1]], names), tmp_path / "confusion.png")


def test_contact_sheet_takes_any_image():
  rng = np.random.default_rng(0)
  images = [rng.integers(0, 256, s, np.uint8) for s in [(8, 9), (5, 4, 1), (6, 6, 3)]]
  drawn = [axes for axes in contact_sheet(images, ["a", "b", "c"]).axes if axes.images]
  assert [axes.get_title() for axes in drawn] == ["a", "b", "c"]


def test_the_roof_bends_where_both_limits_meet():
  figure = roofline({"product": (50.0, 9e10), "sum": (0.2, 1e9)}, flops=1e11, bandwidth=1e10)
  (axes,) = figure.axes
  x, y = axes.lines[0].get_data()
  assert y.max() == 100 and y[x < 10].tolist() == pytest.approx((10 * x[x < 10]).tolist())
  assert len(axes.collections) == 2


def test_reliability_draws_the_bins_that_hold_examples(tmp_path):
  empty = {"low": 0.0, "high": 0.5, "examples": 0, "confidence": None, "accuracy": None}
  full = {"low": 0.5, "high": 1.0, "examples": 8, "confidence": 0.9, "accuracy": 0.75}
  figure = reliability([empty, full], error=0.15)
  axes, below = figure.axes
  accuracy, gap = axes.patches
  assert (accuracy.get_x(), accuracy.get_width(), accuracy.get_height()) == (0.5, 0.5, 0.75)
  assert (gap.get_y(), gap.get_height()) == pytest.approx((0.75, 0.15))
  assert [bar.get_height() for bar in below.patches] == [8]
  assert axes.get_title() == "expected calibration error 0.1500"
  save(figure, tmp_path / "r.png")
  save(reliability([empty], error=float("nan")), tmp_path / "none.png")


def test_pairs_have_a_panel_for_each_number(tmp_path):
  rng = np.random.default_rng(0)
  target = rng.normal(size=(20, 5)).astype(np.float32)
  figures = [{"mae": 0.1, "r2": 0.987}] * 4 + [{"mae": None, "r2": None}]
  figure = pairs(target + 1, target, ["a$x", "b", "c", "d", "e"], figures)
  drawn = [axes for axes in figure.axes if axes.collections]
  assert [axes.get_title().split("\n")[0] for axes in drawn] == ["a$x", "b", "c", "d", "e"]
  assert "mae 0.1  r2 0.987" in drawn[0].get_title() and drawn[4].get_title() == "e\n"
  points = drawn[2].collections[0].get_offsets()
  np.testing.assert_allclose(points, np.stack([target[:, 2], target[:, 2] + 1], -1))
  save(figure, tmp_path / "pairs.png")


def test_answers_as_a_person_reads_them():
  names = ("ant", "bee", "cat")
  some = {"probabilities": [0.2, 0.7, 0.1]}
  row, caption = as_text({"class": "bee", "probability": 0.7, **some}, names)
  assert caption == "bee  70.0%" and row["then"] == "ant 0.200, cat 0.100"
  row, caption = as_text({"classes": ["bee", "cat"], **some}, names)
  assert caption == "bee, cat" and row["probabilities"].startswith("bee 0.700, ant")
  assert as_text({"classes": [], **some}, names)[1] == "none"
  row, caption = as_text({"targets": {"size": 12.3456, "age": 3.0}}, names)
  assert caption == "size 12.35\nage 3" and row == {"size": "12.35", "age": "3"}


@pytest.mark.parametrize(("mode", "best"), [("max", [0.5, 0.9, 0.9]), ("min", [0.5, 0.5, 0.2])])
def test_history_follows_the_best(tmp_path, mode, best):
  figure = history({0: 0.5, 2: 0.9, 5: 0.2}, {3: 0.1}, metric="accuracy", mode=mode)
  (axes,) = figure.axes
  assert list(axes.lines[0].get_xdata()) == [0, 2, 5]
  assert list(axes.lines[0].get_ydata()) == best
  assert [len(dots.get_offsets()) for dots in axes.collections] == [3, 1]
  save(history({7: 0.5}, {}, metric="loss", mode="min"), tmp_path / "one.png")


def test_importance_has_the_largest_on_top():
  (axes,) = importance({"rate$": 0.7, "decay": 0.1, "size": 0.2}, "title").axes
  assert [t.get_text() for t in axes.get_yticklabels()] == ["decay", "size", "rate$"]
  assert [bar.get_width() for bar in axes.patches] == [0.1, 0.2, 0.7]


def test_bands_hold_all_runs():
  values = np.asarray([[1.0, 4.0], [3.0, 6.0]])
  (axes,) = bands({"net": values}, [0, 5], xlabel="shift", ylabel="accuracy").axes
  assert axes.lines[0].get_xydata().tolist() == [[0, 2], [5, 5]]
  area = axes.collections[0].get_paths()[0].vertices
  assert area.min(0).tolist() == [0, 1] and area.max(0).tolist() == [5, 6]


def test_surfaces_draw_the_points_over_the_answers():
  answers = np.linspace(0, 1, 16).reshape(4, 4)
  panel = Surface(answers, np.asarray([[0, 0], [255, 128]]), np.asarray([0, 1]))
  left, right = surfaces({"a": panel, "b": panel}).axes
  assert (left.get_title(), right.get_title()) == ("a", "b")
  assert left.images[0].get_extent() == [-0.5, 255.5, -0.5, 255.5]
  points = left.collections[-1]
  assert points.get_offsets().tolist() == [[0, 0], [255, 128]]
  assert (points.get_facecolors()[0] != points.get_facecolors()[1]).any()


RED, BLACK = [255, 0, 0], [0, 0, 0]


@pytest.mark.parametrize("shape", [(30, 40, 3), (30, 40, 1), (30, 40)])
def test_boxes_lie_where_they_are(shape):
  drawn = boxes.draw(np.zeros(shape, np.uint8), [[10, 5, 20, 25]], ["red"], side=100)
  assert drawn.shape == (90, 120, 3) and drawn.dtype == np.uint8  # three times as large
  there = np.argwhere((drawn == RED).all(-1))
  assert there.min(0).tolist() == [15, 30] and there.max(0).tolist() == [74, 59]
  assert drawn[40, 45].tolist() == BLACK and drawn[15, 45].tolist() == RED
  large = boxes.draw(np.zeros((700, 5), np.uint8), np.zeros((0, 4)), [])
  assert large.shape == (700, 5, 3) and not large.any()  # at its full size


def test_masks_names_and_odd_boxes_are_drawn():
  image, mask = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 40), bool)
  mask[10:20, 10:20] = True
  drawn = boxes.draw(image, [[5, 5, 35, 35]], ["red"], [""], [mask], side=40)
  assert drawn[15, 15].tolist() == [int(0.45 * 255), 0, 0] and drawn[25, 25].tolist() == BLACK
  odd = [[0, 0, 40, 40], [7, 7, 7, 7], [-9, -9, 50, 50], [39, 0, 40, 1]]
  named = boxes.draw(image, odd, ["C0"] * 4, ["a", "b$_", "Größe", "一"], side=40)
  assert named.shape == (40, 40, 3) and (named == 255).all(-1).any()  # white letters
  assert (boxes.draw(image, odd, ["C0"] * 4, side=40) != named).any()


def test_precision_recall_names_the_lowest(tmp_path):
  good, bad = ([0, 1, 1], [1, 1, 0]), ([0, 0.5, 1], [0.5, 0.5, 0])
  curves_of = {f"$c{n}": tuple(map(np.asarray, good)) for n in range(24)}
  curves_of["worst"] = tuple(map(np.asarray, bad))
  figure = precision_recall(curves_of, "title")
  assert len(figure.axes[0].lines) == 25
  texts = [text.get_text() for text in figure.legends[0].texts]
  assert len(texts) == 20 and texts[0] == "worst  0.250" and texts[1].endswith("1.000")
  save(figure, tmp_path / "curves.png")
  save(precision_recall({}, "of nothing"), tmp_path / "none.png")


def test_mistakes_have_a_row_a_kind(tmp_path):
  box = np.asarray([[[2, 2, 12, 12], [60, 20, 80, 30]]], float)
  truth = {"boxes": box, "labels": np.asarray([[0, 1]]), "valid": np.ones((1, 2))}
  found = {
    "boxes": box[:, :1] + [40, 5, 40, 5],
    "labels": np.asarray([[1]]),
    "valid": np.ones((1, 1)),
  }
  found["scores"] = np.asarray([[0.9]])
  image = np.zeros((40, 90, 1), np.uint8)
  figure = mistakes(errors(found, truth), lambda row: image, found, truth, ["a", "b"])
  names = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
  assert names == [
    "missed\n2",
    "duplicate\n0",
    "wrong class\n0",
    "badly placed\n0",
    "background\n1",
  ]
  drawn = [axes.images[0].get_array() for axes in figure.axes if axes.images]
  assert len(drawn) == 3 and all((d == RED).all(-1).any() for d in drawn)
  save(figure, tmp_path / "errors.png")


def test_a_detectors_answer_as_a_person_reads_it():
  answer = {"file": "x.png", "classes": ["ant", "bee", "ant"], "boxes": [[0, 0, 1, 1]] * 3}
  answer |= {"labels": [0, 1, 0], "scores": [0.9, 0.5, 0.2]}
  row, caption = as_text(above(answer, 0.5), ["ant", "bee"])
  assert row == {"boxes": 2, "best": "ant 0.90, bee 0.50"} and caption == "1 ant, 1 bee"
  assert as_text(answer, ["ant", "bee"])[1] == "2 ant, 1 bee"
  none = above(answer, 1.0)
  assert none["boxes"] == [] and none["file"] == "x.png"
  assert as_text(none, ["ant", "bee"]) == ({"boxes": 0, "best": ""}, "nothing")
