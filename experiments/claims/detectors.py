"""From R-CNN to SSD: what each step gains in speed, and what it costs in accuracy (course/004)."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import cnnjax
from cnnjax import tasks
from cnnjax.data import inputs
from cnnjax.data.image import prepare
from cnnjax.data.proposals import search
from cnnjax.data.table import Table
from cnnjax.engine import log
from cnnjax.engine.compiler import compile_step
from cnnjax.engine.mesh import make_mesh, shard
from cnnjax.engine.record import write_json
from cnnjax.engine.step import predict_step
from cnnjax.errors import unknown

from ..evaluate import score
from ..launch import read_config
from ..timing.turns import Contestant, clock, take_turns
from ..train import train
from ..train_rcnn import MODELS as BY_STAGES
from ..train_rcnn import train_rcnn
from .finding import Finding
from .trainings import HERE

DATA = {"scenes": "ssd_scenes", "bccd": "ssd_bccd"}  # data: the config that all detectors adapt
TRUNK = dict(trunk="mobilenet_v1")  # stages 3, 4 and 5 have strides of 8, 16 and 32
WINDOWS = dict(source="selective_search", most=300, mode="fast")
TIMED, ROUNDS = 20, 5  # images that are timed, one by one; turns of each system
FAST = ((3, 16, 2), "M", (3, 32, 1), "M", (3, 64, 1), "M", (3, 128, 1), "M", (3, 256, 1))


class System(NamedTuple):
  """A detector of the deck.

  Attributes:
    model: of the zoo.
    arguments: width of its dense layers -> arguments of the model.
    shared: what is computed once for all windows of an image.
    searches: whether it needs proposals from selective search.
    seconds: the deck's seconds per image on a GPU.
    accuracy: the deck's mAP on VOC 2007.
  """

  model: str
  arguments: Callable[[int], dict[str, Any]]
  shared: str
  searches: bool
  seconds: float | None
  accuracy: float | None


SYSTEMS = {
  "R-CNN": System(
    "rcnn",
    lambda width: dict(
      TRUNK, layer="stage5", side=48, context=3, cells=2, hidden=width, dropout=0.0
    ),
    "nothing", True, 14, 58.5,
  ),
  "SPPnet": System(
    "sppnet",
    lambda width: dict(TRUNK, layer="stage4", hidden=width, dropout=0.0),
    "the map", True, None, None,
  ),
  "Fast R-CNN": System(
    "fast_rcnn",
    lambda width: dict(TRUNK, taken=16, hidden=width, dropout=0.0, count=32, background=0.0),
    "the map, and one training", True, 0.32, 70.0,
  ),
  "Faster R-CNN": System(
    "faster_rcnn",
    lambda width: dict(
      TRUNK, taken=(16,), sides=((24, 40, 64),), hidden=width, dropout=0.0, sampled=64, count=32,
      proposals=(300, 300), candidates=(600, 600),
    ),
    "the map, and the proposals", False, 1 / 17, 78.8,
  ),
  "YOLO": System(
    "yolo_v1", lambda width: dict(TRUNK, hidden=()), "all", False, 1 / 45, 63.4,
  ),
  "Fast YOLO": System(
    "fast_yolo",
    lambda width: dict(table=FAST, norm=True, hidden=()),
    "all, by a smaller trunk", False, 1 / 155, 52.7,
  ),
  "SSD": System(
    "ssd",
    lambda width: dict(TRUNK, taken=(8, 16, 32), extra=((64, 128, 3, 2, 1),)),
    "all, of four maps", False, 1 / 59, 76.8,
  ),
}  # fmt: skip
STEPS = (  # (from, to): the steps of the course
  ("R-CNN", "SPPnet"),
  ("R-CNN", "Fast R-CNN"),
  ("SPPnet", "Fast R-CNN"),
  ("Fast R-CNN", "Faster R-CNN"),
  ("Faster R-CNN", "SSD"),
  ("Faster R-CNN", "YOLO"),
  ("YOLO", "Fast YOLO"),
)


def detectors(
  *,
  data: str = "scenes",
  root: str = "",
  epochs: float | None = None,
  fraction: float | None = None,
  quick: bool = False,
  out: Path = Path("runs/claims/detectors"),
) -> list[Finding]:
  """Seven detectors with one trunk on the same images: seconds per image, mAP and what is shared.

  All have MobileNetV1's trunk at half its width, trained from scratch, except for Fast YOLO, whose
  idea is a smaller trunk. As in the papers, images are timed one after the other; the time of
  selective search is separate, on one core. The training time of R-CNN and SPPnet leaves out the
  stages after the fine-tuning.

  Args:
    data: "scenes", which are generated, or "bccd", a VOC folder of blood cells.
    root: the folder of the data.
    epochs: of each training; by default 20.
    fraction: of the training images.
    quick: whether to take few small scenes, and the narrowest networks.
    out: folder for the runs, and the table in detectors.json.

  Raises: UserError for other data.
  """
  if data not in DATA:
    raise unknown("--data of claim detectors", data, DATA)
  base = read_config(f"{HERE / 'configs' / 'detection' / DATA[data]}.py{':quick' if quick else ''}")
  base.data.root = root
  base.data.fraction = fraction or 1.0
  base.train.epochs = (1.0 if quick else 20.0) if epochs is None else epochs
  if data == "scenes" and not quick:
    base.data.arguments = dict(examples=1250, classes=3)  # with 10 R-CNN learns only background
    base.data.batch_size = 8
  runs = {}
  for name, system in SYSTEMS.items():
    config = _config(base, system, quick)
    folder = out / system.model
    (train_rcnn if system.model in BY_STAGES else train)(config, folder)
    runs[name] = cnnjax.restore(folder)
  table = {name: _row(name, run) for name, run in runs.items()}
  times, searched = _times(runs)
  for name, row in table.items():
    row["seconds"], row["search"] = times[name], searched * SYSTEMS[name].searches
  log.grid("detectors", {name: _shown(name, row) for name, row in table.items()})
  write_json(out / "detectors.json", table)
  print(f"wrote {out / 'detectors.json'}")
  return _findings(table)


def _config(base: Any, system: System, quick: bool) -> Any:
  config = base.copy_and_resolve_references()
  arguments = system.arguments(32 if quick else 256)
  if "trunk" in arguments:
    arguments["trunk_arguments"] = dict(width=0.125 if quick else 0.5)
  with config.unlocked():
    config.model.name, config.model.arguments = system.model, dict(arguments, places=50)
    if system.searches:
      config.data.proposals = dict(WINDOWS, most=50) if quick else WINDOWS
    if system.model in BY_STAGES:
      config.checkpoint.every = 200
  return config


def _row(name: str, run: cnnjax.Run) -> dict[str, Any]:
  figures = score(run, "test")
  spent = [row["seconds"] for row in run.metrics if row["split"] == "train"]
  return {
    "map50": figures["map50"],
    "ap": figures["ap"],
    "training_seconds": spent[-1],
    "shared": SYSTEMS[name].shared,
  }


def _times(runs: dict[str, cnnjax.Run]) -> tuple[dict[str, float], float]:
  """Returns the seconds per image of each system, and those of selective search."""
  timers = {name: _timer(run) for name, run in runs.items()}
  rounds = take_turns(timers, ROUNDS)
  table = _images(next(iter(runs.values())))
  images = np.asarray(table.columns["image"])
  call = Contestant(lambda: [search(images[n : n + 1]) for n in range(len(images))], lambda x: x)
  return {n: float(np.median(each)) for n, each in rounds.items()}, clock(call, 1) / len(images)


def _timer(run: cnnjax.Run) -> Callable[[], float]:
  """Returns a turn that answers the images one by one, and returns the mean seconds per image."""
  mesh, kind = make_mesh(1), tasks.task(**run.config.task, model=run.model)
  scale = partial(inputs.scale, preprocessing=run.model.preprocessing)
  step = compile_step(partial(predict_step, model=run.model, task=kind, scale=scale), mesh)
  columns = _images(run).columns
  known = {k: np.asarray(columns[k]) for k in ("image", "proposals", "proposed") if k in columns}
  batches = [
    shard({k: v[n : n + 1] for k, v in known.items()}, mesh) for n in range(len(known["image"]))
  ]
  answer = lambda: [jax.block_until_ready(step(run.variables, b)) for b in batches]  # noqa: E731
  call = Contestant(answer, lambda x: x)
  answer()  # compiles the step
  return lambda: clock(call, 1) / len(batches)


def _images(run: cnnjax.Run) -> Table:
  """Returns the first test images, prepared for the network."""
  test = run.load_splits()["test"]
  return prepare(test.take(np.arange(min(TIMED, len(test)))), run.model.preprocessing)


def _shown(name: str, row: dict[str, Any]) -> dict[str, str]:
  system = SYSTEMS[name]
  deck = (f"{system.seconds:.3f}", f"{system.accuracy}") if system.seconds else ("", "")
  return {
    "network, ms": f"{1e3 * row['seconds']:.1f}",
    "search, ms": f"{1e3 * row['search']:.0f}" if system.searches else "",
    "AP50": f"{row['map50']:.3f}",
    "COCO AP": f"{row['ap']:.3f}",
    "training, s": f"{row['training_seconds']:.0f}",
    "shared": row["shared"],
    "deck, s": deck[0],
    "deck, mAP": deck[1],
  }


def _findings(table: dict[str, dict[str, Any]]) -> list[Finding]:
  """Returns for each step of the course how much faster and how much better it is."""
  whole = {name: row["seconds"] + row["search"] for name, row in table.items()}
  found = []
  for before, after in STEPS:
    first, second = SYSTEMS[before], SYSTEMS[after]
    both = first.seconds and second.seconds
    deck = f"{first.seconds / second.seconds:.1f} times faster" if both else "faster"
    alone = table[before]["seconds"] / table[after]["seconds"]
    times = whole[before] / whole[after]
    ours = f"{times:.2f} times, network alone {alone:.2f}"
    found.append(Finding(f"{after} over {before}, speed", deck, ours, times > 1))
    gained = 100 * (table[after]["map50"] - table[before]["map50"])
    deck = f"{second.accuracy - first.accuracy:+.1f} points" if both else ""
    same = gained * (second.accuracy - first.accuracy) > 0 if both else None
    found.append(Finding(f"{after} over {before}, AP50", deck, f"{gained:+.1f} points", same))
  return found
