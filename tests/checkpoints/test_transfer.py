"""Weights from elsewhere, on small files that we make; parity tests hold them to PyTorch's."""

import json
import struct
import warnings
from dataclasses import replace

import jax
import numpy as np
import pytest

import cnnjax
from cnnjax.checkpoints import export, files
from cnnjax.checkpoints.port import namings, translate
from cnnjax.errors import UserError
from cnnjax.models.weights import WEIGHTS, labels
from cnnjax.models.zoo import ZOO

SMALL = dict(width=0.1, num_classes=5)  # of MobileNetV2: 90 thousand parameters


def random_variables(model, input=(32, 32, 3)):
  """Returns variables of which no two leaves are alike, without compiling an init."""
  x = jax.ShapeDtypeStruct((1, *input), np.float32)
  shapes = jax.eval_shape(lambda x: model.init(jax.random.key(0), x, train=False), x)
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda s: rng.normal(size=s.shape).astype(np.float32), shapes)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
  """Returns a MobileNetV2, its variables, and a file of them as torchvision names them."""
  model = cnnjax.create_model("mobilenet_v2", **SMALL)
  variables = random_variables(model)
  path = tmp_path_factory.mktemp("weights") / "small.safetensors"
  export(model, variables, path)
  return model, variables, path


def same(ours, theirs):
  return jax.tree.all(jax.tree.map(np.array_equal, ours, theirs))


def test_there_and_back_by_each_ones_names(saved, tmp_path):
  model, variables, path = saved
  assert same(cnnjax.load_pretrained("mobilenet_v2", path, **SMALL), variables)
  export(model, variables, tmp_path / "timm.safetensors", naming="timm")
  assert set(files.read(tmp_path / "timm.safetensors")) != set(files.read(path))
  loaded = cnnjax.load_pretrained("mobilenet_v2", tmp_path / "timm.safetensors", **SMALL)
  assert same(loaded, variables)
  assert not list(tmp_path.glob("*.tmp"))


def test_another_number_of_classes_leaves_the_head_fresh(saved):
  _, variables, path = saved
  with pytest.warns(UserWarning, match="tells 5 classes apart and the model 3: head/fc left fresh"):
    loaded = cnnjax.load_pretrained("mobilenet_v2", path, width=0.1, num_classes=3)
  assert same(loaded["params"]["trunk"], variables["params"]["trunk"])
  assert same(loaded["batch_stats"], variables["batch_stats"])
  kernel = loaded["params"]["head"]["fc"]["kernel"]
  assert kernel.shape == (1280, 3) and np.std(kernel) > 0
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    again = cnnjax.load_pretrained("mobilenet_v2", path, width=0.1, num_classes=3, seed=1)
  assert not np.array_equal(again["params"]["head"]["fc"]["kernel"], kernel)


def change(path, to, **tensors):
  """Writes the tensors of a file with some changed, added, or left out (None)."""
  from safetensors.numpy import load_file, save_file

  changed = {**load_file(path), **tensors}
  save_file({k: v for k, v in changed.items() if v is not None}, to)
  return to


@pytest.mark.parametrize(
  "tensors, sentence",
  [
    ({"features.0.0.weight": None}, r"missing 1 \(features.0.0.weight\), not wanted 0"),
    ({"more.bias": np.ones(3, np.float32)}, r"missing 0 \(none\), not wanted 1 \(more.bias\)"),
    (
      {"features.0.1.bias": np.ones(3, np.float32)},
      r"params/trunk/stem/norm/bias \(3,\), expected \(8,\)",
    ),
  ],
)
def test_tensors_that_do_not_fit_are_listed(saved, tmp_path, tensors, sentence):
  path = change(saved[2], tmp_path / "changed.safetensors", **tensors)
  with pytest.raises(
    UserError, match=f"changed.safetensors does not fit mobilenet_v2: .*{sentence}"
  ):
    cnnjax.load_pretrained("mobilenet_v2", path, **SMALL)


def test_weights_of_another_model(saved):
  with pytest.raises(UserError, match=r"does not fit resnet18: missing \d+ \(bn1.bias"):
    cnnjax.load_pretrained("resnet18", saved[2])
  with pytest.raises(UserError, match="plain20_cifar has no names in other libraries"):
    cnnjax.load_pretrained("plain20_cifar", saved[2])
  with pytest.raises(UserError, match="CifarResNet has no names of others"):
    export(cnnjax.create_model("plain20_cifar"), {}, "x.safetensors")


@pytest.mark.parametrize("lie", ["longer", "cut", "nonsense", "header"])
def test_a_safetensors_file_that_lies_is_refused(saved, tmp_path, lie):
  whole = saved[2].read_bytes()
  (size,) = struct.unpack("<Q", whole[:8])
  header = json.loads(whole[8 : 8 + size])
  if lie == "longer":  # a tensor that claims more bytes than there are
    header["features.0.0.weight"]["data_offsets"][1] += 10**9
    text = json.dumps(header).encode()
    content = struct.pack("<Q", len(text)) + text + whole[8 + size :]
  elif lie == "header":  # a header that claims more bytes than the file has
    content = struct.pack("<Q", 10**12) + whole[8:]
  else:
    content = whole[: len(whole) // 2] if lie == "cut" else b"no tensors at all"
  path = tmp_path / "lie.safetensors"
  path.write_bytes(content)
  with pytest.raises(UserError, match="lie.safetensors is no sound safetensors file"):
    cnnjax.load_pretrained("mobilenet_v2", path, **SMALL)


def test_files_that_are_none(tmp_path):
  (tmp_path / "weights.npz").touch()
  with pytest.raises(UserError, match="expected .safetensors, or a file of PyTorch's .*; it is em"):
    cnnjax.load_pretrained("resnet18", tmp_path / "weights.npz")
  (tmp_path / "page.pth").write_text("<!DOCTYPE html><html>404</html>")
  with pytest.raises(
    UserError, match="page.pth is no weights file: .*begins with b'<!DOCTYPE html"
  ):
    cnnjax.load_pretrained("resnet18", tmp_path / "page.pth")
  with pytest.raises(UserError, match="the folder holds no run and no model.safetensors"):
    cnnjax.load_pretrained("resnet18", tmp_path)
  (tmp_path / "config.json").write_text('{"architectures": ["ResNetForImageClassification"]}')
  with pytest.raises(UserError, match="config.json is no run's config, or is damaged"):
    cnnjax.load_pretrained("resnet18", tmp_path)
  with pytest.raises(UserError, match="neither a file nor a hub id"):
    cnnjax.load_pretrained("resnet18", tmp_path / "nowhere.safetensors")
  with pytest.raises(UserError, match="neither a file nor a hub id"):
    cnnjax.load_pretrained("resnet18", "weights/resnet18.pth")


def test_only_a_published_file_must_have_the_checksum_in_its_name(saved, tmp_path):
  for name in ("mobilenet_v2-20240115.pth", "mobilenet_v2-01234567.pth", "b0353104.pth"):
    (tmp_path / name).write_bytes(saved[2].read_bytes())
    assert same(cnnjax.load_pretrained("mobilenet_v2", tmp_path / name, **SMALL), saved[1])
  path = tmp_path / "mobilenet_v2-b0353104.pth"
  path.write_bytes(saved[2].read_bytes())
  with pytest.raises(UserError, match="is damaged: its SHA-256 is .*, expected b0353104"):
    cnnjax.load_pretrained("mobilenet_v2", path, **SMALL)


def test_a_hub_id_is_fetched_cached_and_checked(saved, tmp_path, monkeypatch):
  """The hub's cache as it lies on disk, a file named by its content; the network stands still."""
  import hashlib

  import huggingface_hub

  content = saved[2].read_bytes()
  blob = tmp_path / hashlib.sha256(content).hexdigest()
  blob.write_bytes(content)
  (tmp_path / "model.safetensors").symlink_to(blob)
  asked = []

  def download(repo, name):
    asked.append((repo, name))
    return str(tmp_path / name)

  monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
  loaded = cnnjax.load_pretrained("mobilenet_v2", "timm/mobilenetv2_100.ra_in1k", **SMALL)
  assert same(loaded, saved[1])
  assert asked == [("timm/mobilenetv2_100.ra_in1k", "model.safetensors")]
  blob.write_bytes(content[:-1] + b"x")
  with pytest.raises(UserError, match="is damaged"):
    cnnjax.load_pretrained("mobilenet_v2", "timm/mobilenetv2_100.ra_in1k", **SMALL)

  def unreachable(repo, name):
    raise OSError("no route to host")

  monkeypatch.setattr(huggingface_hub, "hf_hub_download", unreachable)
  with pytest.raises(UserError, match="the hub gave none .OSError: no route to host"):
    cnnjax.load_pretrained("mobilenet_v2", "timm/mobilenetv2_100.ra_in1k", **SMALL)


def test_a_run_of_ours_is_a_source(tmp_path):
  from configs.classification import lenet5_digits
  from experiments.train import train

  config = lenet5_digits.get_config("quick")
  config.data.arguments, config.train.epochs, config.train.ema = {"examples": 120}, 0.5, 0.9
  train(config, tmp_path / "run")
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    grey = cnnjax.restore(tmp_path / "run").model.preprocessing
    loaded = cnnjax.load_pretrained("lenet5", tmp_path / "run", preprocessing=grey)
  assert same(loaded, cnnjax.restore(tmp_path / "run").variables)
  with pytest.raises(UserError, match="holds a run of lenet5, not of resnet18"):
    cnnjax.load_pretrained("resnet18", tmp_path / "run")
  detector = dict(trunk="lenet5", layer="conv2", hidden=8, num_classes=3)
  detector |= dict(preprocessing=replace(grey, resize=(48, 64), crop=None))
  taken = cnnjax.load_pretrained("sppnet", tmp_path / "run", trunk_only=True, **detector)
  assert same(taken["params"]["trunk"], loaded["params"]["trunk"])
  with pytest.raises(UserError, match="does not fit resnet18: .*trunk/.* missing"):
    cnnjax.load_pretrained("resnet18", tmp_path / "run", trunk_only=True)


def test_every_layer_of_every_ported_model_has_one_name():
  """And no two layers the same."""
  for name in (
    *("alexnet", "vgg11_bn", "googlenet", "seresnet18", "densenet121", "mobilenet_v1"),
    *("resnet20_cifar", "resnet20_cifar_b"),
  ):
    model = cnnjax.create_model(name)
    known = namings(model)
    x = jax.ShapeDtypeStruct((1, *ZOO[name].input), np.float32)
    shapes = jax.eval_shape(lambda x, m=model: m.init(jax.random.key(0), x, train=False), x)
    layers = {
      "/".join(key.key for key in path[1:-1]) for path, _ in jax.tree.leaves_with_path(shapes)
    }
    for names in known.values():
      theirs = [translate(layer, names) for layer in layers]
      assert None not in theirs and len(set(theirs)) == len(layers), name


@pytest.mark.parametrize(
  ("name", "source", "more", "sentence"),
  [
    (object(), "x.pth", {}, "a model is asked for by its name, such as 'lenet5'; found <object"),
    (np.array(["lenet5"]), "x.pth", {}, "by its name, such as 'lenet5'; found array.* of type nda"),
    ("lenet5", {"fc.weight": 1}, {}, "from a file, a run folder or a hub id.*of type dict"),
    ("lenet5", np.array(["a", "b"]), {}, "from a file, a run folder or a hub id.*of type ndarray"),
    ("lenet5", "", {}, "from a file, a run folder or a hub id"),
    ("lenet5", "x.pth", {"seed": "one"}, "seed must be an integer, found 'one'"),
    ("lenet5", "x.pth", {"classes": ("a", "b")}, "name the 10 classes of the model"),
    ("lenet5", "x.pth", {"classes": "abcdefghij"}, "name the 10 classes of the model"),
    ("lenet5", "x.pth", {"num_classes": "ten"}, "num_classes must be int, found 'ten' of type str"),
    ("lenet5", "x.pth", {"num_classes": 0}, "num_classes must be at least 1, found 0"),
    ("lenet5", "x.pth", {"dtype": np.array(["a"])}, "dtype must be one of float32, .* found array"),
    ("lenet5", "x.pth", {"preprocessing": "imagenet"}, "preprocessing must be a Preprocessing"),
    ("resnet18", "x.pth", {"weights": np.ones(3)}, "weights are named by a word or a path"),
    ("mobilenet_v2", "x.pth", {"width": "wide"}, "width must be float, found 'wide' of type str"),
    ("ssd", "x.pth", {"trunk": "resnet18", "trunk_arguments": "n"}, "must be fields by name"),
  ],
)
def test_other_kinds_of_things_are_answered_in_one_sentence(name, source, more, sentence):
  with pytest.raises(UserError, match=sentence):
    cnnjax.load_pretrained(name, source, **more)


def test_what_is_exported_must_be_the_models(saved, tmp_path):
  model, variables, _ = saved
  path = tmp_path / "x.safetensors"
  with pytest.raises(UserError, match=r"MobileNetV2: missing 0 \(none\), not wanted 1 \(text\)"):
    export(model, {**variables, "text": np.array(["a"])}, path)
  with pytest.raises(UserError, match=r"MobileNetV2: missing \d+ \(batch_stats/"):
    export(model, np.array(["a"]), path)
  words = jax.tree.map(lambda leaf: leaf.astype(str) if leaf.ndim == 1 else leaf, variables)
  with pytest.raises(UserError, match="hold no numbers at batch_stats/trunk/.*/mean, but array"):
    export(model, words, path)
  with pytest.raises(UserError, match="export writes to a path, found 5"):
    export(model, variables, 5)
  assert not path.exists()


def test_preprocessing_belongs_to_the_weights():
  """Two sets of one name differ; predict names the classes."""
  first = cnnjax.create_model("resnet50", weights="IMAGENET1K_V1")
  second = cnnjax.create_model("resnet50", weights="timm/resnet50.tv2_in1k")
  third = cnnjax.create_model("resnet50", weights="downloads/resnet50-11ad3fa6.pth")
  assert first.preprocessing.resize == 256 and second.preprocessing.resize == 232
  assert third == second and first != second
  google = cnnjax.create_model("googlenet", weights="IMAGENET1K_V1").preprocessing
  assert google.mean == google.std == (0.5, 0.5, 0.5)  # its transform_input
  with pytest.raises(UserError, match="unknown weights of resnet50 'IMAGENET1K_V3'; did you mean"):
    cnnjax.create_model("resnet50", weights="IMAGENET1K_V3")
  with pytest.raises(UserError, match="unknown weights of lenet5"):
    cnnjax.create_model("lenet5", weights="IMAGENET1K_V1")
  assert len(set(labels("imagenet"))) >= 998 and labels("imagenet")[0] == "tench"
  assert set(WEIGHTS) <= set(ZOO)


def test_predict_names_imagenets_classes():
  model = cnnjax.create_model("mobilenet_v2", weights="IMAGENET1K_V2", width=0.1)
  variables = random_variables(model)
  (answer,) = cnnjax.predict(model, variables, [np.zeros((300, 250, 3), np.uint8)])
  assert answer["class"] == labels("imagenet")[answer["label"]]


def test_a_detectors_trunk_from_its_classifiers_file(saved):
  _, variables, path = saved
  own = dict(trunk="mobilenet_v2", trunk_arguments={"width": 0.1}, num_classes=3)
  taken = cnnjax.load_pretrained("ssd", path, trunk_only=True, **own)
  assert same(taken["params"]["trunk"], variables["params"]["trunk"])
  assert same(taken["batch_stats"]["trunk"], variables["batch_stats"]["trunk"])
  with pytest.raises(UserError, match="does not fit ssd"):
    cnnjax.load_pretrained("ssd", path, trunk_only=True, trunk="resnet18")
