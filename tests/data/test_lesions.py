"""Lesions: in half of the volumes, where and as bright as is said, and nowhere else."""

import numpy as np
import pytest

from cnnjax.data import catalogue
from cnnjax.errors import UserError
from tests.data.test_volumes import RNG, save, section


@pytest.fixture
def folder(tmp_path):
  for n in range(12):
    save(tmp_path / "imagesTr" / f"{n}.nii", RNG.normal(100, 5, (14, 15, 16)).astype(np.float32))
    save(tmp_path / "labelsTr" / f"{n}.nii", np.eye(16, dtype=np.uint8)[None, :15].repeat(14, 0))
  return tmp_path


def read(folder, **options):
  return catalogue.load(section(folder, tile=(), name="lesions", **options), 0)


def test_half_of_the_volumes_have_one(folder):
  plain, bright = (read(folder, contrast=c, radius=4.0) for c in (0.0, 3.0))
  labels = [*(table.columns["label"] for table in bright.values())]
  assert np.concatenate(labels).sum() == 6 and bright["train"].classes == ("none", "lesion")
  for split, table in bright.items():
    np.testing.assert_array_equal(table.names, plain[split].names)
    for n, label in enumerate(table.columns["label"]):
      there, before = (of[split].columns["volume"][n : n + 1][0] for of in (bright, plain))
      added = there - before
      assert (np.abs(added).max() > 0) == label
      if label:
        assert added.max() == pytest.approx(3 * before.std(), rel=1e-5)
        assert (added > 0).sum() == pytest.approx(4 / 3 * np.pi * 4**3, rel=0.1)  # a ball
      again = table.columns["volume"][n : n + 1][0]
      np.testing.assert_array_equal(there, again)


def test_a_radius_that_is_none(folder):
  with pytest.raises(UserError, match="the radius of lesions must be above 0 mm; found -1"):
    read(folder, radius=-1.0)
