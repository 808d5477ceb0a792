"""Files of class maps: a number or a colour a pixel, which stands for a class or for none."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cnnjax.data.image import open_image
from cnnjax.data.labels import listed
from cnnjax.errors import UserError
from cnnjax.ops.segmentation import VOID

MOST = 2**16 - 1  # largest number of a pixel
STRANGE = VOID + 1  # in a table of codes: no class


class Code(NamedTuple):
  """What the pixels of mask files mean.

  Attributes:
    table: uint16 [65536], the class of each number, `VOID` or `STRANGE`.
    colours: {red << 16 | green << 8 | blue: class or `VOID`}; {} where pixels are numbers.
    wanted: what a pixel may be, in words.
  """

  table: np.ndarray
  colours: dict[int, int]
  wanted: str


def code(
  root: Path,
  classes: Sequence[str] | str = (),
  values: Sequence[int] = (),
  colours: Sequence[Sequence[Any]] | str = (),
  void: Sequence[int | str] = (VOID,),
  objects: bool = False,
) -> tuple[Code, tuple[str, ...]]:
  """Returns the code of a set's mask files, and the names of its classes; () where none are given.

  Args:
    root: the folder that files of names and colours lie in.
    classes: names in order, or the name of a text file with one a line.
    values: the number that stands for each class; by default 0, 1, 2 and so on.
    colours: rows (name, red, green, blue), or the name of a CSV file of such rows, whose first line
      is a heading.
    void: numbers that are no class, where they do not stand for one; and names, in any case of
      letters, of `classes` or `colours` that are none.
    objects: whether numbers are those of objects: 0 is the first class, any other the second.

  Raises: UserError for a file that cannot be read, and for names, numbers and colours that do not
    fit each other.
  """
  names = _lines(root / classes) if isinstance(classes, str) else listed(classes)
  nothing = {str(name).casefold() for name in void if isinstance(name, str)}
  table = np.full(MOST + 1, STRANGE, np.uint16)
  for number in void:
    if not isinstance(number, str):
      table[_number(number, "void")] = VOID
  if colours:
    rows = _colours(root, colours)
    of = dict(zip(rows, _places(list(rows.values()), nothing)))
    known = tuple(name for name in rows.values() if name.casefold() not in nothing)
    return Code(table, of, f"one of the {len(of)} colours listed"), known
  if objects:
    names = names or ("background", "object")
    if len(names) != 2:
      raise UserError(f"data.arguments.objects makes two classes; found {', '.join(names)}")
    table[:] = 1
    table[0] = 0
    return Code(table, {}, f"0 to {MOST}"), names
  numbers = [_number(number, "values") for number in values] or list(range(len(names) or VOID))
  if len(set(numbers)) < len(numbers) or (names and len(numbers) != len(names)):
    raise UserError(
      f"data.arguments.values must be another number for each of the {len(names)} classes; found "
      f"{tuple(values)}"
    )
  if values and not names:
    names = tuple(map(str, numbers))
  places = _places(names, nothing) if names else numbers
  free = [n for n in numbers if table[n] != VOID or values or names]
  table[free] = [places[numbers.index(n)] for n in free]
  told = f"{numbers[0]} to {numbers[-1]}" if numbers == list(range(len(numbers))) else str(numbers)
  rest = [n for n in void if not isinstance(n, str) and table[n] == VOID]
  wanted = told + (f", or {' or '.join(map(str, rest))} for void" if rest else "")
  return Code(table, {}, wanted), tuple(n for n in names if n.casefold() not in nothing)


def read(path: Path, by: Code) -> np.ndarray:
  """Returns the class map of a mask file, uint8 [H, W], with `VOID` where there is no class.

  Raises: UserError for a file that is no image, colours without a list of them, and a number or a
    colour that stands for nothing, with its first pixel.
  """
  with open_image(path) as file:
    if not by.colours:
      return coded(path, _numbers(path, np.asarray(file), file.mode), by)
    red, green, blue = np.moveaxis(np.asarray(file.convert("RGB"), np.int32), -1, 0)
  numbers, known = (red << 16) | (green << 8) | blue, np.asarray(sorted(by.colours))
  place = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
  classes = np.asarray([by.colours[colour] for colour in known.tolist()], np.uint16)
  return _checked(path, np.where(known[place] == numbers, classes[place], STRANGE), numbers, by)


def coded(path: Path, numbers: np.ndarray, by: Code) -> np.ndarray:
  """Returns the classes uint8 [*S] of a file's whole numbers [*S], `VOID` where there is none.

  Raises: UserError for a number that stands for nothing, with its first pixel or voxel.
  """
  outside = (numbers < 0) | (numbers > MOST)
  found = np.where(outside, STRANGE, by.table[np.where(outside, 0, numbers)])
  return _checked(path, found, numbers, by)


def _numbers(path: Path, pixels: np.ndarray, mode: str) -> np.ndarray:
  """Returns the numbers [H, W] of a mask; of a grey one in colour, its only level."""
  if mode in ("1", "L", "P") or mode.startswith("I"):
    return pixels.astype(np.int64)
  levels = pixels[..., : 1 if mode == "LA" else 3]
  if mode in ("RGB", "RGBA", "LA") and (levels == levels[..., :1]).all():
    return levels[..., 0].astype(np.int64)
  raise UserError(
    f"{path} is of mode {mode}; expected a number a pixel; where colours stand for classes, list "
    "them: 'colours': (('NAME', RED, GREEN, BLUE), ...) in data.arguments, or a CSV file of such "
    "rows"
  )


def _checked(path: Path, found: np.ndarray, numbers: np.ndarray, by: Code) -> np.ndarray:
  if found.max() < STRANGE:
    return found.astype(np.uint8)
  strange = found == STRANGE
  place = tuple(int(n) for n in np.unravel_index(strange.argmax(), strange.shape))
  number = int(numbers[place])
  what = f"the value {number}"
  if by.colours:
    what = f"the colour ({number >> 16}, {number >> 8 & 255}, {number & 255})"
  where, one = "at row {}, column {}", "pixels"
  if len(place) == 3:
    where, one = "at depth {}, row {}, column {}", "voxels"
  raise UserError(
    f"{path} has {what} {where.format(*place)}, and {strange.sum():,} such {one}; expected "
    f"{by.wanted}"
  )


def _places(names: Sequence[str], nothing: set[str]) -> list[int]:
  """Returns the class of each name, counted without those that are none, which are `VOID`."""
  there = [name.casefold() not in nothing for name in names]
  if sum(there) > VOID:
    raise UserError(f"a class map holds at most {VOID} classes; found {sum(there)}")
  places = np.cumsum(there) - 1
  return [int(place) if one else VOID for place, one in zip(places, there)]


def _number(value: Any, name: str) -> int:
  if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST:
    raise UserError(
      f"data.arguments.{name} must hold whole numbers from 0 to {MOST}; found {value!r}"
    )
  return value


def _lines(path: Path) -> tuple[str, ...]:
  try:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
  except (OSError, UnicodeDecodeError) as error:
    raise UserError(f"{path} cannot be read as a list of classes: {error}") from error
  return listed([line.strip() for line in lines if line.strip()])


def _colours(root: Path, colours: Any) -> dict[int, str]:
  """Returns {red << 16 | green << 8 | blue: name}."""
  where = "data.arguments.colours"
  if isinstance(colours, str):
    where = str(root / colours)
    try:
      with open(where, newline="", encoding="utf-8-sig") as file:
        colours = [row for row in csv.reader(file) if row][1:]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
      raise UserError(f"{where} cannot be read as a list of colours: {error}") from error
  found: dict[int, str] = {}
  for row in colours:
    try:
      name, *levels = row
      red, green, blue = (int(level) for level in levels)
      assert 0 <= min(red, green, blue) <= max(red, green, blue) < 256
    except (TypeError, ValueError, AssertionError):
      raise UserError(
        f"{where} has the row {row!r}; expected a name, and red, green and blue from 0 to 255"
      ) from None
    number = red << 16 | green << 8 | blue
    if number in found or str(name).strip() in found.values():
      raise UserError(f"{where} has the row {row!r}, but its name or colour stands there already")
    found[number] = str(name).strip()
  return found
