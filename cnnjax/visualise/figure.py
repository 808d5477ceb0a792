"""Figures are made without pyplot, so that nothing depends on a display, and written whole."""

from pathlib import Path

from matplotlib.figure import Figure


def save(figure: Figure, path: str | Path) -> None:
  """Writes a PNG, whole or not at all."""
  path = Path(path)
  scratch = path.with_name(path.name + ".tmp")
  figure.savefig(scratch, format="png", dpi=120, bbox_inches="tight")
  scratch.replace(path)
