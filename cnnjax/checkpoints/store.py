"""A run's checkpoints, which Orbax writes in the background, with checksums."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as policies

from cnnjax.errors import UserError, say

SUMS = "SHA256SUMS"  # file in each step's folder; `sha256sum --check` can read it
UNSUMMED = (SUMS, "_CHECKPOINT_METADATA", "commit_success.txt")  # the last two hold no data


class Store:
  """The checkpoints in a folder, with a folder for each step.

  Orbax writes a step into a scratch folder. Once it is complete, the primary process adds the
  SHA-256 of each file, and only then the folder gets its final name. So a step's folder is always
  complete, and damage after that is detected by the checksums.

  Args:
    folder: of the checkpoints; it is made when the first one is saved.
    keep: how many of the newest to keep.
    best: name of the metric whose best step is kept as well; "" for none.
    mode: "max" where higher is better, "min" where lower is.
    read_only: whether nothing may be made or deleted.
  """

  def __init__(
    self,
    folder: str | Path,
    *,
    keep: int = 1,
    best: str = "",
    mode: str = "max",
    read_only: bool = False,
  ):
    self.folder = Path(folder).absolute()
    self._best, self._sign = best, 1 if mode == "max" else -1
    self._flaws: dict[int, str] = {}
    self._saving = -1
    if not read_only:
      self._set_damaged_aside()
    keepers = [policies.LatestN(keep)]
    if best:
      keepers.append(
        policies.BestN(get_metric_fn=self._score, n=1, keep_checkpoints_without_metrics=False)
      )
    self._manager = ocp.CheckpointManager(
      self.folder,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy(keepers),
        best_fn=self._score if best else None,  # without it Orbax writes no metrics
        create=not read_only,
        read_only=read_only,
        lightweight_initialize=read_only,  # else one damaged step would hide the others
        cleanup_tmp_directories=not read_only,  # left by a killed process
        async_options=ocp.options.AsyncOptions(
          post_finalization_callback=self._seal,
          create_directories_asynchronously=False,  # else an error comes 5 minutes late
        ),
      ),
    )

  def _score(self, metrics: dict[str, float]) -> float:
    score = self._sign * metrics[self._best]
    return -math.inf if math.isnan(score) else score

  def save(self, step: int, state: Any, figures: dict[str, Any], notes: Any = None) -> None:
    """Starts to write a state; returns once its arrays may be overwritten.

    Args:
      step: later than the saved ones.
      state: a tree of arrays.
      figures: of an evaluation, with the metric `best` where there is one; or {}.
      notes: state of the host, of JSON's types.

    Raises: UserError, with the cause, where this or the previous save failed.
    """
    metrics = {k: v for k, v in figures.items() if isinstance(v, int | float)}
    args = ocp.args.Composite(
      state=ocp.args.PyTreeSave(state), notes=ocp.args.JsonSave({"notes": notes})
    )
    self.wait()
    with self._raising_user_error(step):
      before, self._saving = self._saving, step
      if not self._manager.save(step, args=args, metrics=metrics or None):
        self._saving = before
        raise RuntimeError("a later one is there")

  def _seal(self) -> None:
    """Writes the checksums of a step, just before Orbax gives its folder the final name."""
    if jax.process_index():
      return
    scratch = next(self.folder.glob(f"{self._saving}.*"), self.folder / str(self._saving))
    lines = [f"{_sha256(scratch / name)}  {name}\n" for name in _files(scratch)]
    (scratch / SUMS).write_text("".join(lines))

  def flaw(self, step: int) -> str:
    """Returns what is wrong with a step's files, "" where the checksums are right."""
    if step not in self._flaws:
      self._flaws[step] = _flaw(self.folder / str(step))
    return self._flaws[step]

  def _set_damaged_aside(self) -> None:
    """Moves damaged steps to another folder: the run that continues will save these steps again."""
    if jax.process_index() == 0 and self.folder.is_dir():
      for step in (int(p.name) for p in self.folder.iterdir() if p.name.isdecimal()):
        if self.flaw(step):
          aside = self.folder.with_name("damaged_checkpoints")
          aside.mkdir(exist_ok=True)
          place, count = aside / str(step), 1
          while place.exists():
            place, count = aside / f"{step}.{count}", count + 1
          (self.folder / str(step)).rename(place)
          say(f"checkpoint {step} is damaged ({self.flaw(step)}): moved to {place}")
    if jax.process_count() > 1:
      multihost_utils.sync_global_devices("damaged checkpoints are set aside")

  def steps(self) -> list[int]:
    """Returns the saved steps, oldest first."""
    return sorted(self._manager.all_steps())

  def find(self, which: str | int) -> int:
    """Returns the step that "latest", "best" or a number names.

    For "latest" and "best" damaged steps are left out, with a printed line; a damaged step that is
    named by its number is an error.

    Raises: UserError where there is no such step, with the existing ones.
    """
    step = self._find(which) if jax.process_index() == 0 else 0
    if jax.process_count() > 1:
      step = int(multihost_utils.broadcast_one_to_all(step))
    return step

  def _find(self, which: str | int) -> int:
    steps = self.steps()
    if not steps:
      raise UserError(f"{self.folder} holds no checkpoint yet")
    if which not in ("best", "latest"):
      if not str(which).isdecimal() or int(which) not in steps:
        raise UserError(
          f"{self.folder} has no checkpoint {which}; expected best, latest or {steps}"
        )
      if self.flaw(int(which)):
        raise UserError(f"checkpoint {which} in {self.folder} is damaged: {self.flaw(int(which))}")
      return int(which)
    whole = [step for step in steps if not self.flaw(step)]
    for step in set(steps) - set(whole):
      say(f"checkpoint {step} in {self.folder} is passed over: {self.flaw(step)}")
    if not whole:
      raise UserError(f"none of the checkpoints {steps} in {self.folder} is whole")
    if which == "latest":
      return whole[-1]
    scored = [(self._score(m), s) for s in whole if (m := self._manager.metrics(s))]
    if not self._best or not scored:
      raise UserError(
        f"{self.folder} keeps no best checkpoint; expected latest or one of the steps {whole}"
      )
    return max(scored)[1]

  def restore(self, step: int, like: Any, sharding: Any) -> Any:
    """Returns what was saved at a step, with the structure, shapes and types of `like`.

    `like` may be a part of what was saved: leaves that it lacks are not read. `sharding` is one
    sharding for all leaves, or a tree of shardings; it may differ from that of the saved arrays.

    Raises: UserError where a shape differs or a leaf is missing.
    """
    if isinstance(sharding, jax.sharding.Sharding):
      sharding = jax.tree.map(lambda a: sharding, like)
    want = jax.tree.map(
      lambda a, s: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=s), like, sharding
    )
    misfit = f"checkpoint {step} in {self.folder} does not fit the model: "
    part = ocp.args.PyTreeRestore(
      want, restore_args=ocp.checkpoint_utils.construct_restore_args(want), partial_restore=True
    )
    try:
      found = self._manager.restore(step, args=ocp.args.Composite(state=part))["state"]
    except (ValueError, KeyError) as error:
      raise UserError(misfit + str(error).splitlines()[0]) from error
    for path, leaf in jax.tree.leaves_with_path(found):
      if not isinstance(leaf, jax.Array):  # Orbax returns leaves that it does not find unchanged
        raise UserError(f"{misfit}it has no {jax.tree_util.keystr(path)}")
    return found

  def notes(self, step: int) -> Any:
    """Returns the notes that were saved with a step."""
    part = ocp.args.Composite(notes=ocp.args.JsonRestore())
    return self._manager.restore(step, args=part)["notes"]["notes"]

  def wait(self) -> None:
    """Returns when everything is on disk.

    Raises: UserError where the last save failed, or what it wrote was removed.
    """
    with self._raising_user_error(self._saving):
      self._manager.wait_until_finished()
    last = self.folder / str(self._saving)
    if self._saving >= 0 and not last.is_dir():
      raise UserError(f"{last} was removed while this run was training")

  @contextmanager
  def _raising_user_error(self, step: int) -> Iterator[None]:
    try:
      yield
    except Exception as error:  # any error of Orbax or the file system must end the run
      if jax.process_count() > 1 and not _of_files(error):
        raise  # another process was lost; this step may be whole
      cause = next(filter(None, str(error).splitlines()), type(error).__name__)
      if "[os_error_code" in cause:  # an error of the file system: its last words say what failed
        cause = cause.rpartition(": ")[2]
      raise UserError(
        f"checkpoint {step} could not be written to {self.folder}: {cause}"
      ) from error

  def __enter__(self) -> "Store":
    return self

  def __exit__(self, kind: Any, *error: Any) -> None:
    try:
      self.wait()
      self._manager.close()
    except Exception:
      if kind is None:  # else the error that is being raised matters more
        raise


def _files(folder: Path) -> list[str]:
  """Returns the names, relative to a step's folder, of the files that have a checksum."""
  names = (p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
  return sorted(name for name in names if name not in UNSUMMED)


def _sha256(path: Path) -> str:
  with path.open("rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _flaw(folder: Path) -> str:
  if not (folder / SUMS).is_file():
    return f"it has no {SUMS}"
  try:
    sums = [line.split("  ", 1)[::-1] for line in (folder / SUMS).read_text().splitlines()]
    sums = dict(sums)
  except ValueError:
    return f"its {SUMS} cannot be read"
  for name in _files(folder):
    if name not in sums:
      return f"{name} is not in its {SUMS}"
  for name, digest in sums.items():
    if not (folder / name).is_file():
      return f"{name} is missing"
    if _sha256(folder / name) != digest:
      return f"{name} is not what was written"
  return "" if sums else f"its {SUMS} is empty"


def _of_files(error: Exception) -> bool:
  """Returns whether an error is of the file system, as Python or TensorStore tells it."""
  return isinstance(error, OSError) or "[os_error_code" in str(error)
