"""Names of any length and with any letters, in pictures."""

import warnings

import numpy as np
import pytest
from PIL import Image

from cnnjax.visualise import boxes, text
from cnnjax.visualise.bands import bands
from cnnjax.visualise.confusion import NAMED, confusion
from cnnjax.visualise.figure import save
from cnnjax.visualise.grid import grid
from cnnjax.visualise.overlay import overlay
from cnnjax.visualise.precision_recall import precision_recall
from cnnjax.visualise.sheet import contact_sheet
from cnnjax.visualise.text import font, fonts, legend, short

NAMES = ["_background", "__", "a$b$c", "$", "\\$5", "x" * 300, "\u732b", "line\nbreak\x00", "кот"]
CURVE = (np.asarray([0, 0.5, 1]), np.asarray([1, 0.8, 0.2]))
LINE = [(0.0, 1.0), (1.0, 2.0)]


def test_a_name_is_one_line_that_ends():
  assert short("line\nbreak\x00\ud800") == "line break" and short("short") == "short"
  assert len(short("x" * 300)) <= 32 and short("a" + "x" * 300 + "b")[::30] == "ab"


@pytest.mark.parametrize(
  "figure",
  [
    precision_recall(dict.fromkeys(NAMES, CURVE), "boxes"),
    bands(dict.fromkeys(NAMES, np.ones((2, 2))), [0, 1], xlabel="x", ylabel="y"),
    overlay(dict.fromkeys(NAMES, LINE), xlabel="x", ylabel="y"),
  ],
  ids=["precision_recall", "bands", "overlay"],
)
def test_a_legend_has_every_name(tmp_path, figure):
  (shown,) = figure.legends or [axes.get_legend() for axes in figure.axes]
  texts = [one.get_text() for one in shown.get_texts()]
  assert len(texts) == len(NAMES)
  for one, name in zip(texts, NAMES):
    assert legend(name) in one and one.replace("\\$", "$").strip().startswith(short(name)[:9])
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    save(figure, tmp_path / "x.png")


def test_letters_without_a_font_are_told(tmp_path, capsys, monkeypatch):
  usual = font("a")
  monkeypatch.setattr(text, "_files", lambda: [usual])
  save(confusion([[1, 0], [0, 1]], ["a", "\u732b"]), tmp_path / "confusion.png")
  told = capsys.readouterr().err
  assert "confusion.png has boxes for letters of no installed font: \u732b" in told
  font.cache_clear()
  assert fonts("ab") == [font("ab")] == [font("a\u732b")] and fonts("\u732b") == []
  font.cache_clear()
  save(confusion([[1, 0], [0, 1]], ["a", "кот"]), tmp_path / "confusion.png")
  assert not capsys.readouterr().err


def test_many_classes_have_no_names():
  (axes,) = confusion(np.eye(NAMED + 1), list(map(str, range(NAMED + 1)))).axes
  assert len(axes.get_xticks()) < 30


@pytest.mark.parametrize("shape", [(1, 1), (1, 256), (256, 1), (1, 1, 1), (1, 1, 3), (1, 256, 3)])
def test_an_image_of_one_pixel_or_line_is_shown(tmp_path, shape):
  image = np.zeros(shape, np.uint8)
  save(contact_sheet([image], ["a caption\nfile.png"]), tmp_path / "sheet.png")
  save(grid({"row": [image]}, ["title"]), tmp_path / "grid.png")
  drawn = boxes.draw(image, [[0, 0, 1, 1]], ["red"], ["\u732b 0.50" + "x" * 300])
  assert max(drawn.shape[:2]) >= 640
  Image.fromarray(drawn)
