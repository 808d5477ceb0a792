"""Images a second beside stock Flax and PyTorch: python -m experiments.benchmark [--models=all].

A training step is SGD with momentum, in float32, on one batch that already lies on the device,
normalised and not augmented. `cnnjax` is the engine's own step, with the sums that it logs;
`user` a plain loop of optax around our model with `cnnjax.jit`; `flax` the same with `jax.jit` and
the network as stock Flax computes it; `torch` the same in PyTorch, eager, on all cores, with its
fused SGD, contiguous and channels-last: our ratio is to the faster. --inference times logits too,
of 1 and of 16 images, each batch answered before the next.

--compile adds `torch compiled` to the peer torch: channels-last through `torch.compile`, the net
in training, for logits with its weights frozen, which folds batch norms. It takes half a minute or
more a model and batch, and is left out, with a line that says why, where its compiler does not
work. --fold adds `folded` to inference: our model with its batch norms folded before into the
convolutions, as serving stacks have it (`cnnjax.fold`). With --onednn all that is ours convolves by
oneDNN on a CPU, where that is faster (`cnnjax.use_onednn`).

--models names them, "all" is the zoo. Dropout is off, because each draws its own numbers.
All begin with the same weights and are timed only if they agree. They take turns, in an order that
rotates, so that the machine's noise hits all alike; a ratio is the median over the rounds, with the
least and the largest. A first step holds its compiler's time: the persistent cache is off.

Of detectors, ssd300 and faster_rcnn_fpn, trunk and heads are timed beside torchvision's, and the
operators that decide and read regions apart.

--profile shows where a training step's time goes on the CPU, by the profiler's trace of its
program: convolutions forward and their two gradients, normalisation, pooling, copies, with what is
reached beside the machine's own peaks; with --out a roofline is drawn beside the figures.

--path times what a user gets, `fit` as --config says (data, augmentation, logs, checkpoints),
against the bare compiled step of the same plan on one batch kept on the device. A fit writes five
training rows, and two checkpoints before the last of them; its speed is that from the `seconds` of
the first row to those of the last, which leaves out the start, the compiler and the closing
evaluations, and nothing else. (A row's own images_per_second leaves out how rows are written.)

--decode times the reading, decoding and resizing of the config's image files alone, in batches: by
one thread, by the threads and by the processes that streamed sets are read with, beside PyTorch's
DataLoader with 0 and 2 workers and tf.data, where they are installed. PyTorch must make the same
pixels; how far tf.data's are from ours, of 256 levels, is told.
"""

import importlib.util
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import psutil
from absl import flags

from cnnjax.engine import log
from cnnjax.engine.environment import environment
from cnnjax.engine.run import write_json
from cnnjax.errors import UserError, unknown
from cnnjax.models import zoo

from . import launch
from .timing.breakdown import profile
from .timing.decoding import decoding
from .timing.detector_peers import SIDES as DETECTORS
from .timing.detector_peers import line_up as heads
from .timing.detector_peers import operators
from .timing.peers import COMPILED, FOLDED, PEERS, broken_compiler, line_up, reason
from .timing.turns import Contestant, ratio, take_turns, timer, told
from .timing.whole_path import path

FLAGS = flags.FLAGS
CONFIG = "configs/classification/lenet5_mnist.py:quick"  # of --path and --decode
SMALL, LARGE, FEW = 128, 16, 2  # images in a training batch: of up to 64 pixels, more, detectors'
AGREE = (1e-3, 5e-2, 5e-2)  # relative difference of the first results: steps amplify rounding
PROFILED = 3  # steps in a trace
LEAST = {"batch": 1, "rounds": 1, "seconds": 0.001, "steps": 4}  # values of flags


def agree(contestants: dict[str, Contestant]) -> dict[str, float]:
  """Returns the seconds of each first step, but of what PyTorch cannot compile, which is told.

  Raises: UserError where a first few losses, or the logits, are not finite or not those of the
    first contestant.
  """
  seconds, want = {}, None
  for name, (step, read) in contestants.items():
    start = time.perf_counter()
    try:
      results = [read(step())]
    except Exception as error:
      if name != COMPILED:
        raise
      print(f"{name} is left out: {reason(error)}")
      continue
    seconds[name] = time.perf_counter() - start
    results += [read(step()) for _ in AGREE[1:]]
    want = results if want is None else want
    if not np.isfinite(results).all():
      raise UserError(f"the first results of {name} are not all finite; nothing was timed")
    for found, right, allowed in zip(results, want, AGREE):
      size = max(np.abs(want[0]).max(), np.abs(right).max())  # a loss may fall to nothing
      error = np.abs(found - right).max() / size
      if error > allowed:
        raise UserError(
          f"{name} does not compute what {next(iter(contestants))} does: its results are off by "
          f"{error:.1e} of their size, and {allowed:g} is allowed; nothing was timed"
        )
  return seconds


def compare(
  name: str, peers: Sequence[str], batch_size: int, rounds: int, seconds: float, train: bool = True
) -> dict[str, Any]:
  """Prints and returns the speeds of a model, and how many times its peers' ours is.

  Raises: UserError where they do not compute the same.
  """
  contestants = (heads if name in DETECTORS else line_up)(name, peers, batch_size, train)
  first = agree(contestants)
  timers = {n: timer(contestants[n], batch_size, seconds) for n in first}
  rates = take_turns(timers, rounds)
  medians = {n: float(np.median(r)) for n, r in rates.items()}
  best = {n.split()[0]: n for n in sorted(medians, key=medians.get) if n != "cnnjax"}
  ratios = {n: ratio(rates["cnnjax"], rates[n]) for n in best.values()}
  kind = "training" if train else "inference"
  rows = {
    n: {
      "images/s": f"{medians[n]:,.0f}",
      "cnnjax is, times": told(ratios[n]) if n in ratios else "",
      "first step, s": f"{first[n]:.2f}",
    }
    for n in rates
  }
  log.grid(f"{name}, {kind}, batch {batch_size}", rows)
  if missing := [peer for peer in peers if peer in PEERS and peer not in best]:
    print(f"{name} has no counterpart here for {' and '.join(missing)}")
  if FOLDED in peers and not train and FOLDED not in rates:
    print(f"{name} has no batch norm to fold")
  return {
    "model": name,
    "kind": kind,
    "batch": batch_size,
    "images_per_second": medians,
    "first_step_seconds": first,
    "ratios": {peer: {"to": n, **ratios[n]} for peer, n in best.items()},
    "rounds": rates,
  }


def check(models: Sequence[str], peers: Sequence[str], **numbers: float) -> None:
  """Raises: UserError for a name that is none, or a flag's number below its least."""
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
  """Returns the peers, and who stands there too because a flag of its own asks for it.

  Raises: UserError where what that is added to is not asked for.
  """
  if compiled and "torch" not in peers:
    raise UserError(f"--compile is of PyTorch, but --peers={','.join(peers)} leaves torch out")
  if folded and not inference:
    raise UserError("--fold is of inference; add --inference")
  return [*peers, *[COMPILED] * compiled, *[FOLDED] * folded]


def present(peers: Sequence[str]) -> list[str]:
  """Returns those of the peers that this machine has, and prints which it lacks."""
  if "torch" in peers and not importlib.util.find_spec("torch"):
    print("PyTorch is not installed, and left out; it comes with the extra parity")
    return [peer for peer in peers if peer not in ("torch", COMPILED)]
  if COMPILED in peers and (why := broken_compiler()):
    print(f"{COMPILED} is left out: {why}")
    return [peer for peer in peers if peer != COMPILED]
  return list(peers)


def main(argv: list[str]) -> None:
  """Prints the tables."""
  jax.config.update("jax_enable_compilation_cache", False)
  if argv[1:]:
    raise UserError(f"unexpected argument {argv[1]!r}; models are named by --models=NAME,NAME")
  models, peers = list(FLAGS.models), list(FLAGS.peers)
  models = [*zoo.list_models("classification"), *DETECTORS] if models == ["all"] else models
  check(models, peers, **{name: FLAGS[name].value for name in LEAST if FLAGS[name].value})
  peers = with_others(peers, compiled=FLAGS.compile, folded=FLAGS.fold, inference=FLAGS.inference)
  alone = "--path" if FLAGS.path else "--decode" if FLAGS.decode else ""
  detectors = [name for name in models if name in DETECTORS]
  if FLAGS.profile and detectors:
    raise UserError(f"--profile takes classifiers; found {detectors[0]}")
  if alone and FLAGS["models"].present:
    raise UserError(f"{alone} times what --config says; name no model beside it")
  here = environment()
  load = f"load {psutil.getloadavg()[0]:.1f}"  # PyTorch's threads suffer most from it
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
  flags.DEFINE_float("seconds", 0.5, "of a turn")
  flags.DEFINE_integer("steps", 100, "of a turn of --path, or batches of --decode")
  flags.DEFINE_bool("inference", False, "time logits of batches of 1 and 16 as well")
  flags.DEFINE_bool("fold", False, "time inference with folded batch norms as well")
  flags.DEFINE_bool("compile", False, "time PyTorch through torch.compile as well")
  flags.DEFINE_bool("profile", False, "show where a training step's time goes")
  flags.DEFINE_bool("path", False, "time the whole of fit against its bare step")
  flags.DEFINE_bool("decode", False, "time the reading of the config's image files alone")
  flags.DEFINE_list("peers", list(PEERS), "whom to stand beside")
  flags.DEFINE_string("out", None, "JSON file for the figures")
  launch.run(main, config=CONFIG)
