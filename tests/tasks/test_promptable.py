"""The task of masks for prompts, against its definitions in NumPy."""

import jax
import numpy as np
import pytest

from cnnjax.data import fake
from cnnjax.data.table import Table
from cnnjax.errors import UserError
from cnnjax.models.segmentation.sam import SAM
from cnnjax.ops.segmentation import VOID
from cnnjax.tasks import complete, promptable, task

RNG = np.random.default_rng(0)
B, H, W = 5, 12, 16
MODEL = SAM(num_classes=3)
OPTIONS = dict(cross_entropy=0.7, dice=1.3, iou=2.0)


def batch_of():
  """Returns objects of three groups, of which the last is padding; some pixels are void."""
  segments = (RNG.random((B, H, W)) < 0.3).astype(np.uint8)
  segments[RNG.random((B, H, W)) < 0.1] = VOID
  return {
    "segments": segments,
    "label": np.int32([0, 2, 2, 0, 1]),
    "box": RNG.uniform(0, 9, (B, 4)).astype(np.float32),
    "mask": np.float32([1, 1, 1, 1, 0]),
  }


def outputs_of(masks=3):
  logits = RNG.normal(size=(B, H // 2, W // 2, masks)).astype(np.float32)
  return {"logits": logits, "iou": RNG.random((B, masks)).astype(np.float32)}


def enlarged(logits):
  return np.asarray(jax.image.resize(logits, (B, H, W, logits.shape[-1]), "linear"))


def figures(logit, truth):
  """Returns Dice coefficient and IoU of one mask."""
  found, own = (logit > 0)[truth != VOID], truth[truth != VOID] == 1
  both = (found & own).sum()
  return 2 * both / (found.sum() + own.sum()), both / (found | own).sum()


def by_hand(outputs, batch, cross_entropy, dice, iou):
  """Returns the loss, object by object and mask by mask; of the masks the best one counts."""
  logits, values = enlarged(outputs["logits"]), []
  for n in np.flatnonzero(batch["mask"]):
    truth, each, wrong = batch["segments"][n], [], []
    known, own = truth != VOID, (truth == 1).astype(float)
    for m in range(logits.shape[-1]):
      share = 1 / (1 + np.exp(-logits[n, ..., m].astype(np.float64)))
      cost = -np.log(np.where(own == 1, share, 1 - share))[known].mean()
      both, sums = (share * own)[known].sum(), (share + own)[known].sum()
      each.append(cross_entropy * cost + dice * (1 - (2 * both + 1) / (sums + 1)))
      wrong.append((outputs["iou"][n, m] - figures(logits[n, ..., m], truth)[1]) ** 2)
    values.append(min(each) + iou * np.mean(wrong))
  return np.mean(values)


@pytest.mark.parametrize("masks", [1, 3])
def test_the_loss_is_that_of_the_best_mask(masks):
  outputs, batch = outputs_of(masks), batch_of()
  value, logs = jax.jit(lambda o, b: promptable.loss(o, b, **OPTIONS))(outputs, batch)
  assert value == pytest.approx(by_hand(outputs, batch, **OPTIONS), rel=1e-5)
  assert logs.keys() == {"loss", "cross_entropy_loss", "dice_loss", "iou_loss", "dice"}
  alone = promptable.loss(outputs, batch, dice=0.0, iou=0.0)[0]
  assert alone == pytest.approx(by_hand(outputs, batch, 1.0, 0.0, 0.0), rel=1e-5)
  assert promptable.loss(outputs, batch, focal=1.0, iou=0.0)[0] > alone


def test_parts_of_a_batch_add_up_to_its_gradient():
  outputs, batch = outputs_of(), batch_of()
  gradient = jax.jit(
    jax.grad(lambda o, b, c=None: promptable.loss(o, b, c, **OPTIONS), has_aux=True)
  )
  want, logs = gradient(outputs, batch)
  for part in (slice(0, 2), slice(2, 5)):
    one, other = ({k: v[part] for k, v in some.items()} for some in (outputs, batch))
    found, _ = gradient(one, other, {name: count for name, (_, count) in logs.items()})
    for key in found:
      np.testing.assert_allclose(found[key], want[key][part], rtol=1e-4, atol=1e-7)
  assert np.abs(want["iou"][:4]).min() > 0 and not np.asarray(want["iou"][4]).any()


def test_figures_by_group_and_rows():
  """Of the mask of which the network expects most."""
  outputs, batch = outputs_of(), batch_of()
  of_task = task("promptable", model=MODEL)
  sums = jax.jit(lambda o, b: of_task.metrics(o, b, rows=True))(outputs, batch)
  found, rows = of_task.summarise(sums), sums["rows"]
  best = outputs["iou"].argmax(-1)
  logits = enlarged(outputs["logits"])[np.arange(B), ..., best]
  each = np.array([figures(*one) for one in zip(logits, batch["segments"])])
  np.testing.assert_allclose(np.stack([rows["dice"], rows["iou"]], 1), each, rtol=1e-5)
  np.testing.assert_array_equal(rows["segments"], logits > 0)
  assert (found["dice"], found["iou"]) == pytest.approx(tuple(each[:4].mean(0)), rel=1e-5)
  per = found["per_class"]
  assert [row["objects"] for row in per] == [2, 0, 2] and per[1]["dice"] is None
  assert per[2]["iou"] == pytest.approx(each[1:3, 1].mean(), rel=1e-5)
  assert found["mean_dice"] == pytest.approx(each[:4, 0].mean(), rel=1e-5)  # two and two
  wrong = np.abs(outputs["iou"][np.arange(B), best] - each[:, 1])[:4].mean()
  assert found["iou_error"] == pytest.approx(wrong, rel=1e-5)
  answer = of_task.predict(outputs, {"image": np.zeros((B, H, W, 3))})
  np.testing.assert_array_equal(answer["masks"], logits > 0)
  one = of_task.named({"masks": np.asarray(answer["masks"][:2])}, ("a", "b", "c"))
  assert one["pixels"] == (logits[:2] > 0).sum((1, 2)).tolist()


def test_what_cannot_be_learnt_is_a_user_error():
  options = dict(name="promptable")
  with pytest.raises(UserError, match="one object and a box in each image: set data.input to prom"):
    complete(options, fake.load("", 0, label="segments", examples=16))
  columns = {"segments": np.zeros((1, 2, 2)), "box": np.zeros((1, 4)), "label": np.zeros(1)}
  splits = {"train": Table(columns, ("a",))}
  assert complete(options, splits) == options
  with pytest.raises(UserError, match="task.focal and task.dice are all 0: nothing to learn from"):
    complete({**options, "cross_entropy": 0.0, "iou": 1.0}, splits)
