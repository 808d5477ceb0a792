"""What a batch holds and what counts as wrong; the one table of tasks.

A task is a module with `inputs`, `loss`, `metrics`, `summarise` and `predict`.
"""

from types import ModuleType

from cnnjax.errors import unknown
from cnnjax.tasks import classification

TASKS = {"classification": classification}


def task(name: str) -> ModuleType:
  """Returns a task by its name. Raises: UserError with the nearest names."""
  if name not in TASKS:
    raise unknown("task", name, TASKS)
  return TASKS[name]
