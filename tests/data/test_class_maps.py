"""Maps of classes that are read as objects, and maps of objects that pass without a word."""

import numpy as np
import pytest
from PIL import Image

from cnnjax.data.class_maps import doubts, regions
from tests.data.test_folder import load, save

RNG = np.random.default_rng(0)


def objects(count, first=1):
  """A map of discs, some of which touch or hide another or lie at the border."""
  rows, columns = np.mgrid[:60, :80]
  ids = np.zeros((60, 80), np.int64)
  for number in range(first, first + count):
    y, x, r = RNG.integers(0, 60), RNG.integers(0, 80), RNG.integers(4, 9)
    ids[(rows - y) ** 2 + (columns - x) ** 2 < r**2] = number
  return ids


def street(kinds=11):
  """A map of classes as a drive shows them: large grounds, and many patches; 0 is the sky."""
  ids = np.zeros((60, 80), np.int64)
  ids[20:40], ids[40:] = 1, 2
  for number in range(3, kinds + 1):
    for y, x in RNG.integers(0, 70, (6, 2)):
      ids[y : y + 5, x : x + 5] = number
  return ids


def islands(*numbers):
  """A map with one disc for each number, as of a cell and its nucleus."""
  ids = np.zeros((60, 80), np.int64)
  for place, number in enumerate(numbers):
    ids[10:30, 5 + 25 * place : 25 + 25 * place] = number
  return ids


@pytest.mark.parametrize(
  ("maps", "phrase"),
  [
    ([objects(n) for n in (3, 12, 7, 1, 20, 5)], ""),
    ([objects(4) for _ in range(8)], ""),
    ([objects(4, 300 * n) for n in range(1, 8)], ""),
    ([islands(1, 2) for _ in range(8)], ""),  # two objects in each image
    ([islands(255)] * 8, ""),  # one object in each image
    ([objects(0)] * 4, ""),
    ([objects(300)], ""),
    ([street() for _ in range(5)], "are in several pieces, one (id "),
    ([street()], "are in several pieces"),
    ([islands(128, 255) for _ in range(5)], "the same ids 128, 255 are in 5 of 5 maps"),
    ([objects(5) + 1 for _ in range(5)], "id 1 reaches all four borders in nearly every map"),
    ([np.where(street(3) == 3, 255, objects(9)) for _ in range(6)], "id 255 is in nearly every"),
  ],
)
def test_what_looks_wrong(maps, phrase):
  found = "; ".join(doubts([regions(ids) for ids in maps]))
  assert phrase in found and bool(found) == bool(phrase)


@pytest.mark.parametrize("kind", [objects, lambda count: street()])
def test_a_run_says_what_looks_wrong_and_counts_pixels_of_the_users_image(tmp_path, capsys, kind):
  maps = [kind(n) for n in (3, 9, 5, 4)]
  for n, ids in enumerate(maps):
    save(tmp_path / "train" / "images" / f"{n}.png", (60, 80))
    (tmp_path / "train" / "instances").mkdir(exist_ok=True)
    Image.fromarray(ids.astype(np.uint16)).save(tmp_path / "train" / "instances" / f"{n}.png")
  train = load(tmp_path, name="instances", resize=(40, 50), test=0.5)["train"]
  told = capsys.readouterr().err
  assert ("look as if they held classes and not objects" in told) == (kind is not objects)
  assert bool(told) == (kind is not objects)
  areas = [sorted(np.bincount(ids.ravel())[1:].tolist()) for ids in maps]
  for row, valid in zip(train.columns["areas"], train.columns["valid"]):
    assert sorted(row[valid > 0].tolist()) in areas
