"""A network with some of its modules left out, to see what they cost or add."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import flax.linen as nn


@contextmanager
def bypass(chosen: Callable[[nn.Module], bool]) -> Iterator[None]:
  """Makes the chosen modules return their input, in all networks traced in this context.

  Initialise a network in it too where its later layers then have other numbers of input channels.
  """

  def call(next_call, args, kwargs, context):
    if context.method_name == "__call__" and chosen(context.module):
      return args[0]
    return next_call(*args, **kwargs)

  with nn.intercept_methods(call):
    yield
