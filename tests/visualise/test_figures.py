"""Every figure draws what it is given, and is written whole."""

import numpy as np
import pytest
from PIL import Image

from cnnjax.errors import UserError
from cnnjax.visualise import boxes
from cnnjax.visualise.confusion import confusion
from cnnjax.visualise.curves import curves
from cnnjax.visualise.figure import save
from cnnjax.visualise.filters import filters
from cnnjax.visualise.reliability import reliability
from cnnjax.visualise.roofline import roofline
from cnnjax.visualise.sheet import contact_sheet


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


def test_boxes_lie_where_they_are(tmp_path):
  image = np.zeros((20, 30, 3), np.uint8)
  places = np.asarray([[1, 2, 11, 8], [0, 0, 30, 20]])
  figure = boxes.sheet(
    [image, image[..., :1]], [places, places[:0]], [[1, 0], []], ["a", "$b"], [[0.5, 1], []]
  )
  first, second = figure.axes
  assert [p.get_bbox().bounds for p in first.patches] == [(1, 2, 10, 6), (0, 0, 30, 20)]
  assert [t.get_text() for t in first.texts] == ["$b 0.50", "a 1.00"]
  assert tuple(first.images[0].get_extent()) == (0, 30, 20, 0) and not second.patches
  save(figure, tmp_path / "boxes.png")
