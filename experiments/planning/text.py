"""A plan as a config file that says why."""

import textwrap

from .plan import Plan
from .seen import Seen

HEAD = '''"""A 3-D U-Net on {data}, as its volumes suggest.

Written by `python -m experiments.configure` from {count} volumes; it is a file to be changed.

  python -m experiments.train --config={path} \\\\
    --config.data.root=FOLDER
"""

from cnnjax.keys import defaults


def get_config(mode="full"):
  config = defaults("segmentation", "volume")
'''
AUGMENT = dict(  # nnU-Net's, as far as they are strengths
  flip=True, flip_vertical=True, flip_depth=True, rotate=30.0, scale=(0.7, 1.4), gamma=0.4,
  brightness=0.25, contrast=0.25, noise=0.3, blur=1.0, low_resolution=(0.5, 1.0),
)  # fmt: skip
QUICK = """  if mode == "quick":
    config.model.arguments = dict(widths=(8, 16), norm="instance")
    config.data.update(name="solids", batch_size=4, spacing=(), tile=(16, 16, 16))
    config.data.arguments = dict(examples=32, size=18)
    config.augment.update(rotate=0.0, scale=(), gamma=0.0, brightness=0.0, contrast=0.0)
    config.augment.update(noise=0.0, blur=0.0, low_resolution=())
    config.train.update(epochs=2.0, evaluate_every=1.0, log_every=4)
  return config.lock()
"""


def written(plan: Plan, seen: Seen, data: str, path: str, arguments: dict, steps: int) -> str:
  """Returns the text of a config.

  Args:
    plan: of the training.
    seen: what it follows from.
    data: the name of the set.
    path: of the file that is written.
    arguments: of the source `volumes`.
    steps: of the training.
  """
  kept = len(seen.sizes) * 0.9  # without the validation split
  epochs = round(steps * plan.batch / kept, 1)
  shares = seen.voxels / seen.voxels.sum()
  told = ", ".join(f"{name} {share:.2%}" for name, share in zip(seen.classes, shares))
  lines = [HEAD.format(data=data, count=len(seen.sizes), path=path)]
  add = lambda text, why="": lines.append(_line(text, why))  # noqa: E731
  add('config.model.name = "unet3d"')
  pools = "" if plan.pools == ((2, 2, 2),) * len(plan.pools) else f", pools={plan.pools}"
  add(
    f'config.model.arguments.update(widths={plan.widths}{pools}, norm="instance")',
    plan.reasons["model.arguments.widths"]
    + ". Instance norm: a batch is too small for its own moments",
  )
  add(f'config.data.update(name="volumes", arguments={arguments!r}, validation=0.1)')
  add(f"config.data.spacing = {plan.spacing}", plan.reasons["data.spacing"])
  add(f'config.data.normalize = "{plan.normalize}"', plan.reasons["data.normalize"])
  if plan.normalize == "all":
    add(f"config.data.clip = ({seen.low:.6g}, {seen.high:.6g})")
    add(f"config.data.update(mean=({seen.mean:.6g},), std=({seen.std:.6g},))")
  add(f"config.data.tile = {plan.tile}", plan.reasons["data.tile"])
  add(f"config.data.batch_size = {plan.batch}", plan.reasons["data.batch_size"])
  add("config.task.update(cross_entropy=1.0, dice=1.0)", f"classes are of unlike size: {told}")
  add(f"config.augment.update({', '.join(f'{k}={v!r}' for k, v in AUGMENT.items())})")
  add("config.optim.update(learning_rate=2e-3, warmup_epochs=1.0, clip_norm=10.0)")
  add(
    f'config.train.update(epochs={epochs}, watch="validation", evaluate_every={epochs / 10:.3g})',
    f"{steps:,} steps of {plan.batch} windows",
  )
  add('config.checkpoint.best = "dice"')
  return "".join(lines) + QUICK


def _line(text: str, why: str) -> str:
  """Returns a statement, below what it is for, in lines of at most 100 characters."""
  comment = textwrap.wrap(f"{why[:1].upper()}{why[1:]}." if why else "", 94)
  return "".join(f"  # {line}\n" for line in comment) + _wrapped(text)


def _wrapped(text: str) -> str:
  if len(text) <= 98:
    return f"  {text}\n"
  head, _, rest = text.partition("(")
  inner = textwrap.wrap(rest.removesuffix(")"), 94, break_on_hyphens=False)
  return f"  {head}(\n" + "".join(f"    {line}\n" for line in inner) + "  )  # fmt: skip\n"
