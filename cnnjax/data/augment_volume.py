"""Placeholder."""


def augment(key, batch, **options):
  """Returns the batch."""
  return batch


def check(options):
  """Accepts all."""
