"""Checkpoints of runs, and weights from and to other libraries' files."""

from cnnjax.checkpoints.opened import open_weights
from cnnjax.checkpoints.transfer import export, load_pretrained
