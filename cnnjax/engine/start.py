"""What a training starts from: the weights of another run or of a file."""

import warnings
from typing import Any

from cnnjax.checkpoints.transfer import load_pretrained
from cnnjax.data import pipeline


def pretrained(config: Any) -> tuple[dict[str, Any], list[str]]:
  """Returns the variables of the config's model with the weights of init.source, and what to say.

  Raises: UserError where the source cannot be read, or does not fit the model.
  """
  with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    variables = load_pretrained(
      config.model.name,
      config.init.source,
      seed=config.seed,
      trunk_only=config.init.trunk_only,
      num_classes=config.model.num_classes,
      preprocessing=pipeline.preprocessing(config.data),
      **config.model.arguments,
    )
  part = "the trunk of " if config.init.trunk_only else ""
  told = [str(w.message) for w in said if issubclass(w.category, UserWarning)]
  return variables, [f"{part}{config.init.source}", *told]
