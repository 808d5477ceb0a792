"""YOLO's `data.yaml`: the names of the classes, and where each split's images are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cnnjax.data.files import check_inside
from cnnjax.data.inputs.image import SUFFIXES
from cnnjax.data.names import shown, text
from cnnjax.data.split import SPLITS, split_of
from cnnjax.errors import UserError

LARGEST = 10**7  # bytes
Paths = dict[str, list[Path]]


def read(file: Path) -> Mapping[str, Any]:
  """Returns what a YAML file holds. Raises: UserError where that is no table of keys."""
  import yaml  # ml-collections needs it too

  try:
    if file.stat().st_size > LARGEST:
      raise UserError(f"{file} has more than {LARGEST:,} bytes; expected a short table of keys")
    data = yaml.safe_load(file.read_bytes())
  except RecursionError:
    raise UserError(f"{file} cannot be read as YAML: it is nested too deep") from None
  except (OSError, ValueError, yaml.YAMLError) as error:
    raise UserError(f"{file} cannot be read as YAML: {' '.join(str(error).split())}") from error
  if not isinstance(data, dict):
    raise UserError(f"{file} is no table of keys; expected train, val and names")
  return data


def class_names(file: Path, data: Mapping[str, Any]) -> dict[int, str]:
  """Returns the names of the classes by their numbers, from a list or a table.

  Raises: UserError where there are none, for what is no name, a name that stands twice, and another
    number of them than `nc`.
  """
  found = data.get("names")
  rows = list(enumerate(found)) if isinstance(found, list) else found
  rows = list(rows.items()) if isinstance(rows, dict) else rows
  if not rows or not isinstance(rows, list):
    raise UserError(f"{file}: its names are {shown(found)}; expected a list, or a table 0: NAME")
  names: dict[int, str] = {}
  for number, name in rows:
    if not str(number).isdecimal() or len(str(number)) > 9:
      raise UserError(f"{file}: {shown(number)} in its names is no number of a class")
    names[int(number)] = text(name, f"{file}: the name of class {number}")
    if list(names.values()).count(names[int(number)]) > 1:
      raise UserError(f"{file} has two classes called {names[int(number)]}; expected one")
  count = data.get("nc", len(names))
  if count != len(names):
    raise UserError(f"{file}: nc is {shown(count)}, but it has {len(names)} names")
  return names


def images(root: Path, file: Path, data: Mapping[str, Any]) -> tuple[Paths, list[str]]:
  """Returns the image files of each split that a YAML file names, and what it names in vain.

  A path is a folder, a text file with a path on each line, or a list of these. It is relative to
  the key `path`, to the YAML's folder or to the root; leading "../" are also tried without, since
  programs write "../train/images" for a folder beside the YAML.

  Raises: UserError where train is not there, for a path out of the root, and for two keys of one
    split.
  """
  given: dict[str, tuple[str, Any]] = {}
  for key, value in data.items():
    split = split_of(key) if isinstance(key, str) else ""
    if split and value:
      if split in given:
        raise UserError(f"{file}: {given[split][0]} and {key} are both the {split} split")
      given[split] = (key, value)
  own = data.get("path")
  bases = [file.parent / own] if isinstance(own, str) and "\0" not in own else []
  bases += [file.parent, root]
  found, vain = {}, []
  for split in SPLITS:
    if split in given:
      key, value = given[split]
      there = [
        _place(root, bases, file, key, v) for v in (value if isinstance(value, list) else [value])
      ]
      if None not in there:
        found[split] = [image for place in there for image in _of(root, bases, place)]
      else:
        vain.append(f"{file}: {key} is {shown(value)}, but there is no such folder or file")
  if "train" not in found:
    raise UserError(
      vain[0] if "train" in given else f"{file} has no key train; expected its images"
    )
  return found, vain


def _place(root: Path, bases: list[Path], file: Path, key: str, value: Any) -> Path | None:
  if not isinstance(value, str) or "\0" in value:
    raise UserError(f"{file}: {key} is {shown(value)}; expected the path of a folder of images")
  path = rest = value.replace("\\", "/")
  while rest.startswith(("../", "./")):
    rest = rest.partition("/")[2]
  tried = [base / way for way in (path, rest) for base in bases if (base / way).exists()]
  inside = [p for p in tried if p.resolve().is_relative_to(root.resolve())]
  if tried and not inside:
    check_inside(root.resolve(), tried[0])
  return inside[0] if inside else None


def _of(root: Path, bases: list[Path], place: Path) -> list[Path]:
  """Returns the images below a folder, or those that a text file lists."""
  if place.is_dir():
    return below(place)
  try:
    lines = [line.strip() for line in place.read_text(encoding="utf-8-sig").splitlines()]
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{place} cannot be read as a list of images: {error}") from error
  found = [_place(root, [place.parent, *bases], place, "a line", line) for line in lines if line]
  lost = [line for line, path in zip(filter(None, lines), found) if path is None]
  if lost:
    raise UserError(f"{place} names {shown(lost[0])}, but there is no such image")
  return found


def below(folder: Path) -> list[Path]:
  """Returns the images in a folder and in those below it."""
  found = (p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
  return sorted(p for p in found if not p.name.startswith(".") and p.is_file())
