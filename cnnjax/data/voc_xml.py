"""One annotation of PASCAL VOC: an XML file in any encoding, of an image with its boxes."""

import codecs
import math
import re
from pathlib import Path
from xml.etree import ElementTree

from cnnjax.data.boxes import Box, Example
from cnnjax.data.names import Listing, shown, text
from cnnjax.errors import UserError

MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
WIDER = {"gb2312": "gb18030", "gbk": "gb18030"}  # what programs write under these names
FLAGS = {"0": False, "1": True, "false": False, "true": True, "": False, "unspecified": False}


def example(file: Path, images: Path, name: str, first: int, listing: Listing) -> Example:
  """Returns the annotation that an XML file holds for an image.

  Args:
    file: the XML file.
    images: the folder of the image.
    name: the image's, with or without its suffix; where no image has it, `<filename>` says it.
    first: number of the first pixel, which is subtracted from xmin and ymin.
    listing: of the folders.

  Raises: UserError for a file that is missing or no XML, that lacks the size, a name or a box, or
    whose image is not there.
  """
  tree = _parse(file)
  size = tree.find("size")
  if size is None:
    raise UserError(f"{file} has no size; expected <size> with <width> and <height>")
  width, height = (_number(size, key, file) for key in ("width", "height"))
  unknown = width == height == 0  # programs that did not open the image write this
  for side in () if unknown else (width, height):
    if side != int(side) or not 0 < side < 2**31:
      raise UserError(
        f"{file} states the size {width:g}x{height:g}; expected whole numbers of pixels above 0"
      )
  boxes = [_box(node, file, first) for node in tree.iterfind("object")]
  image = _image(images, name, tree.findtext("filename", "").strip(), listing)
  return Example(image, boxes, None if unknown else (int(height), int(width)), str(file))


def _parse(file: Path) -> ElementTree.Element:
  """Returns the root of an XML file, decoded by its mark, by its declaration, or as UTF-8."""
  try:
    data = file.read_bytes()
  except FileNotFoundError:
    raise UserError(f"no annotation at {file}") from None
  except OSError as error:
    raise UserError(f"{file} cannot be read: {error}") from error
  mark = next((encoding for start, encoding in MARKS.items() if data.startswith(start)), "")
  wide = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}.get(data[:2], mark)
  said = re.match(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([^\"']*)", data)
  encoding = wide or (said[1].decode("ascii", "replace").lower() if said else "utf-8")
  if not wide and encoding.startswith(("utf-16", "ucs-2", "unicode")):
    encoding = "utf-8"  # declared in the memory of a program, and then written as UTF-8
  try:
    written = data.decode(WIDER.get(encoding, encoding)).removeprefix("\ufeff")
    return ElementTree.fromstring(written)  # of text, whose declaration no longer counts
  except LookupError:
    said = f"its encoding {shown(encoding)} is unknown"
    raise UserError(f"{file} cannot be read as XML: {said}") from None
  except UnicodeError as error:
    raise UserError(f"{file} cannot be read as XML in {encoding}: {error}") from error
  except (ElementTree.ParseError, ValueError) as error:
    raise UserError(f"{file} cannot be read as XML: {error}") from error


def _box(node: ElementTree.Element, file: Path, first: int) -> Box:
  name, corners = node.findtext("name", "").strip(), node.find("bndbox")
  if not name or corners is None:
    raise UserError(f"{file} has an object without a {'bndbox' if name else 'name'}")
  x0, y0, x1, y1 = (_number(corners, key, file) for key in ("xmin", "ymin", "xmax", "ymax"))
  if x1 < x0 or y1 < y0:
    raise UserError(
      f"{file} has a {name} from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}); expected xmin and ymin "
      "below xmax and ymax"
    )
  said = node.findtext("difficult", "").strip().lower()
  if said not in FLAGS:
    raise UserError(f"{file} has a {name} whose difficult is {shown(said)}; expected 0 or 1")
  flag, name = FLAGS[said], text(name, f"{file}: the name of an object")
  if x1 == x0 or y1 == y0:  # xmax == xmin is a click of the annotator, not a box one pixel wide
    return Box((x0, y0, x0, y0), name, flag)
  return Box((x0 - first, y0 - first, x1, y1), name, flag)


def _number(node: ElementTree.Element, key: str, file: Path) -> float:
  said = node.findtext(key, "")
  try:
    value = float(said)
  except ValueError:
    value = math.nan
  if not math.isfinite(value):
    raise UserError(f"{file}: {key} of <{node.tag}> must be a number; found {shown(said)}")
  return value


def _image(folder: Path, name: str, other: str, listing: Listing) -> Path:
  """Returns the image file of a name, else that of the other name, which its annotation states."""
  found = listing.image(folder, name)
  if found is None and other and "\0" not in other:
    found = listing.image(folder, other)
  if found is None:
    also = f" or {other}" if other and Path(other).stem != name else ""
    raise UserError(f"no image of {name}{also} in {folder}; expected {name}.jpg, .png or another")
  return found
