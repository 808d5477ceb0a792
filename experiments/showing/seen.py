"""What people are shown of the first answers: a table, and pictures."""

from pathlib import Path
from typing import Any

import numpy as np

import cnnjax
from cnnjax.data import inputs
from cnnjax.data.scan import stem_of
from cnnjax.engine import log
from cnnjax.visualise.answers import above, as_text, ranked
from cnnjax.visualise.figure import save
from cnnjax.visualise.film import save_film
from cnnjax.visualise.sheet import contact_sheet
from cnnjax.visualise.text import short

from . import detections, prompted
from . import segments as class_maps

LISTED, SIDE = 100, 256  # answers that are printed, and the longest side of a picture on the sheet


class Seen:
  """The first answers of a run, and small pictures of their examples; `add` each answer once.

  Args:
    run: that answers.
    least: smallest score of a detector's boxes that are seen.
    pictures: how many answers are drawn.
    out: the folder of what is written.
  """

  def __init__(self, run: cnnjax.Run, least: float, pictures: int, out: Path):
    self.run, self.least, self.pictures, self.out = run, least, pictures, out
    self.count, self.rows = 0, {}
    self.answers, self.captions, self.small = [], [], []
    self.films = []  # of clips: frames, caption, name

  def add(
    self, answer: dict[str, Any], example: np.ndarray, segments: np.ndarray | None = None
  ) -> dict[str, Any]:
    """Returns the answer, with the most probable classes of a classifier's as `top`.

    Args:
      answer: as it is written.
      example: that was answered.
      segments: the class map that the answer had, or the masks [P, H, W] of its prompts.
    """
    classes, seen = self.run.config.data.classes, answer
    if "probabilities" in answer:
      answer = {**answer, "top": ranked(answer, classes)}
    self.count += 1
    if self.count <= max(LISTED, self.pictures):
      seen = above(answer, self.least) if "boxes" in answer else answer
      asked = "prompts" in answer
      of_map = segments is not None and not asked
      if asked or of_map:
        row, caption = (prompted if asked else class_maps).as_text(seen)
      else:
        row, caption = as_text(seen, classes, answer)
      if self.count <= LISTED:
        self.rows[short(answer["file"], 200)] = row
      if self.count <= self.pictures:
        self.captions.append(f"{caption}\n{Path(answer['file']).name}")
        self.answers.append(seen)
        kind = inputs.kind(self.run.config.data.input)
        if asked:
          self.small.append(prompted.drawn(answer, segments, example, self.out, SIDE))
        elif of_map:
          mask = self.out / answer["mask"]
          path = mask.parents[1] / f"{stem_of(mask)}.png"
          self.small.append(class_maps.drawn(segments, example, classes, path, SIDE, kind))
        elif "boxes" not in answer:
          self.small.append(kind.picture(example, SIDE))
          if hasattr(kind, "film"):
            name = f"{self.count - 1}_{Path(answer['file']).stem}.gif"
            self.films.append((kind.film(example, SIDE // 2), caption, name))
    return answer

  def table(self) -> None:
    """Prints the first answers."""
    log.grid(f"{self.run.folder}, checkpoint {self.run.step}", self.rows)
    if self.count > LISTED:
      print(f"these are the first {LISTED:,} of {self.count:,} answers")

  def draw(self, out: Path) -> None:
    """Writes predictions.png, and a detector's images with boxes into the folder predictions."""
    if not self.answers:
      return
    if {"mask", "prompts"} & self.answers[0].keys():
      where = out / "predictions"
      print(
        f"wrote {self.count:,} masks in {where / 'masks'}, {len(self.small):,} drawn in {where}"
      )
    if "boxes" in self.answers[0]:
      self.small = detections.draw(self.answers, out / "predictions", SIDE)
      print(f"wrote {len(self.small):,} images in {out / 'predictions'}")
    for frames, caption, name in self.films:
      (out / "predictions").mkdir(exist_ok=True)
      save_film(frames, caption, out / "predictions" / name)
    if self.films:
      print(f"wrote {len(self.films):,} films in {out / 'predictions'}")
    save(contact_sheet(self.small, self.captions), out / "predictions.png")
    rest = len(self.small) < self.count
    more = f" of the first {len(self.small):,} (--pictures=N: of the first N)" if rest else ""
    print(f"wrote {out / 'predictions.png'}{more}")
