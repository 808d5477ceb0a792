"""A finding about a claim: the deck's figure, ours, and whether ours supports the claim."""

from typing import Any, NamedTuple

from cnnjax.engine import log


class Finding(NamedTuple):
  """One figure of a claim.

  Attributes:
    what: the figure's name.
    deck: the deck's figure, "" where it gives none.
    ours: the figure that was counted or measured here.
    holds: whether ours supports the deck's; None where the deck gives none, or ours is not clear.
  """

  what: str
  deck: Any
  ours: Any
  holds: bool | None = None


def equal(what: str, deck: int, ours: int) -> Finding:
  """Returns the finding of two counts that should be the same."""
  return Finding(what, f"{deck:,}", f"{ours:,}", deck == ours)


def show(title: str, findings: list[Finding]) -> None:
  """Prints the findings, and then again those that contradict the deck."""
  marks = {True: "yes", False: "NO"}
  rows = {
    f.what: {
      "deck": f.deck,
      "here": f.ours,
      "holds": marks.get(f.holds, "open" if f.deck else ""),
    }
    for f in findings
  }
  log.grid(title, rows)
  for f in findings:
    if f.holds is False:
      print(f"contradicted: {f.what}: the deck says {f.deck}, here {f.ours}")
