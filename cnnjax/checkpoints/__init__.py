"""Checkpoints of runs, and weights from and to other libraries' files."""

from cnnjax.checkpoints.transfer import export, load_pretrained
