"""Masks for prompts: at the size of the image, whatever the network sees, and what is refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.engine.prompted import embed, masks, prompts
from cnnjax.errors import UserError
from cnnjax.ops.preprocess import Preprocessing

SQUARE = Preprocessing(resize=(64, 64))
LONGEST = Preprocessing(resize=64, longest=64, multiple=64)


class Told(nn.Module):
  """Its first mask is the box, or what lies around the point, its second one all that is white."""

  preprocessing: Preprocessing = SQUARE
  num_classes: int = 1
  task = "promptable"

  def setup(self):
    self.bias = self.param("bias", nn.initializers.zeros, ())

  def __call__(self, x, *, train):
    return self.encode(x, train=train)

  def encode(self, image, *, train):
    return image + self.bias

  def decode(self, embedding, prompts):
    high, wide = embedding.shape[1:3]
    y, x = jnp.mgrid[:high, :wide] + 0.5
    if "boxes" in prompts:
      x0, y0, x1, y1 = (prompts["boxes"][:, n, None, None] for n in range(4))
      inside = jnp.minimum(jnp.minimum(x - x0, x1 - x), jnp.minimum(y - y0, y1 - y))
    else:
      away = jnp.stack([x, y], -1)[None] - 0.5 - prompts["points"][:, 0, None, None]
      inside = 4 - jnp.sqrt(jnp.square(away).sum(-1))
    white = jnp.broadcast_to(embedding[..., 0] - 0.5, inside.shape)
    second = jnp.full(len(inside), 0.5)
    return {
      "logits": jnp.stack([inside, white], -1),
      "iou": jnp.stack([jnp.where("points" in prompts, 0.9, 0.4) + 0 * second, second], -1),
    }


def net(to):
  model = Told(to)
  return model, model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)


def block(size, x0, y0, x1, y1):
  found = np.zeros(size, bool)
  found[y0:y1, x0:x1] = True
  return found


@pytest.mark.parametrize("to", [SQUARE, LONGEST], ids=["square", "padded"])
@pytest.mark.parametrize("size", [(64, 64), (128, 96), (60, 200)])
def test_a_mask_lies_where_the_prompt_does(to, size):
  model, variables = net(to)
  corners = size[1] // 4, size[0] // 2, 3 * size[1] // 4, size[0]
  image = np.uint8(255 * block(size, *corners))
  embedding = embed(model, variables, image)
  assert embedding.size == size and embedding.side == (64, 64)
  (answer,) = cnnjax.predict(model, variables, [image], boxes=[corners])
  assert answer["iou"] == [0.5]  # of white pixels, of which it expects more
  rim = max(size) // 16  # pixels that a pixel of the network covers, and linear interpolation
  wrong = answer["masks"][0] != (image > 0)
  near = block(size, *(c - rim for c in corners[:2]), *(c + rim for c in corners[2:]))
  near &= ~block(size, *(c + rim for c in corners[:2]), *(c - rim for c in corners[2:]))
  assert answer["masks"].shape == (1, *size) and not (wrong & ~near).any()
  point = size[1] // 3, size[0] // 5
  (answer,) = cnnjax.predict(model, variables, [image], points=[point])
  rows, columns = np.nonzero(answer["masks"][0])
  assert (columns.mean(), rows.mean()) == pytest.approx(point, abs=max(size) / 64)
  assert len(rows) == pytest.approx(np.pi * 16 * np.divide(size, embedding.extent).prod(), rel=0.15)


def test_an_image_is_encoded_once_for_any_number_of_prompts():
  """Three are not padded to four with anything that is seen."""
  model, variables = net(SQUARE)
  image = np.random.default_rng(0).integers(0, 256, (80, 70, 3), np.uint8)
  embedding = embed(model, variables, image)
  boxes = [[5, 6, 30, 40], [0, 0, 70, 80], [50, 10, 69, 20]]
  whole = masks(model, variables, embedding, prompts(embedding.size, boxes))
  assert whole["masks"].shape == (3, 80, 70) and whole["iou"].shape == (3,)
  for n, box in enumerate(boxes):
    (answer,) = cnnjax.predict(model, variables, [image], boxes=[box])
    np.testing.assert_array_equal(answer["masks"][0], whole["masks"][n])
  (answer,) = cnnjax.predict(model, variables, [image])
  np.testing.assert_array_equal(answer["masks"][0], whole["masks"][1])  # the whole is the box


def test_prompts_are_of_the_form_that_networks_take():
  points = [(3, 4), (40, 30, 0)]
  found = prompts((40, 50), [1, 2, 30, 20], points)
  assert found["boxes"].shape == (1, 4) and found["points"].tolist() == [[[3, 4], [40, 30]]]
  assert found["point_labels"].tolist() == [[1, 0]]
  model = cnnjax.create_model("medsam_tiny")

  def run(key, prompts):
    image = jnp.zeros((1, 128, 128, 3))
    return model.init_with_output(key, {"image": image, **prompts}, train=False)[0]["iou"]

  for given, count in (
    (([1, 2, 30, 20], points), 1),
    ((None, points), 1),
    (([[1, 2, 3, 4]] * 3,), 3),
  ):
    asked = prompts((40, 50), *given)
    assert jax.eval_shape(run, jax.random.key(0), asked).shape == (count, 1)


@pytest.mark.parametrize(
  "given, sentence",
  [
    (
      dict(boxes=[0, 0, 51, 30]),
      "box .0, 0, 51, 30. does not lie within the image, which has 50x40",
    ),
    (dict(boxes=[-1, 0, 5, 30]), "box .-1, 0, 5, 30. does not lie within"),
    (dict(boxes=[20, 5, 20, 9]), "box .20, 5, 20, 9. has no area; expected"),
    (dict(boxes=[[1, 1, 9, 9], [5, 9, 8, 3]]), "box .5, 9, 8, 3. has no area"),
    (dict(boxes=[1, 2, 3]), r"a box must be \(x0, y0, x1, y1\), in pixels of the image; found \[1"),
    (dict(boxes=[[1, 2, 3, "a"]]), "a box must be"),
    (dict(boxes=[1, 2, 3, np.nan]), "a box must be"),
    (dict(boxes=7), "a box must be"),
    (dict(points=[(50, 3)]), "point .50, 3. does not lie within the image, which has 50x40 pixels"),
    (dict(points=[(3, 4, 2)]), "point .3, 4, 2.: its label must be 1, of the object, or 0"),
    (dict(points=[(3,)]), r"a point must be \(x, y\) or \(x, y, label\)"),
    (dict(boxes=[[1, 1, 9, 9]] * 2, points=[(3, 4)]), "2 boxes and 1 points are prompts for 2"),
  ],
)
def test_what_is_no_prompt_is_a_user_error(given, sentence):
  with pytest.raises(UserError, match=sentence):
    cnnjax.predict(*net(SQUARE), [np.zeros((40, 50))], **{k: [v] for k, v in given.items()})


def test_prompts_where_there_should_be_none():
  images = np.zeros((2, 40, 50))
  with pytest.raises(UserError, match="boxes must have an entry for each image; found 1 in all"):
    cnnjax.predict(*net(SQUARE), images, boxes=[[1, 1, 9, 9]])
  model = cnnjax.create_model("lenet5")
  with pytest.raises(UserError, match="boxes and points are prompts, but the task classification"):
    cnnjax.predict(model, {}, images, points=[(1, 2)] * 2)
