"""Text for people from an answer of `cnnjax.predict`."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

MOST = 5  # classes that are shown


def ranked(answer: dict[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
  """Returns an answer's most probable classes, best first."""
  each = zip(names, answer["probabilities"])
  return [{"class": n, "probability": p} for n, p in sorted(each, key=lambda of: -of[1])[:MOST]]


def above(answer: dict[str, Any], least: float) -> dict[str, Any]:
  """Returns a detector's answer, best first, without what has a score below `least`."""
  count = sum(score >= least for score in answer["scores"])
  lists = ("classes", "boxes", "labels", "scores", "masks")
  return {key: value[:count] if key in lists else value for key, value in answer.items()}


def as_text(
  answer: dict[str, Any], names: Sequence[str], whole: dict[str, Any] | None = None
) -> tuple[dict[str, Any], str]:
  """Returns a row for a table, and a caption, for a named answer of any task.

  Args:
    answer: with `targets`, `boxes`, `classes` or `class`.
    names: of the network's outputs.
    whole: a detector's answer before `above`, to say what was the best where nothing is left.
  """
  if "targets" in answer:
    shown = {name: f"{value:.4g}" for name, value in answer["targets"].items()}
    return shown, "\n".join(f"{name} {value}" for name, value in shown.items())
  if "boxes" in answer:
    each = [f"{n} {score:.2f}" for n, score in zip(answer["classes"], answer["scores"])]
    more = [f"and {len(each) - MOST} more"] if len(each) > MOST else []
    caption = ", ".join(f"{n} {name}" for name, n in Counter(answer["classes"]).most_common(MOST))
    row = {"boxes": len(each), "best": ", ".join(each[:MOST] + more)}
    if not each and whole:
      best = f"{whole['classes'][0]} {whole['scores'][0]:.2g}" if whole["scores"] else "no box"
      return row | {"best": f"nothing; the best is {best}"}, f"nothing\nbest {best}"
    return row, caption or "nothing"
  best = ranked(answer, names)
  each = [f"{one['class']} {one['probability']:.3f}" for one in best]
  if "classes" in answer:
    caption = ", ".join(answer["classes"]) or "none"
    return {"classes": caption, "probabilities": ", ".join(each)}, caption
  row = {"class": answer["class"], "probability": answer["probability"]}
  caption = f"{answer['class']}  {answer['probability']:.1%}"
  return {**row, "then": ", ".join(each[1:])}, caption
