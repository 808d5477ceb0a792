"""VOC folders of many layouts and encodings, and annotations that are wrong."""

import unicodedata

import pytest

from cnnjax.errors import UserError
from tests.data.test_boxes import DOG, SIZE, xml
from tests.data.test_folder import load, save

NFC, NFD = (unicodedata.normalize(form, "Köter") for form in ("NFC", "NFD"))


def read(folder, **options):
  return load(folder, name="voc", **options)


def told(folder, **options):
  with pytest.raises(UserError) as error:
    read(folder, **options)
  assert "\n" not in str(error.value)
  return str(error.value)


def put(folder, name, images="JPEGImages", annotations="Annotations", *objects):
  """Writes an image and its annotation, and returns that."""
  save(folder / images / f"{name}.png", (40, 60))
  return xml(folder / annotations / f"{name}.xml", *(objects or (DOG,)))


@pytest.mark.parametrize(
  ("images", "annotations"),
  [
    ("images", "annots"),
    ("images", "annotations"),
    ("", ""),
    ("{split}", "{split}"),
    ("{split}/images", "{split}/annotations"),
    ("images/{split}", "labels/{split}"),
    ("Images", "Labels"),
  ],
)
def test_the_message_says_the_arguments_which_read_a_near_layout(tmp_path, images, annotations):
  for split in ("train", "valid", "Test") if "{split}" in images else ("",):
    for n in range(3):
      where = (pattern.replace("{split}", split) for pattern in (images, annotations))
      put(tmp_path, f"{split}{n}", *where)
  arguments = {"annotations": annotations, "images": images}
  message = told(tmp_path)
  assert f'add --config.data.arguments="{arguments}"' in message
  count = 9 if "{split}" in images else 3
  assert f"{annotations or tmp_path.name}/ with {count} XML" in message
  splits = read(tmp_path, **arguments)
  want = {"train": 3, "validation": 3, "test": 3} if count == 9 else {"train": 2, "test": 1}
  assert {split: len(table) for split, table in splits.items()} == want
  assert splits["train"].columns["areas"].tolist() == [[400]] * want["train"]


def test_lists_that_are_not_read_are_told(tmp_path, capsys):
  for n in range(3):
    put(tmp_path, str(n))
  (tmp_path / "train.txt").write_text("0\n1\n")
  (tmp_path / "test.txt").write_text("2\n")
  assert len(read(tmp_path, test=0.5)["test"]) == 2
  assert "add 'lists': '{split}.txt' to data.arguments" in capsys.readouterr().err
  assert len(read(tmp_path, lists="{split}.txt")["test"]) == 1
  assert not capsys.readouterr().err


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lists_with_blanks_and_suffixes(tmp_path, mark):
  names = ("a b", "c.d", "e 1", "f", "g")
  for name in names:
    put(tmp_path, name)
  text = f"{mark}a b.png\nc.d\ne 1\n\nf  -1\ng.jpg 1\r\n"
  (tmp_path / "train.txt").write_text(text, "utf-8")
  (tmp_path / "test.txt").write_text("a b\n")
  assert len(read(tmp_path, lists="{split}.txt")["train"]) == 5
  (tmp_path / "train.txt").write_text("f\nf 1\n")
  assert "train.txt names f twice" in told(tmp_path, lists="{split}.txt")
  (tmp_path / "train.txt").write_text("f\0\n")
  assert "train.txt is no list of names: it holds a NUL" in told(tmp_path, lists="{split}.txt")


def test_the_file_name_in_an_annotation_is_used_where_the_names_differ(tmp_path):
  for n in range(2):
    file = put(tmp_path, f"x{n}")
    text = file.read_text().replace("<size>", f"<filename>photo {n}.png</filename><size>")
    file.write_text(text)
    (tmp_path / "JPEGImages" / f"x{n}.png").rename(tmp_path / "JPEGImages" / f"photo {n}.png")
  assert len(read(tmp_path, test=0.5)["train"]) == 1
  (tmp_path / "JPEGImages" / "photo 1.png").unlink()
  assert "no image of x1 or photo 1.png in " in told(tmp_path)


def test_a_size_of_0x0_is_no_size(tmp_path):
  for n in range(2):
    file = put(tmp_path, str(n))
    text = file.read_text().replace("<width>60", "<width>0").replace("<height>40", "<height>0")
    file.write_text(text)
  assert read(tmp_path, test=0.5)["train"].columns["size"].tolist() == [[40, 60]]


@pytest.mark.parametrize(
  ("declared", "written"),
  [
    (None, "utf-8"),
    (None, "utf-8-sig"),
    (None, "utf-16"),
    ("UTF-8", "utf-8-sig"),
    ("ISO-8859-1", "latin-1"),
    ("windows-1252", "cp1252"),
    ("UTF-16", "utf-16"),
    ("UTF-16", "utf-16-le"),
    ("utf-16", "utf-8"),
    ("GBK", "gbk"),
    ("gb2312", "gb18030"),
    ("Big5", "big5"),
    ("Shift_JIS", "shift_jis"),
  ],
)
def test_annotations_in_any_encoding(tmp_path, declared, written):
  name = "犬" if written[0] in "gbs" else NFC
  for n in range(2):
    file = put(tmp_path, str(n), "JPEGImages", "Annotations", (name, DOG[1]))
    head = f'<?xml version="1.0" encoding="{declared}"?>\n' if declared else ""
    file.write_bytes((head + file.read_text("utf-8")).encode(written))
  assert read(tmp_path, test=0.5)["train"].classes == (name,)


def bomb(levels=9):
  """Returns XML of which each entity holds ten of the one before."""
  entities = "".join(
    f'<!ENTITY e{n} "{f"&e{n - 1};" * 10 if n else "dog" * 10}">' for n in range(levels)
  )
  return f"<!DOCTYPE a [{entities}]><annotation><name>&e{levels - 1};</name></annotation>"


@pytest.mark.parametrize(
  ("content", "sentence"),
  [
    (b'<?xml version="1.0" encoding="klingon"?><a/>', "its encoding 'klingon' is unknown"),
    (b'<?xml version="1.0" encoding="zlib"?><a/>', "its encoding 'zlib' is unknown"),
    (b"<annotation>\xff</annotation>", "cannot be read as XML in utf-8"),
    (b"", "cannot be read as XML"),
    (b"<annotation>\0</annotation>", "cannot be read as XML"),
    (bomb().encode(), "cannot be read as XML: limit on input amplification"),
    (b"<a>" * 200_000, "cannot be read as XML"),
    (b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>', "undefined entity"),
    ("<annotation>{size}<object/></annotation>", "has an object without a name"),
  ],
)
def test_a_broken_annotation_is_named_and_skipped(tmp_path, content, sentence, capsys):
  for n in range(3):
    file = put(tmp_path, str(n))
  data = content if isinstance(content, bytes) else content.format(size=SIZE).encode()
  file.write_bytes(data)
  assert "2.xml" in told(tmp_path) and sentence in told(tmp_path)
  assert "on_error=skip" in told(tmp_path)
  assert len(read(tmp_path, on_error="skip", test=0.5)["train"]) == 1
  err = capsys.readouterr().err
  assert "left out 1 of 3 examples:" in err and sentence in err


@pytest.mark.parametrize(
  ("old", "new", "sentence"),
  [
    ("<width>60", "<width>0", "states the size 0x40; expected whole numbers of pixels above 0"),
    ("<width>60", "<width>-60", "states the size -60x40"),
    ("<width>60", "<width>60.5", "states the size 60.5x40"),
    ("<width>60", "<width>nan", "width of <size> must be a number; found 'nan'"),
    ("<width>60", "<width>1e400", "width of <size> must be a number"),
    ("<width>60", "<width>61", "is of 61x40 pixels, but "),
    ("<xmin>11", "<xmin>inf", "xmin of <bndbox> must be a number; found 'inf'"),
    ("<xmin>11", f"<xmin>{'9' * 5000}", "xmin of <bndbox> must be a number; found '999"),
    ("<xmin>11", "<xmin>31", "has a dog from (31, 5) to (30, 24); expected xmin and ymin below"),
    ("dog</name>", "dog</name><difficult>maybe</difficult>", "whose difficult is 'maybe'"),
    ("dog</name>", "cow</name>", "unknown class in "),
  ],
)
def test_a_wrong_number_is_named_and_skipped(tmp_path, old, new, sentence, capsys):
  for n in range(3):
    file = put(tmp_path, str(n))
  file.write_text(file.read_text().replace(old, new))
  message = told(tmp_path, classes=("dog",))
  assert sentence in message and "2.xml" in message and len(message) < 600
  assert len(read(tmp_path, on_error="skip", test=0.5, classes=("dog",))["train"]) == 1
  assert sentence in capsys.readouterr().err


def test_names_that_differ_in_unicode_form_alone(tmp_path):
  for n, (image, note) in enumerate([(NFC, NFD), (NFD, NFC)]):
    save(tmp_path / "JPEGImages" / f"{image}{n}.png", (40, 60))
    xml(tmp_path / "Annotations" / f"{note}{n}.xml", ((NFC, NFD)[n], DOG[1]))
  (tmp_path / "train.txt").write_text(f"{NFC}0\n{NFC}1\n", "utf-8")
  (tmp_path / "test.txt").write_text(f"{NFD}0\n{NFD}1\n", "utf-8")
  splits = read(tmp_path, lists="{split}.txt", classes=[NFD])
  assert splits["train"].classes == (NFC,) and len(splits["test"]) == 2


def test_what_lies_beside_and_is_not_read(tmp_path, capsys):
  for n in range(2):
    put(tmp_path, str(n))
  save(tmp_path / "JPEGImages" / "more.jpg")
  (tmp_path / "Annotations" / "._0.xml").write_bytes(b"\0\5\26\7")  # macOS's
  assert len(read(tmp_path, test=0.5)["train"]) == 1
  err = capsys.readouterr().err
  assert err == f"not read below {tmp_path}: 1 .jpg (JPEGImages/more.jpg)\n"
  save(tmp_path / "JPEGImages" / "1.jpg", (40, 60))
  assert "two images have one name: " in told(tmp_path)
