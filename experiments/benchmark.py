"""Compares our speed with stock Flax and PyTorch: python -m experiments.benchmark [--models=all].

Speeds are in images a second. A training step is SGD with momentum, in float32, on one batch that
already lies on the device, normalised and not augmented. `cnnjax` is the engine's own step, with
the sums that it logs. `user` is a plain loop of optax around our model with `cnnjax.jit`. `flax` is
the same with `jax.jit`, and the network with stock Flax's layers. `torch` is the same in PyTorch,
eager, on all cores, with its fused SGD, in the memory formats contiguous and channels-last; our
ratio is to the faster of the two. --inference also times logits of 1 and of 16 images, where a
batch starts after the previous one is finished.

--compile adds `torch compiled` to the peer torch: channels-last through `torch.compile`; for
logits its weights are frozen, which folds batch norms. Compiling takes half a minute or more for
each model and batch. Where PyTorch's compiler does not work, `torch compiled` is left out, and a
line says why. --fold adds `folded` to inference: our model with its batch norms folded into the
convolutions beforehand, as is usual in serving (`cnnjax.fold`). With --onednn our convolutions use
oneDNN on a CPU where that is faster (`cnnjax.use_onednn`).

--models names the models; "all" is the whole zoo but the networks of clips. Dropout is off, because
each library draws different random numbers. All contestants begin with the same weights, and are
timed only if their results agree. They take turns in an order that rotates, so that the machine's
noise affects all equally; a ratio is the median over the rounds, with the least and the largest.
The time of a first step includes compilation, since the persistent cache is off.

Of the detectors ssd300 and faster_rcnn_fpn, trunk and heads are compared with torchvision's;
non-maximum suppression and RoI operators are timed separately.

--profile shows where a training step's time goes on the CPU, from the profiler's trace of its
program: convolutions forward and their two gradients, normalisation, pooling and copies, each with
its FLOP/s and bytes/s as parts of the machine's peaks. With --out a roofline is drawn too.

--path compares the whole of `fit` by --config (data, augmentation, logs, checkpoints) with the bare
compiled step of the same plan on one batch that stays on the device. A fit writes five training
rows, and two checkpoints before the last row. Its speed is measured between the `seconds` of the
first and of the last row, which leaves out only the start, the compiler and the final evaluations.
(A row's own images_per_second leaves out the writing of rows.)

--decode times only the reading, decoding and resizing of the config's image files, in batches: by
one thread, and by the threads and the processes that read streamed sets. It compares them with
PyTorch's DataLoader with 0 and 2 workers and with tf.data, where they are installed. PyTorch must
produce the same pixels; how far tf.data's differ from ours, of 256 levels, is printed.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import jax
import psutil
from absl import flags

from cnnjax.engine.environment import environment
from cnnjax.engine.record import write_json
from cnnjax.errors import UserError, unknown
from cnnjax.models import zoo

from . import launch
from .timing.breakdown import profile
from .timing.contest import compare
from .timing.decoding import decoding
from .timing.detector_peers import SIDES as DETECTORS
from .timing.detector_peers import operators
from .timing.peers import COMPILED, FOLDED, PEERS, broken_compiler
from .timing.whole_path import path

FLAGS = flags.FLAGS
CONFIG = "configs/classification/lenet5_mnist.py:quick"  # of --path and --decode
SMALL, LARGE, FEW = 128, 16, 2  # images in a training batch: up to 64 pixels; larger; of detectors
PROFILED = 3  # steps in a trace
LEAST = {"batch": 1, "rounds": 1, "seconds": 0.001, "steps": 4}  # least values of flags


def check(models: Sequence[str], peers: Sequence[str], **numbers: float) -> None:
  """Raises: UserError for an unknown model or peer, or a flag's number below its least value."""
  for name in models:
    if zoo.row(name).task == "detection" and name not in DETECTORS:
      raise UserError(f"of detectors the benchmark times {', '.join(DETECTORS)}; found {name}")
  for peer in peers:
    if peer not in PEERS:
      raise unknown("peer", peer, PEERS)
  for name, number in numbers.items():
    if not LEAST[name] <= number < float("inf"):
      raise UserError(f"--{name} must be a number of at least {LEAST[name]}, found {number}")


def with_others(
  peers: Sequence[str], *, compiled: bool, folded: bool, inference: bool
) -> list[str]:
  """Returns the peers, with those that --compile and --fold add.

  Raises: UserError for --compile without the peer torch, and for --fold without --inference.
  """
  if compiled and "torch" not in peers:
    raise UserError(f"--compile is of PyTorch, but --peers={','.join(peers)} leaves torch out")
  if folded and not inference:
    raise UserError("--fold is of inference; add --inference")
  return [*peers, *[COMPILED] * compiled, *[FOLDED] * folded]


def present(peers: Sequence[str]) -> list[str]:
  """Returns those of the peers that this machine has, and prints which are missing."""
  if "torch" in peers and not importlib.util.find_spec("torch"):
    print("PyTorch is not installed, and left out; it comes with the extra parity")
    return [peer for peer in peers if peer not in ("torch", COMPILED)]
  if COMPILED in peers and (why := broken_compiler()):
    print(f"{COMPILED} is left out: {why}")
    return [peer for peer in peers if peer != COMPILED]
  return list(peers)


def main(argv: list[str]) -> None:
  """Prints the tables, and writes the figures where --out says."""
  jax.config.update("jax_enable_compilation_cache", False)
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; models are named by --models=NAME,NAME")
  models, peers = list(FLAGS.models), list(FLAGS.peers)
  flat = [n for n in zoo.list_models("classification") if len(zoo.row(n).input) < 4]  # no clips
  models = [*flat, *DETECTORS] if models == ["all"] else models
  check(models, peers, **{name: FLAGS[name].value for name in LEAST if FLAGS[name].value})
  peers = with_others(peers, compiled=FLAGS.compile, folded=FLAGS.fold, inference=FLAGS.inference)
  alone = "--path" if FLAGS.path else "--decode" if FLAGS.decode else ""
  detectors = [name for name in models if name in DETECTORS]
  if FLAGS.profile and detectors:
    raise UserError(f"--profile takes classifiers; found {detectors[0]}")
  if alone and FLAGS["models"].present:
    raise UserError(f"{alone} times what --config says; name no model beside it")
  here = environment()
  load = f"load {psutil.getloadavg()[0]:.1f}"  # other load slows PyTorch's threads most
  by = ", oneDNN" * FLAGS.onednn
  print(f"{here['cpu']}, {here['cores']} cores, {load}; {here['devices'][0]}{by}")
  found = []
  if FLAGS.path:
    found.append(path(FLAGS.config, FLAGS.batch or SMALL, FLAGS.steps, FLAGS.rounds))
  elif FLAGS.decode:
    found.append(decoding(FLAGS.config, FLAGS.batch or SMALL, FLAGS.steps, FLAGS.rounds))
  else:
    peers = present(peers)
  for name in () if alone else models:
    large = FEW if name in DETECTORS else LARGE
    size = FLAGS.batch or (SMALL if zoo.row(name).input[0] <= 64 else large)
    if FLAGS.profile:
      picture = Path(FLAGS.out).with_suffix(f".{name}.png") if FLAGS.out else None
      found.append(profile(name, size, PROFILED, picture))
      continue
    found.append(compare(name, peers, size, FLAGS.rounds, FLAGS.seconds))
    for size in (1, 16) if FLAGS.inference else ():
      found.append(compare(name, peers, size, FLAGS.rounds, FLAGS.seconds, train=False))
  if detectors and not alone:
    found.append(operators(FLAGS.rounds))
  if FLAGS.out:
    write_json(Path(FLAGS.out), {"environment": here, "results": found})
    print(f"wrote {FLAGS.out}")


if __name__ == "__main__":
  flags.DEFINE_list("models", ["lenet5"], 'names of the zoo, or "all"')
  flags.DEFINE_integer(
    "batch", None, f"images in a training batch: {SMALL}, {LARGE} of 224x224, {FEW} of detectors"
  )
  flags.DEFINE_integer("rounds", 7, "turns that each contestant takes")
  flags.DEFINE_float("seconds", 0.5, "seconds that each contestant is timed for in a round")
  flags.DEFINE_integer("steps", 100, "steps that --path times, or batches that --decode reads")
  flags.DEFINE_bool("inference", False, "time logits of batches of 1 and 16 as well")
  flags.DEFINE_bool("fold", False, "time inference with folded batch norms as well")
  flags.DEFINE_bool("compile", False, "time PyTorch through torch.compile as well")
  flags.DEFINE_bool("profile", False, "show where a training step's time goes")
  flags.DEFINE_bool("path", False, "time the whole of fit against its bare step")
  flags.DEFINE_bool("decode", False, "time the reading of the config's image files alone")
  flags.DEFINE_list("peers", list(PEERS), "libraries to compare with")
  flags.DEFINE_string("out", None, "JSON file for the figures")
  launch.run(main, config=CONFIG)
