"""Videos with one folder for each class: files, or folders of frames."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from cnnjax.data import video
from cnnjax.data.faults import attempt, kept
from cnnjax.data.files import check_inside, names_below, resize_only
from cnnjax.data.labels import listed
from cnnjax.data.split import find_splits, with_test
from cnnjax.data.stream import BY, Stream, by_threads
from cnnjax.data.table import Table
from cnnjax.errors import UserError, say, unknown
from cnnjax.ops.clip import ClipPreprocessing, drawn, spread


def load(
  root: str,
  seed: int,
  *,
  to: ClipPreprocessing,
  classes: Sequence[str] = (),
  test: float = 0.2,
  on_error: str = "raise",
  stream: str = "threads",
) -> dict[str, Table]:
  """Returns the splits of ROOT/SPLIT/CLASS/VIDEO, or those made of ROOT/CLASS/VIDEO.

  A video is a file, or a folder of images, which are its frames in the order of the numbers in
  their names. Videos are read batch by batch: a training sees a clip that begins anywhere, drawn by
  (seed, epoch); an evaluation sees `data.clips` of them, spread evenly over each video. Where a
  video is shorter than a clip, its last frame is repeated; how many are is printed.

  Args:
    root: holds the folders train, and maybe test and validation (or val), each with one folder for
      each class; or it holds the folders of the classes.
    seed: of the test split, where it has to be made, and of the clips.
    to: the run's preprocessing; where its channels are 0, clips are RGB.
    classes: the folders to take, in this order; by default all, sorted.
    test: the part of each class that becomes the test split, where there is no folder of it.
    on_error: "raise", or "skip" to leave out, and count, the videos that cannot be read to their
      ends; for that each is decoded once, at the start.
    stream: "threads" or "processes", which read ahead.

  Raises: UserError for a folder that is missing or empty, for classes that differ from those of
    train, for what is no video, and for a run without `data.frames`, or without a size where the
    videos have several.
  """
  if stream not in BY[1:]:
    raise unknown("data.arguments.stream", str(stream), BY[1:])
  if on_error not in ("raise", "skip"):
    raise unknown("data.arguments.on_error", str(on_error), ("raise", "skip"))
  if not to.frames:
    raise UserError(
      "data.frames is 0, but clips of files need their number: --config.data.frames=16"
    )
  chosen, folders = listed(classes), _splits(root)
  names = chosen or _names(folders["train"])
  found = {split: _videos(folder, names) for split, folder in folders.items()}
  paths = {split: list(chain.from_iterable(of_class)) for split, of_class in found.items()}
  every = list(chain.from_iterable(paths.values()))
  place = Path(root).expanduser().resolve()
  for path in every:
    check_inside(place, path)
  lengths = dict(zip(every, _lengths(every, on_error == "skip")))
  every = [path for path in every if lengths[path]]
  videos = _opened(every, [lengths[path] for path in every], seed, resize_only(to))
  _tell_short(videos)
  splits, start = {}, 0
  for split, of_class in found.items():
    whole = [[path for path in part if lengths[path]] for part in of_class]
    lost = [name for name, part in zip(names, whole) if not part]
    if lost:
      raise UserError(f"no video of class {lost[0]} in the {split} split can be read")
    label = np.repeat(np.arange(len(names), dtype=np.int32), [len(part) for part in whole])
    places = np.arange(start, start + len(label))
    column = Stream(videos, places, videos.row, stream, draw=videos.draw)
    called = names_below(place, list(chain.from_iterable(whole)))
    splits[split] = Table({"clip": column, "label": label}, names, called)
    start += len(label)
  return with_test(splits, test, seed)


@dataclass(frozen=True)
class Videos:
  """Videos of several lengths, of which clips are read: videos([2, 0]) -> [2, T, H, W, C].

  With several clips of each it is [2, K, T, H, W, C].

  Attributes:
    paths: of the videos.
    lengths: their numbers of frames.
    seed: of the clips that `draw` reads.
    to: how they are read.
    size: (H, W, C) of a frame.
  """

  paths: tuple[Path, ...]
  lengths: tuple[int, ...]
  seed: int
  to: ClipPreprocessing
  size: tuple[int, int, int]

  @property
  def row(self) -> tuple[int, ...]:
    """The shape of a video's clips."""
    return (*([self.to.clips] if self.to.clips > 1 else []), self.to.frames, *self.size)

  def __call__(self, places: np.ndarray) -> np.ndarray:
    rows = [self._read(n, spread(self.lengths[n], self.to)) for n in places.tolist()]
    return np.stack(rows).reshape(-1, *self.row)

  def draw(self, places: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Returns a clip of each video, [B, T, H, W, C], by (seed, epoch, place)."""
    rows = []
    for n, epoch in zip(places.tolist(), np.asarray(epochs).tolist()):
      rng = np.random.default_rng([self.seed, epoch, n])
      rows.append(self._read(n, drawn(rng, self.lengths[n], self.to)))
    return np.stack(rows)

  def _read(self, place: int, frames: np.ndarray) -> np.ndarray:
    clip = video.read(self.paths[place], frames, self.to)
    if clip.shape[-3:] != self.size:
      have, want = ("x".join(map(str, size[:2])) for size in (clip.shape[-3:], self.size))
      raise UserError(
        f"{self.paths[0]} has frames of {want} pixels and {self.paths[place]} of {have}; set "
        "data.resize to (height, width)"
      )
    return clip


def _opened(
  paths: Sequence[Path], lengths: Sequence[int], seed: int, to: ClipPreprocessing
) -> Videos:
  to = replace(to, channels=to.channels or 3)
  return Videos(tuple(paths), tuple(lengths), seed, to, video.size_of(paths[0], to))


def _lengths(paths: Sequence[Path], skip: bool) -> list[int]:
  """Returns each video's number of frames, with `skip` 0 for those that cannot be decoded."""

  def length(path: Path) -> int:
    count = video.count(path)
    if skip:
      video.read(path, np.asarray([count - 1]), ClipPreprocessing(resize=(1, 1)))
    return count

  def one(path: Path) -> int | UserError:
    return attempt(partial(length, path), "skip" if skip else "raise")

  found = by_threads(one, paths)
  kept(found, "videos")  # tells those that are none
  return [0 if isinstance(one, UserError) else one for one in found]


def _tell_short(videos: Videos) -> None:
  """Prints on standard error how many videos have fewer frames than a clip spans."""
  span = (videos.to.frames - 1) * videos.to.stride + 1
  short = [path for path, length in zip(videos.paths, videos.lengths) if length < span]
  if short:
    first = f"{short[0]} with {videos.lengths[videos.paths.index(short[0])]}"
    say(
      f"{len(short)} of {len(videos.paths)} videos are shorter than the {span} frames of a clip, "
      f"such as {first}: their last frame is repeated"
    )


def _splits(root: str) -> dict[str, Path]:
  """Returns the folder of each split; where the root has only classes, train is the root itself."""
  if not root:
    raise UserError(
      "data.root is empty; expected a folder that holds train/CLASS/VIDEO and test/CLASS/VIDEO, or "
      "CLASS/VIDEO: --config.data.root=FOLDER"
    )
  folder = Path(root).expanduser()
  if not folder.is_dir():
    raise UserError(f"data.root {root} is no folder; expected one with a folder for each class")
  found = {split: path for split, path in find_splits(folder).items() if path.is_dir()}
  if found and "train" not in found:
    raise UserError(f"data.root {root} has a folder {next(iter(found))}, but none named train")
  return found or {"train": folder}


def _names(folder: Path) -> tuple[str, ...]:
  names = tuple(path.name for path in _entries(folder) if path.is_dir())
  if not names:
    raise UserError(f"{folder} holds no folders; expected one for each class, with its videos")
  return names


def _videos(folder: Path, names: tuple[str, ...]) -> list[list[Path]]:
  """Returns the videos of each class in a split's folder."""
  there = _names(folder)
  odd = [name for name in names if name not in there]
  if odd:
    raise unknown(f"class of {folder}", odd[0], there)
  found = []
  for name in names:
    entries = _entries(folder / name)
    found.append([path for path in entries if video.is_video(path)])
    if not found[-1]:
      raise UserError(
        f"{folder / name} holds no video; expected files {' '.join(video.SUFFIXES)}, or folders of "
        "frames"
      )
    if len(found[-1]) < len(entries):
      first = next(path for path in entries if path not in found[-1])
      say(
        f"{len(entries) - len(found[-1])} of {len(entries)} entries of {folder / name} are no "
        f"videos, such as {first.name}: they are not read"
      )
  return found


def _entries(folder: Path) -> list[Path]:
  try:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
  except OSError as error:
    raise UserError(f"{folder} cannot be read: {error.strerror}") from error
