"""Segment Anything on small sizes: its halves, its prompts, its counts."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cnnjax
from cnnjax.checkpoints.transfer import input_of, shapes
from cnnjax.errors import UserError
from cnnjax.layers import Attention, BatchNorm, Conv, LayerNorm, MapAttention
from cnnjax.models.segmentation.sam import SAM
from cnnjax.models.segmentation.vitdet import _joined, _windows
from cnnjax.models.zoo import ZOO
from cnnjax.ops.preprocess import Preprocessing

SMALL = dict(width=8, depth=2, heads=2, stages=1, window=3, stride=4, features=16, hidden=8)
SIZE = (32, 24)  # 8x6 patches


def random_variables(model, x):
  """Returns variables of which no two leaves are alike, without compiling an init."""
  made = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
  rng = np.random.default_rng(1)
  return jax.tree.map(lambda s: rng.normal(0, 0.6, s.shape).astype(np.float32), made)


@pytest.fixture(scope="module")
def sam():
  """Returns a network, variables, and two images."""
  model = cnnjax.create_model("sam_vit_b", **SMALL)
  x = np.random.default_rng(0).normal(size=(2, *SIZE, 3)).astype(np.float32)
  return model, random_variables(model, x), x


@pytest.fixture(scope="module")
def decode(sam):
  """Returns the function from prompts of the two images to logits and IoUs, compiled."""
  model, variables, x = sam
  embedding = jax.jit(partial(model.apply, train=False, method="encode"))(variables, x)
  compiled = jax.jit(partial(model.apply, method="decode"))
  return lambda using=variables, **prompts: compiled(using, embedding, prompts)


def close(one, other):
  """Whether logits and IoUs are the same, and not because nothing is seen."""
  for key in ("logits", "iou"):
    assert np.ptp(one[key]) > 0.05
    np.testing.assert_allclose(one[key], other[key], atol=1e-5 * np.abs(one[key]).max())


def apart(one, other):
  return np.abs(one["logits"] - other["logits"]).max() > 1e-2


BOX = np.array([[3, 4, 20, 25], [1, 2, 9, 30]], np.float32)
POINTS = dict(
  points=np.array([[[5, 6], [20, 3]], [[9, 9], [2, 28]]], np.float32),
  point_labels=np.array([[1, 0], [1, 1]]),
)


@pytest.mark.parametrize("name, fewer", [("sam_vit_b", dict(depth=4)), ("medsam_tiny", {})])
def test_a_promptable_network_keeps_its_contract(name, fewer):
  model = cnnjax.create_model(name, dtype="bfloat16", **fewer)
  image = jax.ShapeDtypeStruct((2, *ZOO[name].input), jnp.float32)
  x = {"image": image, "boxes": jax.ShapeDtypeStruct((4, 4), jnp.float32)}

  def run(x, key):
    outputs, variables = model.init_with_output(key, x, train=False)
    train, _ = model.apply(variables, x, train=True, mutable=["batch_stats"])
    return outputs, variables, train, model.init(key, x["image"], train=False)

  outputs, variables, train, by_image = jax.eval_shape(run, x, jax.random.key(0))
  side, masks = image.shape[1] * 4 // model.stride, 3 if name == "sam_vit_b" else 1
  assert outputs["logits"].shape == (4, side, side, masks) and outputs["iou"].shape == (4, masks)
  assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {jnp.dtype("float32")}
  assert train == outputs and by_image == variables
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
  assert "trunk" in variables["params"] and model.task == ZOO[name].task == "promptable"
  drawn = variables["constants"]["prompt_encoder"]["fourier"]["embedding"]
  assert drawn.shape == (2, model.features // 2)  # and is no parameter


def test_a_summary_counts_every_parameter_and_the_products_of_attention():
  rows = {row.layer: row for row in cnnjax.summarize("sam_vit_b").rows}
  assert "outside of layers" not in rows
  assert rows["trunk/block3/attention/attend"].multiply_adds == 2 * 4096**2 * 768
  assert rows["trunk/block1/attention/attend"].multiply_adds == 25 * 2 * 196**2 * 768
  assert rows["trunk/block3/attention/height"].multiply_adds == 4096 * 64 * 768


def test_the_halves_make_the_whole(sam, decode):
  """For one mask as for three."""
  model, variables, x = sam

  @jax.jit
  def run(variables, x):
    both = model, model.clone(multimask=False)
    return [one.apply(variables, {"image": x, "boxes": BOX}, train=False) for one in both]

  three, one = run(variables, x)
  close(three, decode(boxes=BOX))
  assert three["logits"].shape == (2, 32, 24, 3) and one["logits"].shape == (2, 32, 24, 1)
  assert all(apart(one, {"logits": three["logits"][..., n : n + 1]}) for n in range(3))


def test_several_prompts_of_an_image_are_as_each_alone(decode):
  other = BOX + 1
  both = decode(boxes=np.stack([BOX, other], 1).reshape(4, 4))
  for n, boxes in enumerate((BOX, other)):
    close(decode(boxes=boxes), {key: value[n::2] for key, value in both.items()})
  assert apart(decode(boxes=BOX), decode(boxes=other))


def test_what_is_not_there_changes_nothing(sam, decode):
  """Of a box and of points, whatever stands in their places."""
  none, box, points = decode(), decode(boxes=BOX), decode(**POINTS)
  gone, places = np.full_like(BOX, np.nan), np.full((2, 5, 2), np.nan, np.float32)
  places[:, 1:3] = POINTS["points"][:, ::-1]
  labels = np.pad(POINTS["point_labels"][:, ::-1], [(0, 0), (1, 2)], constant_values=-1)

  none_of_them = 0 * labels - 1

  def among(boxes=gone, valid=(True, True), labels=none_of_them, **using):
    prompts = dict(boxes=boxes, valid=np.array(valid), points=places, point_labels=labels)
    return decode(**prompts, **using)

  def row(found, n):
    return {key: value[n : n + 1] for key, value in found.items()}

  close(none, among())
  close(none, among(BOX, (False, False)))
  close(box, among(BOX))
  close(points, among(labels=labels))
  mixed = among(np.stack([gone[0], BOX[1]]), labels=np.stack([labels[0], none_of_them[1]]))
  close(row(mixed, 0), row(points, 0))
  close(row(mixed, 1), row(box, 1))
  both, turned = among(BOX, labels=labels), among(labels=np.where(labels < 0, -1, 1 - labels))
  other = jax.tree_util.tree_map_with_path(  # the token of no point stands beside points alone
    lambda path, leaf: leaf + any(key.key == "no_point" for key in path), sam[1]
  )
  close(both, among(BOX, labels=labels, using=other))
  assert apart(points, among(labels=labels, using=other))
  masks = np.random.default_rng(2).normal(size=(2, 32, 24)).astype(np.float32)
  found = none, box, points, both, turned, decode(boxes=BOX, masks=masks)
  assert all(apart(a, b) for n, a in enumerate(found) for b in found[:n])


class Strided(nn.Module):
  """A classifier whose trunk has maps of strides 4 and 8."""

  @nn.nowrap
  def make_trunk(self):
    return Strided(name="trunk")

  @nn.compact
  def __call__(self, x, *, train):
    x = BatchNorm(name="norm")(Conv(4, 4, 4, name="conv1")(x), train=train)
    return {"first": x, "second": Conv(6, 2, 2, name="conv2")(x)}


def test_a_step_of_training_reaches_every_layer():
  """A box that is not there leaves the gradients finite."""
  model = SAM(stride=8, taken=(4, 8), features=16, hidden=8, multimask=False)
  model = model.clone(classifier=Strided())
  x = np.random.default_rng(0).normal(size=(2, *SIZE, 3)).astype(np.float32)
  x = {"image": x, "boxes": np.stack([BOX[0], np.full(4, np.nan, np.float32)]), **POINTS}

  variables = random_variables(model, x)
  params, others = variables.pop("params"), variables

  @jax.jit
  @partial(jax.grad, has_aux=True)
  def gradient(params, others):
    variables = {"params": params, **others}
    outputs, changed = model.apply(variables, x, train=True, mutable=list(others))
    return sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(outputs)), changed

  gradients, changed = gradient(params, others)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
  still = {
    "/".join(key.key for key in path)
    for path, leaf in jax.tree.leaves_with_path(gradients)
    if not np.abs(leaf).max() > 0
  }
  unused = [f"mask_decoder/weights{n}/" for n in (1, 2, 3)]  # the other masks
  unused += ["prompt_encoder/masks/"]
  # A bias that is the same for all keys does not change what a query reads.
  assert all(p.startswith(tuple(unused)) or p.endswith("key/bias") for p in still), still
  assert changed.keys() == others.keys() == {"batch_stats", "constants"}
  same = partial(jax.tree.map, np.array_equal)
  assert jax.tree.all(same(changed["constants"], others["constants"]))
  assert not jax.tree.all(same(changed["batch_stats"], others["batch_stats"]))


def test_attention_reads_what_the_definition_says():
  rng = np.random.default_rng(0)
  queries, keys, values = (rng.normal(size=(2, n, 8)).astype(np.float32) for n in (3, 5, 5))
  real = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]], bool)
  layer = Attention(heads=2, width=4)
  params = layer.init(jax.random.key(0), queries, keys, values)["params"]
  found = layer.apply({"params": params}, queries, keys, values, real)
  q, k, v = (
    x @ params[name]["kernel"] + params[name]["bias"]
    for name, x in (("query", queries), ("key", keys), ("value", values))
  )
  read = np.zeros((2, 3, 4))
  for b, n, head in np.ndindex(2, 3, 2):
    part = slice(2 * head, 2 * head + 2)
    weights = np.exp(k[b, real[b], part] @ q[b, n, part] / math.sqrt(2))
    read[b, n, part] = weights / weights.sum() @ v[b, real[b], part]
  want = read @ params["out"]["kernel"] + params["out"]["bias"]
  np.testing.assert_allclose(found, want, atol=1e-5)


def test_attention_on_a_map_knows_how_far_apart_pixels_are():
  """Against the definition, pixel by pixel (arXiv:2112.01526, equation 4)."""
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, 3, 4, 6)).astype(np.float32)
  layer = MapAttention(heads=2)
  made = jax.eval_shape(layer.init, jax.random.key(0), x)
  params = jax.tree.map(lambda s: rng.normal(size=s.shape), made)["params"]
  q, k, v = np.split(x @ params["qkv"]["kernel"] + params["qkv"]["bias"], 3, -1)
  read = np.zeros((3, 4, 6))
  for i, j, head in np.ndindex(3, 4, 2):
    part = slice(3 * head, 3 * head + 3)
    own, scores = q[0, i, j, part], np.zeros((3, 4))
    for m, n in np.ndindex(3, 4):
      apart = params["height"]["embedding"][i - m + 2] + params["width"]["embedding"][j - n + 3]
      scores[m, n] = own @ (k[0, m, n, part] / math.sqrt(3) + apart)
    weights = np.exp(scores - scores.max())
    read[i, j, part] = np.einsum("mn,mnd->d", weights / weights.sum(), v[0, ..., part])
  want = read @ params["out"]["kernel"] + params["out"]["bias"]
  found = layer.apply({"params": jax.tree.map(np.float32, params)}, x)
  np.testing.assert_allclose(found[0], want, atol=1e-4)


def test_layer_norm_and_windows():
  x = np.random.default_rng(0).normal(3, 2, size=(2, 7, 5, 8)).astype(np.float32)
  params = {"scale": np.full(8, 2.0), "bias": np.ones(8)}
  y = np.asarray(LayerNorm(1e-6).apply({"params": params}, x)) - 1
  np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)
  np.testing.assert_allclose(y.std(-1), 2, atol=1e-5)
  cut = _windows(x, 3)
  assert cut.shape == (2 * 3 * 2, 3, 3, 8)
  np.testing.assert_array_equal(cut[1, :, :2], x[0, :3, 3:])  # the second of the first row
  np.testing.assert_array_equal(cut[1, :, 2], 0)
  np.testing.assert_array_equal(_joined(cut, 3, x.shape), x)


@pytest.mark.parametrize(
  "prompts, sentence",
  [
    (dict(box=BOX), "unknown kind of prompt 'box'; did you mean boxes"),
    (dict(points=POINTS["points"]), "prompts of points need point_labels too"),
    (dict(valid=np.ones(2)), "prompts of valid need boxes too"),
    (dict(boxes=BOX[:, :3]), r"boxes must have the shape \(2, 4\), found \(2, 3\)"),
    (POINTS | dict(point_labels=np.ones((2, 3))), r"shape \(2, 2\), found \(2, 3\)"),
    (dict(boxes=BOX[[0, 1, 0]]), "3 prompts cannot be shared evenly by 2 images"),
    (dict(boxes=BOX, masks=np.zeros((2, 8, 6))), r"masks must have the shape \(2, 32, 24\)"),
  ],
)  # fmt: skip
def test_prompts_that_do_not_fit_are_a_user_error(decode, prompts, sentence):
  with pytest.raises(UserError, match=sentence):
    decode(**prompts)


@pytest.mark.parametrize(
  "arguments, size, sentence",
  [
    ({}, (32, 30), "sides that are multiples of 4, found 32x30"),
    ({}, (32, 32), "these variables are for images of 32x24 pixels, found 32x32"),
    (dict(heads=3), SIZE, "8 channels cannot be split among 3 heads"),
    (dict(depth=3, stages=2), SIZE, "3 blocks cannot be split into 2 equal stages"),
  ],
)
def test_what_it_cannot_take_is_a_user_error(sam, arguments, size, sentence):
  _, variables, _ = sam
  model = cnnjax.create_model("sam_vit_b", **SMALL | arguments)
  with pytest.raises(UserError, match=sentence):
    model.apply(variables, np.zeros((1, *size, 3), np.float32), train=False)


def test_an_image_size_of_ones_own():
  """The preprocessing's, where the variables are made."""
  own = Preprocessing(resize=(16, 8))
  model = cnnjax.create_model("medsam_vit_b", **SMALL, preprocessing=own)
  params = shapes(model, input_of("medsam_vit_b", model))
  assert params["params", "trunk", "position", "embedding"].shape == (1, 4, 2, 8)
