"""The table of a config's keys: the default, the bounds and the meaning of each.

A config file begins with `defaults()` and sets only the values that differ for its run.
`python -m experiments.keys` prints the table.
"""

from math import inf, isfinite
from typing import Any, NamedTuple

from cnnjax.errors import UserError, unknown


class Key(NamedTuple):
  """A key of a config.

  Attributes:
    default: value where a config sets none; its type is the type of the key.
    meaning: in one line.
    bounds: (low, high) of a number, at least `low` and below `high`; or the allowed words, which
      stand in place of a tuple where the default is one.
    only: the tasks, or the kinds of input, that have the key; () for all.
    parts: type of a tuple's elements; where it is int, one number may stand alone.
  """

  default: Any
  meaning: str
  bounds: tuple[float, float] | tuple[str, ...] = ()
  only: tuple[str, ...] = ()
  parts: type = float


FROM_0, FROM_1 = (0, inf), (1, inf)
OPEN = {}  # a section with any names: the arguments of a model, a source or an optimiser
LOGITS = ("classification", "multilabel", "regression")  # the tasks whose outputs are logits
IMAGE, BALANCED = ("image",), ("balanced",)
SEGMENTS, WEIGHTED = ("segmentation",), ("classification", "segmentation")
MAPS = ("segmentation", "promptable")
CLIP, PROMPTED = ("clip",), ("prompted",)
PICTURES, ASKED = ("image", "clip", "prompted"), ("promptable",)
VOLUME, SPACE = ("volume",), ("image", "clip", "volume", "volume_series")
VOLUME_SERIES, TIME = ("volume_series",), ("series", "volume_series")

ALL = (*PICTURES, *VOLUME)
AUGMENT = {  # random changes of training examples, on the device; the inputs that have each
  # (data/augment.py of images and clips, data/augment_volume.py of volumes)
  "flip": (False, "mirror half of the examples, left to right", ALL),
  "flip_vertical": (False, "mirror half of the examples, along their height", ALL),
  "flip_depth": (False, "mirror half of the volumes, along their depth", VOLUME),
  "alternate_flip": (False, "mirror each image in every other epoch", PICTURES),
  "shift": (0, "move by up to so many pixels; zeros come in", PICTURES),
  "reflect_shift": (0, "move by up to so many pixels; the mirrored image comes in", PICTURES),
  "crop": ((), "(least, largest) part of the image's area, cut out and resized", PICTURES),
  "rotate": (0.0, "rotate by up to so many degrees, volumes about each axis", ALL),
  "scale": ((), "(least, largest) factor of the size", ALL),
  "shear": (0.0, "shear by up to so many degrees", ALL),
  "translate": (0.0, "move by up to this part of the sides", ALL),
  "elastic": (0.0, "deviation, in voxels, of a smooth deformation's control points", VOLUME),
  "zoom_out": (0.0, "lay the image on a canvas up to so many times as large", PICTURES),
  "ssd_crop": (False, "SSD's crops, which keep enough of a box", IMAGE),
  "rand_augment": ((), "(operations, magnitude of 10) of RandAugment", IMAGE),
  "brightness": (0.0, "factor of up to 1 plus or minus this", ALL),
  "contrast": (0.0, "factor of up to 1 plus or minus this", ALL),
  "gamma": (0.0, "largest logarithm of the power to which values are raised", VOLUME),
  "saturation": (0.0, "factor of up to 1 plus or minus this", PICTURES),
  "hue": (0.0, "turn by up to this part of the circle of colours", PICTURES),
  "pca": (0.0, "AlexNet's shift along the colours' principal components: its deviation", PICTURES),
  "grey": (0.0, "probability of an image without colours", PICTURES),
  "bias_field": (0.0, "largest coefficient of an MRI coil's smooth field", VOLUME),
  "blur": (0.0, "largest deviation of a Gaussian blur, in pixels or voxels", ALL),
  "noise": (0.0, "largest deviation of noise, in levels of 255, or in a volume's deviations", ALL),
  "low_resolution": ((), "(least, largest) part of the voxels along an axis that is left", VOLUME),
  "cut_out": (0, "side of a square of zeros, in pixels", IMAGE),
  "mixup": (0.0, "alpha of mixup's Beta(alpha, alpha)", PICTURES),
  "cutmix": (0.0, "alpha of CutMix's Beta(alpha, alpha)", IMAGE),
}
KEYS = {
  "seed": Key(0, "of initialisation, order of examples and random draws", (0, 2**32)),
  # the network
  "model.name": Key("lenet5", "a name of the zoo, cnnjax.list_models()"),
  "model.num_classes": Key(0, "outputs of the network; 0: as many as the data have", (0, 1 << 24)),
  "model.dtype": Key("float32", "type to compute in; bfloat16 on TPU and GPU"),
  "model.arguments": Key(OPEN, "fields of the model, such as dropout or trunk"),
  # the data
  "data.name": Key("digits", "the source, a name of data/catalogue.py"),
  "data.root": Key("", "the file or folder of the data"),
  "data.arguments": Key(OPEN, "options of the source"),
  "data.input": Key("image", "kind of the examples, a name of data/inputs"),
  "data.proposals": Key(OPEN, "how windows are proposed to a detector", only=IMAGE),
  "data.batch_size": Key(32, "examples of a step, over all devices", FROM_1),
  "data.fraction": Key(1.0, "part of the training split that is used, at most 1", FROM_0),
  "data.sampling": Key("uniform", "uniform, or balanced: rare classes are drawn more often"),
  "data.validation": Key(0.0, "part of the training split that is held out", (0, 1)),
  "data.folds": Key(0, "folds of a cross-validation; 0: none", FROM_0),
  "data.fold": Key(0, "the fold that is the test split, from 0", FROM_0),
  "data.resize": Key((), "(height, width), or the shorter side; (): as it is", (), PICTURES, int),
  "data.crop": Key((), "size cut from the centre, of volumes in 3-D; (): none", (), SPACE, int),
  "data.interpolation": Key("bilinear", "of the resize", ("bilinear", "bicubic"), PICTURES),
  "data.jitter": Key(0.1, "part of a box's sides by which its edges are moved", (0, 0.5), PROMPTED),
  "data.frames": Key(0, "of a clip; 0: as many as the data have", FROM_0, CLIP),
  "data.frame_stride": Key(1, "frames of a video from one of a clip to the next", FROM_1, CLIP),
  "data.clips": Key(1, "of a video, whose probabilities are averaged in evaluation", FROM_1, CLIP),
  "data.tile": Key((), "window that the network sees; (): the whole", (), SEGMENTS, int),
  "data.overlap": Key(0.5, "part of a window that the next one covers too", (0, 1), SEGMENTS),
  "data.spacing": Key((), "millimetres of a voxel; (): the median of the training's", (), VOLUME),
  "data.normalize": Key("each", "by the values of each volume, or of all", ("each", "all"), VOLUME),
  "data.clip": Key((), "(lowest, highest) value kept by normalize=all; (): measured", (), VOLUME),
  "data.foreground": Key(1 / 3, "part of the windows laid around an object", (0, 1), VOLUME),
  "data.length": Key(0, "steps of a series, cut or filled to it; 0: as they are", FROM_0, TIME),
  "data.centred": Key(False, "subtract from each voxel its mean over time", (), VOLUME_SERIES),
  "data.channels": Key(0, "1 grey, 3 colour, or what the data have; 0: as they are", (0, 1 << 16)),
  "data.mean": Key((), "subtracted; one number, or one a channel; (): of the training split"),
  "data.std": Key((), "divided by; one number, or one a channel; (): of the training split"),
  "data.classes": Key((), "names of the outputs; (): those of the data", parts=str),
  **{f"augment.{n}": Key(*row, only=inputs) for n, (*row, inputs) in AUGMENT.items()},
  # the task: loss and metrics
  "task.name": Key("classification", "a name of tasks/__init__.py"),
  "task.label_smoothing": Key(0.0, "part of a label spread over all classes", (0, 1), LOGITS[:1]),
  "task.class_weights": Key((), 'of the loss, one a class, or "balanced"', BALANCED, WEIGHTED),
  "task.positive_weights": Key((), 'of labels there are, or "balanced"', BALANCED, LOGITS[1:2]),
  "task.aux_weight": Key(0.3, "of the loss of auxiliary heads", FROM_0, (*LOGITS, *SEGMENTS)),
  "task.views": Key("", "averaged in evaluation: mirrored, mirrored_moved; empty: one", (), LOGITS),
  "task.delta": Key(0.0, "of the Huber loss, in deviations; 0: squares", FROM_0, LOGITS[2:]),
  "task.mean": Key((), "of the targets, one each; (): of the training split", (), LOGITS[2:]),
  "task.std": Key((), "deviation of the targets; (): of the training split", (), LOGITS[2:]),
  "task.cross_entropy": Key(1.0, "weight of the cross-entropy in the loss", FROM_0, MAPS),
  "task.focal": Key(0.0, "weight of the focal loss", FROM_0, MAPS),
  "task.focal_gamma": Key(2.0, "how much less it counts what is answered well", FROM_0, MAPS),
  "task.dice": Key(0.0, "weight of the Dice loss", FROM_0, MAPS),
  "task.iou": Key(1.0, "weight of the square error of the IoU that is predicted", FROM_0, ASKED),
  # the optimiser (engine/optim.py)
  "optim.name": Key("adam", "an optimiser of optax"),
  "optim.arguments": Key(OPEN, "of the optimiser, such as momentum"),
  "optim.learning_rate": Key(1e-3, "highest learning rate", FROM_0),
  "optim.schedule": Key("cosine", "constant, cosine, linear, or step: `decay` at each milestone"),
  "optim.warmup_epochs": Key(0.0, "epochs in which the learning rate rises to its highest", FROM_0),
  "optim.warmup_start": Key(0.0, "part of the highest learning rate that it rises from", (0, 1)),
  "optim.milestones": Key((), "epochs after which schedule step lowers the rate"),
  "optim.decay": Key(0.1, "factor of schedule step, or where schedule linear ends", FROM_0),
  "optim.clip_norm": Key(0.0, "largest norm of the gradient; 0: any", FROM_0),
  "optim.weight_decay": Key(0.0, "L2, added to the gradients of kernels", FROM_0),
  "optim.penalties": Key((), 'rows ("l1" or "l2", strength, pattern of the path)', parts=tuple),
  "optim.decoupled": Key(False, "penalties act beside the gradients, not in the loss"),
  "optim.rates": Key((), "rows (pattern of the path, factor, epochs that it lasts)", parts=tuple),
  # the variables that a training begins with
  "init.source": Key("", "run folder, file or hub id of weights; empty: fresh ones"),
  "init.trunk_only": Key(False, "take only the trunk's weights over"),
  "init.frozen_statistics": Key(False, "leave batch statistics as they are"),
  "init.from_images": Key(0, "number of images that the first layer is made from", FROM_0),
  # the run
  "train.epochs": Key(10.0, "passes over the training split", FROM_0),
  "train.watch": Key("", "split that is scored during training; empty: none"),
  "train.evaluate_every": Key(0.0, "epochs between evaluations of it; 0: at the end only", FROM_0),
  "train.patience": Key(0, "evaluations without a better one that end the run; 0: never", FROM_0),
  "train.log_every": Key(100, "steps between rows of metrics", FROM_1),
  "train.ema": Key(0.0, "decay of the moving average of the variables; 0: none is kept", (0, 1)),
  "train.lookahead": Key(0, "steps between returns to that average; 0: never", FROM_0),
  "train.accumulate": Key(1, "parts that a batch is cut into to save memory", FROM_1),
  "train.steps_per_dispatch": Key(0, "steps of one call to the device; 0: as suits it", FROM_0),
  # checkpoints
  "checkpoint.every": Key(0, "steps between checkpoints; 0: at evaluations only", FROM_0),
  "checkpoint.keep": Key(2, "newest checkpoints that are kept", FROM_1),
  "checkpoint.best": Key("", "figure of train.watch by which the best is kept too; empty: none"),
  "checkpoint.mode": Key("max", "whether more or less of that figure is better", ("max", "min")),
  # devices
  "mesh.devices": Key(0, "how many; 0: all", FROM_0),
  "mesh.space": Key(1, "devices that share an example, cut along height or depth", FROM_1),
  "mesh.parameters": Key("replicated", "replicated, or sharded: cut over the devices"),
  "mesh.deterministic": Key(False, "the same bits again on a GPU, at a price in speed"),
}  # fmt: skip
FREE = tuple(name for name, key in KEYS.items() if key.default is OPEN)


def of(task: str, input: str) -> dict[str, Key]:
  """Returns the keys of a config for a task and a kind of input."""
  return {
    name: key for name, key in KEYS.items() if not key.only or task in key.only or input in key.only
  }


def defaults(task: str = "classification", input: str = "image") -> Any:
  """Returns a config with all keys at their defaults, locked except for its open sections.

  So setting a misspelt key is an error. `config.model.update(name=..., ...)` sets several keys.
  """
  from ml_collections import ConfigDict  # not needed to build and train

  config = ConfigDict(fill({"task": {"name": task}, "data": {"input": input}})).lock()
  for name in FREE:
    section, last = name.split(".")
    if last in config[section]:
      config[section][last].unlock()
  return config


def fill(tree: dict[str, Any]) -> dict[str, Any]:
  """Returns a config's tree in which missing keys have their defaults.

  The default of a new key is the behaviour of runs that were trained before the key existed, so
  that their folders can still be loaded.
  """
  tree = {name: dict(part) if isinstance(part, dict) else part for name, part in tree.items()}
  for section in {name.rpartition(".")[0] for name in KEYS} - {""}:
    tree.setdefault(section, {})
  task = tree["task"].setdefault("name", KEYS["task.name"].default)
  input = tree["data"].setdefault("input", KEYS["data.input"].default)
  for name, key in of(task, input).items():
    section, _, last = name.rpartition(".")
    part = tree[section] if section else tree
    part.setdefault(last, {} if key.default is OPEN else key.default)
  return tree


def check(tree: dict[str, Any]) -> None:
  """Raises: UserError for a key that is missing or unknown, or a value out of its bounds."""
  flat, known = flatten(tree), of(tree["task"]["name"], tree["data"]["input"])
  for name in flat:
    if name not in known and flat[name] != {} and not name.startswith(tuple(f"{f}." for f in FREE)):
      if name in KEYS:
        raise UserError(
          f"{name} is a key of {' and '.join(KEYS[name].only)} alone, but the config is of "
          f"{tree['task']['name']} from {tree['data']['input']}"
        )
      raise unknown("config key", name, known)
  for name, key in known.items():
    if key.default is OPEN:
      continue
    if name not in flat:
      raise UserError(f"the config has no {name}")
    if not _fits(flat[name], key):
      raise UserError(f"{name} must be {_wanted(key)}; found {flat[name]!r}")


def _fits(value: Any, key: Key) -> bool:
  """Returns whether a value is of the type of a key's default, and within its bounds."""
  words = key.bounds if key.bounds and isinstance(key.bounds[0], str) else ()
  if isinstance(key.default, tuple):
    alone = key.parts is int and _is(value, int)
    return alone or value in words or value in [(word,) for word in words] or _are(value, key.parts)
  if not _is(value, type(key.default)):
    return False
  if words:
    return value in words
  return not key.bounds or key.bounds[0] <= value < key.bounds[1]


def _are(values: Any, kind: type) -> bool:
  return isinstance(values, tuple | list) and all(_is(value, kind) for value in values)


def _is(value: Any, kind: type) -> bool:
  if kind is float:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
  if kind is tuple:
    return isinstance(value, tuple | list)
  return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _wanted(key: Key) -> str:
  """Returns what a key's value must be, in words."""
  words = (
    " or ".join(map(repr, key.bounds)) if key.bounds and isinstance(key.bounds[0], str) else ""
  )
  if isinstance(key.default, tuple):
    names = {float: "finite numbers", int: "whole numbers", str: "words", tuple: "rows"}
    return f"a tuple of {names[key.parts]}" + (f", or {words}" if words else "")
  if isinstance(key.default, bool):
    return "True or False"
  if isinstance(key.default, str):
    return words or "a word"
  low, high = key.bounds or (-inf, inf)
  limits = [f"of at least {low}"] * (low > -inf) + [f"below {high}"] * (high < inf)
  sort = "whole number" if isinstance(key.default, int) else "finite number"
  return f"a {sort} {' and '.join(limits)}".rstrip()


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
  """Returns {"optim.learning_rate": ...} for {"optim": {"learning_rate": ...}}."""
  flat = {}
  for key, value in tree.items():
    nested = isinstance(value, dict) and value
    flat |= flatten(value, f"{prefix}{key}.") if nested else {prefix + key: value}
  return flat
