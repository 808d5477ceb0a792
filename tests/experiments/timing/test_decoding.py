"""The speed of reading image files: who takes part, the same pixels, the figures."""

import numpy as np
import pytest

from cnnjax.errors import UserError
from configs.classification import lenet5_digits, resnet18_brain_tumor
from experiments.timing import decoding
from tests.data.test_folder import save


@pytest.fixture
def config(tmp_path):
  for split in ("train", "test"):
    for name in "ab":
      for number in range(3):
        save(tmp_path / split / name / f"{number}.png", (20, 16 + number))
  config = resnet18_brain_tumor.get_config()
  config.update_from_flattened_dict(
    {
      "data.root": str(tmp_path),
      "data.resize": (12, 10),
      "data.channels": 3,
      "data.validation": 0.0,
    }
  )
  return config


def ready(monkeypatch, names):
  line_up = decoding.line_up

  def some(files, batch_size):
    return {n: b for n, b in line_up(files, batch_size).items() if n in names}

  monkeypatch.setattr(decoding, "line_up", some)


def test_figures_of_those_who_take_part(config, monkeypatch, capsys):
  names = {"cnnjax, one thread", "cnnjax, threads", "PyTorch, 0 workers"}
  ready(monkeypatch, names)
  found = decoding.decoding(config, 4, 2, 2)
  assert found["shape"] == (12, 10, 3) and set(found["rounds"]) <= names
  assert all(len(rates) == 2 and min(rates) > 0 for rates in found["rounds"].values())
  assert set(found["levels_apart"].values()) == {0.0}
  assert "reading and resizing to 12x10x3, batch 4" in capsys.readouterr().out


def test_other_pixels_are_not_timed(config, monkeypatch):
  line_up = decoding.line_up

  def with_a_liar(files, batch_size):
    ours = next(iter(line_up(files, batch_size).items()))
    return dict([ours, ("PyTorch, 0 workers", iter([np.zeros((4, 12, 10, 3), np.uint8)]))])

  monkeypatch.setattr(decoding, "line_up", with_a_liar)
  with pytest.raises(UserError, match="PyTorch, 0 workers makes other pixels than cnnjax"):
    decoding.decoding(config, 4, 2, 1)


def test_data_that_are_no_files():
  with pytest.raises(UserError, match="data.arguments of fake: .*'stream'"):
    decoding.decoding(lenet5_digits.get_config("quick"), 4, 2, 1)
