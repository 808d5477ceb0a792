"""Parameters chosen by a pattern in their path, such as trunk/conv1/kernel.

A pattern is a regular expression that may match anywhere in the path: "trunk/", "kernel$",
"head|fc".
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import jax

from cnnjax.errors import UserError

Tree = Any


def named(params: Tree) -> list[tuple[str, Any]]:
  """Returns each leaf with its path."""
  return [(_name(path), leaf) for path, leaf in jax.tree.leaves_with_path(params)]


def mapped(change: Callable[..., Any], params: Tree, *others: Tree) -> Tree:
  """Returns the tree of change(path, leaf, *leaves of the other trees)."""
  return jax.tree.map_with_path(lambda path, *ws: change(_name(path), *ws), params, *others)


def check(key: str, patterns: Iterable[Any], params: Tree) -> None:
  """Raises: UserError for a pattern that is no regular expression, or matches no parameter."""
  names = [name for name, _ in named(params)]
  for pattern in patterns:
    try:
      there = any(re.search(pattern, name) for name in names)
    except (re.error, TypeError) as error:
      raise UserError(f"{key}: {pattern!r} is no regular expression: {error}") from error
    if not there:
      shown = ", ".join(names[:3] + names[-2:])
      raise UserError(f"{key}: no parameter's path holds {pattern!r}; they are such as {shown}")


def _name(path: Any) -> str:
  return "/".join(str(key.key) for key in path)
