"""Runs saved and restored, weights from elsewhere, and back."""

from cnnjax.checkpoints.transfer import export, load_pretrained
