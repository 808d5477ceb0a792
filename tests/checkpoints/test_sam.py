"""Segment Anything against its authors' package and transformers', by files in both namings."""

from functools import partial

import jax
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install .[parity]")
pytestmark = pytest.mark.parity
pytest.importorskip("experiments.timing.reference", reason="it needs the extra parity")

import cnnjax  # noqa: E402
from cnnjax.checkpoints import export, files  # noqa: E402
from cnnjax.checkpoints.transfer import to_others  # noqa: E402
from cnnjax.data.frame import frames  # noqa: E402
from cnnjax.models.segmentation.sam import AT_1024, at_image  # noqa: E402
from cnnjax.models.weights import WEIGHTS  # noqa: E402
from cnnjax.ops.preprocess import Preprocessing, normalize  # noqa: E402

SIDE, PATCH, C = 64, 8, 32
SMALL = dict(width=48, depth=2, heads=4, stages=1, window=3, stride=PATCH, features=C, hidden=64)
SMALL |= dict(preprocessing=Preprocessing(resize=(SIDE, SIDE)))
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(2, SIDE, SIDE, 3)).astype(np.float32)
BOXES = dict(boxes=RNG.uniform(0, SIDE, (2, 4)).astype(np.float32))
POINTS = dict(
  points=RNG.uniform(0, SIDE, (2, 3, 2)).astype(np.float32),
  point_labels=np.array([[1, 0, 1], [1, 1, 0]]),
)
NOTHING = dict(boxes=np.full((2, 4), np.nan, np.float32), points=np.zeros((2, 3, 2), np.float32))
NOTHING |= dict(point_labels=np.full((2, 3), -1))
MASKS = dict(masks=RNG.normal(size=(2, 32, 32)).astype(np.float32))


def shaken(net):
  """Gives a network random weights with which it sees its images and its prompts."""
  torch.manual_seed(0)
  for key, value in net.named_parameters():
    torch.nn.init.normal_(value, "norm" in key and key.endswith("weight"), 0.3)
  return net.eval()


def first(x):
  return torch.tensor(np.moveaxis(x, -1, 1).copy())


def last(x):
  return np.moveaxis(x.numpy(), 1, -1)


class Authors:
  """The package segment_anything."""

  def __init__(self):
    package = pytest.importorskip(
      "segment_anything.modeling", reason="pip install segment-anything, the authors' package"
    )
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    sizes = dict(img_size=SIDE, patch_size=PATCH, embed_dim=48, depth=2, num_heads=4, out_chans=C)
    where = dict(use_rel_pos=True, window_size=3, global_attn_indexes=(1,))
    encoder = package.ImageEncoderViT(**sizes, **where, norm_layer=norm)
    prompts = package.PromptEncoder(C, (SIDE // PATCH,) * 2, (SIDE, SIDE), 16)
    transformer = package.TwoWayTransformer(2, C, 8, 64)
    decoder = package.MaskDecoder(transformer_dim=C, transformer=transformer, iou_head_hidden_dim=C)
    self.net = shaken(package.Sam(encoder, prompts, decoder))

  def save(self, folder):
    """Writes a checkpoint of a training, and returns its path."""
    state = {"module." + key: value for key, value in self.net.state_dict().items()}
    torch.save({"model": state, "epoch": 3}, folder / "medsam_vit_b_best.pth")
    return folder / "medsam_vit_b_best.pth"

  def encode(self):
    return last(self.net.image_encoder(first(IMAGES)))

  def decode(self, embedding, multimask, prompts):
    found, encoder = [], self.net.prompt_encoder
    for n in range(2):
      one = {key: torch.tensor(value[n : n + 1]) for key, value in prompts.items()}
      points = (one["points"], one["point_labels"]) if "points" in one else None
      masks = one["masks"][:, None] if "masks" in one else None
      given = first(embedding[n : n + 1]), encoder.get_dense_pe()
      encoded = encoder(points, one.get("boxes"), masks)
      logits, iou = self.net.mask_decoder(*given, *encoded, multimask)
      found.append((last(logits)[0], iou.numpy()[0]))
    return map(np.stack, zip(*found))


class Transformers:
  """The package transformers."""

  def __init__(self):
    package = pytest.importorskip("transformers", reason="pip install .[parity]")
    vision = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, output_channels=C)
    vision |= dict(image_size=SIDE, patch_size=PATCH, window_size=3, global_attn_indexes=[1])
    prompts = dict(hidden_size=C, image_size=SIDE, image_embedding_size=SIDE // PATCH)
    decoder = dict(layer_norm_eps=1e-5)  # as the authors' norms have
    config = package.SamConfig(
      vision_config=dict(**vision, num_pos_feats=C // 2, mlp_dim=4 * 48),
      prompt_encoder_config=dict(**prompts, patch_size=PATCH),
      mask_decoder_config=dict(**decoder, hidden_size=C, mlp_dim=64, iou_head_hidden_dim=C),
    )
    self.net = shaken(package.SamModel(config))

  def save(self, folder):
    self.net.save_pretrained(folder)  # a model.safetensors beside a config.json
    return folder

  def encode(self):
    return last(self.net.get_image_embeddings(first(IMAGES)))

  def decode(self, embedding, multimask, prompts):
    names = {"boxes": "input_boxes", "points": "input_points", "point_labels": "input_labels"}
    given = {names[key]: torch.tensor(value)[:, None] for key, value in prompts.items()}
    with torch.no_grad():
      found = self.net(image_embeddings=first(embedding), multimask_output=multimask, **given)
    return last(found.pred_masks[:, 0]), found.iou_scores[:, 0].numpy()


@pytest.mark.parametrize("theirs", [Authors, Transformers])
@torch.no_grad()
def test_embeddings_masks_and_ious(tmp_path, theirs):
  """With boxes, with points, with both; by the names in their files."""
  theirs = theirs()
  variables = cnnjax.load_pretrained("sam_vit_b", theirs.save(tmp_path), **SMALL)
  model = cnnjax.create_model("sam_vit_b", **SMALL)
  embedding = theirs.encode()
  found = jax.jit(partial(model.apply, train=False, method="encode"))(variables, IMAGES)
  assert np.abs(embedding[0] - embedding[1]).max() > 0.1
  np.testing.assert_allclose(found, embedding, atol=2e-5)
  cases = [BOXES, POINTS, BOXES | POINTS]
  cases += [BOXES | MASKS, {}] if isinstance(theirs, Authors) else []
  whole, single = model, model.clone(multimask=False)

  @jax.jit
  def decode(*given):
    return [one.apply(*given, method="decode") for one in (single, whole)]

  for prompts in cases:
    answers = decode(variables, embedding, NOTHING | prompts)  # of one shape, to compile once
    for multimask, found in enumerate(answers):
      logits, iou = theirs.decode(embedding, bool(multimask), prompts)
      assert np.ptp(logits) > 0.1 and np.ptp(iou) > 0.01
      np.testing.assert_allclose(found["logits"], logits, atol=1e-4)
      np.testing.assert_allclose(found["iou"], iou, atol=1e-4)


@pytest.mark.parametrize("theirs", [Authors, Transformers])
def test_files_of_both_names_there_and_back(tmp_path, theirs):
  theirs = theirs()
  state = theirs.net.state_dict()
  torch.save(state, tmp_path / "sam.pth")  # transformers' holds the frequencies twice
  variables = cnnjax.load_pretrained("medsam_vit_b", tmp_path / "sam.pth", **SMALL)
  model = cnnjax.create_model("medsam_vit_b", **SMALL)
  naming = "segment_anything" if isinstance(theirs, Authors) else "transformers"
  export(model, variables, tmp_path / "back.safetensors", naming)
  back = files.read(tmp_path / "back.safetensors")
  for key, value in back.items():
    np.testing.assert_array_equal(value, state[key].numpy(), err_msg=key)
  assert set(state) - set(back) <= {"prompt_encoder.shared_embedding.positional_embedding"}
  other = state | {"prompt_encoder.more": torch.ones(2, 2)}
  torch.save(other, tmp_path / "more.pth")
  with pytest.raises(cnnjax.errors.UserError, match=r"not wanted 1 \(prompt_encoder.more\)"):
    cnnjax.load_pretrained("medsam_vit_b", tmp_path / "more.pth", **SMALL)


def test_published_files_have_these_names_and_sizes():
  """The whole of ViT-B, by the names of both packages."""
  model = cnnjax.create_model("sam_vit_b", weights="SA_1B")
  package = pytest.importorskip("segment_anything", reason="pip install segment-anything")
  with torch.device("meta"):
    net = package.build_sam_vit_b()
  x = jax.ShapeDtypeStruct((1, 1024, 1024, 3), np.float32)
  shapes = jax.eval_shape(partial(model.init, train=False), jax.random.key(0), x)
  tensors = to_others(
    model, jax.tree.map(lambda s: np.broadcast_to(np.float32(0), s.shape), shapes)
  )
  assert {k: v.shape for k, v in tensors.items()} == {
    k: tuple(v.shape) for k, v in net.state_dict().items()
  }


@torch.no_grad()
@pytest.mark.parametrize("size", [(150, 200), (96, 72), (90, 60)])
def test_images_are_prepared_and_masks_enlarged_as_the_authors_do(size):
  net = Authors().net
  from segment_anything.utils.transforms import ResizeLongestSide

  image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
  small = ResizeLongestSide(SIDE).apply_image(image)
  want = net.preprocess(first(small[None].astype(np.float32)))
  to = WEIGHTS["sam_vit_b"]["SA_1B"].preprocessing
  assert to == AT_1024 and (to.longest, to.multiple) == (1024, 1024)
  to = Preprocessing(resize=SIDE, longest=SIDE, multiple=SIDE, mean=to.mean, std=to.std)
  (frame,) = frames([image], to, 1)
  assert tuple(frame.extent[0]) == small.shape[:2]
  np.testing.assert_allclose(normalize(frame.image, to), last(want), atol=1e-5)
  logits = np.random.default_rng(2).normal(size=(2, 32, 32, 3)).astype(np.float32)
  want = net.postprocess_masks(first(logits), small.shape[:2], size)
  found = at_image(logits, (SIDE, SIDE), small.shape[:2], size)
  np.testing.assert_allclose(found, last(want), atol=1e-5)
