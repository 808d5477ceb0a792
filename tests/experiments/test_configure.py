"""The plan that volumes suggest: nnU-Net's rules on stated facts, and the config that says why."""

import importlib.util
from functools import partial

import numpy as np
import pytest

from cnnjax.data import catalogue
from cnnjax.engine.config import check, resolve
from cnnjax.errors import UserError
from cnnjax.keys import defaults
from experiments.configure import arguments_of, bytes_of
from experiments.planning.memory import compiled, estimated
from experiments.planning.plan import plan
from experiments.planning.seen import Seen, look
from experiments.planning.text import written
from tests.data.test_volumes import save

RNG = np.random.default_rng(0)
GIB = 2**30
HIPPOCAMPUS = (36, 50, 35)  # the median size of the Decathlon's


def seen(size, spacing=(1, 1, 1), count=200, **options):
  """Returns facts about volumes of one size and spacing."""
  facts = dict(sizes=np.tile(size, (count, 1)), channels=1, lowest=np.zeros(1))
  facts |= dict(spacings=np.tile(spacing, (count, 1)).astype(float), classes=("0", "1"), ct="")
  facts |= dict(voxels=np.array([9, 1]), low=0.0, high=1.0, mean=0.5, std=0.1)
  return Seen(**{**facts, **options})


def cost(*sizes):
  return estimated(*sizes, 1, 3)


def test_the_plan_of_the_hippocampus_is_nnunets():
  found = plan(seen(HIPPOCAMPUS), 8 * GIB, 32, cost)
  assert found.tile == (40, 56, 40) and found.widths == (32, 64, 128, 256)  # its published plan
  assert found.pools == ((2, 2, 2),) * 3
  assert 2 <= found.batch <= 32 and found.normalize == "each"


@pytest.mark.parametrize("memory", [GIB // 4, GIB, 4 * GIB])
def test_it_fits(memory):
  found = plan(seen((120, 200, 160)), memory, 16, cost)
  assert found.bytes == cost(found.tile, found.batch, found.widths, found.pools) <= memory
  assert not any(np.asarray(found.tile) % np.prod(found.pools, 0))
  assert all(type(side) is int for side in found.tile)  # a config is written with them
  assert "would need" in found.reasons["data.tile"] or memory == 4 * GIB


def test_coarse_slices_are_made_finer():
  found = plan(seen((20, 300, 300), (5, 0.8, 0.8)), 8 * GIB, 32, cost)
  assert found.spacing == (5.0, 0.8, 0.8)  # all are as coarse: percentile 10 is 5 too
  mixed = np.tile((5.0, 0.8, 0.8), (200, 1))
  mixed[::5, 0] = 2.0
  found = plan(seen((20, 300, 300), spacings=mixed), 8 * GIB, 32, cost)
  assert found.spacing == (2.0, 0.8, 0.8) and "percentile 10" in found.reasons["data.spacing"]
  assert found.pools[:2] == ((1, 2, 2), (2, 2, 2)) and len(found.widths) == len(found.pools) + 1
  with pytest.raises(UserError, match="not even a window of 4x4x4 voxels fits into the memory"):
    plan(seen(HIPPOCAMPUS), 10_000, 32, cost)


@pytest.mark.slow
def test_the_estimate_is_near_what_the_compiler_says():
  sizes = ((16, 16, 16), 4, (4, 8), ((2, 2, 2),))
  assert 0.5 < estimated(*sizes, 1, 3) / compiled(*sizes, 1, 3) < 2


def test_the_config_says_why_and_trains(tmp_path):
  low = {"air": -1000, "body": 40}
  for n in range(6):
    labels = (RNG.random((10, 12, 9)) < 0.3).astype(np.uint8)
    hounsfield = low["body"] + 100 * labels.astype(np.int16)
    hounsfield[RNG.random(labels.shape) < 0.2] = low["air"]
    save(tmp_path / "imagesTr" / f"{n}.nii.gz", hounsfield, (2, 1, 1))
    save(tmp_path / "labelsTr" / f"{n}.nii.gz", labels, (2, 1, 1))
  data = defaults("segmentation", "volume").data
  data.update(name="volumes", root=str(tmp_path))
  facts = look(catalogue.load(data, 0)["train"], tmp_path)
  assert facts.ct == "half of the volumes go down to -1000, as only air in CT does"
  chosen = plan(facts, GIB, 4, partial(estimated, channels=1, classes=2))
  path = tmp_path / "planned.py"
  path.write_text(written(chosen, facts, "made", "planned.py", {}, 10))
  spec = importlib.util.spec_from_file_location("planned", path)
  spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
  for config in (module.get_config(), module.get_config("quick")):
    check(config)
  config = module.get_config().unlock()
  config.data.root = str(tmp_path)
  found, splits = resolve(config)
  assert found.data.spacing == (2.0, 1.0, 1.0) and found.data.normalize == "all"
  assert found.data.tile == chosen.tile
  assert len(splits["train"]) == 3  # of 6, without test and validation
  text = path.read_text()
  assert "# CT, since half of the volumes go down to -1000" in text
  assert all(len(line) <= 100 for line in text.splitlines())


def test_sizes_and_arguments_that_are_none():
  assert bytes_of("8GiB") == bytes_of("8 gb") == 8 * GIB and bytes_of("500MB") == 500 * 2**20
  assert arguments_of("") == {} and arguments_of("{'images': 'x'}") == {"images": "x"}
  with pytest.raises(UserError, match="--memory is 'much'; expected a size such as 8GiB"):
    bytes_of("much")
  with pytest.raises(UserError, match="--arguments is 'open'; expected a dict"):
    arguments_of("open")
