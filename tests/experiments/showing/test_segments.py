"""What is shown of class maps: the worst beside their truth, and the files of answers."""

import numpy as np
from PIL import Image

from cnnjax.data import inputs
from cnnjax.data.table import Table
from cnnjax.visualise import class_maps
from cnnjax.visualise.figure import save
from experiments.showing import segments

RNG = np.random.default_rng(0)
NAMES = ("background", "cat", "dog")


def test_the_worst_are_beside_their_truth(tmp_path):
  truth = np.zeros((4, 24, 30), np.uint8)
  truth[:, 4:12, 4:12], truth[:, 14:20, 14:20] = 1, 2
  truth[:, 0] = 255
  found = truth.copy()
  found[:, 0] = 1
  found[1, 14:20] = 0  # class 2 is missed
  found[2, 4:8] = 0
  found[3] = 1  # but this one is padding
  rows = {"segments": found, "truth": truth, "mask": np.asarray([1, 1, 1, 0])}
  (first, low), (second, high), (third, full) = segments.worst(rows, 3)
  assert (first, second, third) == (1, 2, 0) and full == 1 and low < high < 1
  ground = 2 * (truth[1, 1:] == 0).sum() / ((truth[1, 1:] == 0).sum() * 2 + 36)
  np.testing.assert_allclose(low, (ground + 1 + 0) / 3)
  image = RNG.integers(0, 256, (4, 24, 30, 1), dtype=np.uint8)
  names = np.asarray([f"a/{n}.png" for n in range(4)], object)
  rows["spacing"] = np.ones((4, 2))
  (sizes, _), (name, figure) = segments.of_maps(rows, Table({"image": image}, NAMES, names))
  assert sizes == "sizes.png"
  drawn = [axes for axes in figure.axes if axes.images]
  assert name == "worst.png" and len(drawn) == 12
  assert [t.get_text() for t in figure.legends[0].get_texts()] == ["cat", "dog", "void"]
  wrong = drawn[3].images[0].get_array()
  assert ((wrong == class_maps.WRONG).all(-1) == (found != truth)[1] & (truth[1] != 255)).all()
  save(figure, tmp_path / name)
  nothing = segments.of_maps({**rows, "mask": np.zeros(4)}, Table({"image": image}, NAMES))
  assert [name for name, _ in nothing] == ["sizes.png"]


def test_answers_are_written_and_drawn(tmp_path):
  image, found = RNG.integers(0, 256, (30, 40, 3), dtype=np.uint8), np.zeros((30, 40), np.uint8)
  found[10:20] = 2
  answer = {"segments": found, "pixels": {"background": 800, "dog": 400}}
  kind = inputs.kind("image")
  kept = segments.written(answer, image, "/x/y.jpg", tmp_path, 7, kind)
  assert kept == {"file": "/x/y.jpg", "mask": "predictions/masks/0007_y.png", "size": [30, 40],
                  "pixels": answer["pixels"]}  # fmt: skip
  assert segments.drawn(found, image, NAMES, tmp_path / "y.png", 20, kind).shape == (15, 20, 3)
  assert Image.open(tmp_path / "y.png").width == 40
  row, caption = segments.as_text(kept)
  assert row == {"background": "66.7%", "dog": "33.3%"} and caption == "background 66.7%, dog 33.3%"
