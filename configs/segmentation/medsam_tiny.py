"""A small MedSAM on nuclei, white blood cells and the hippocampus: the mask of the object in a box.

  python -m experiments.train --config=configs/segmentation/medsam_tiny.py \\
    --config.data.root=FOLDER

FOLDER holds the three sets: nuclei, white_blood_cells and hippocampus.
"""

from cnnjax.keys import defaults

CELLS = dict(objects=(("nucleus",), ("nucleus", "cytoplasm")))
PARTS = dict(
  classes=("background", "anterior", "posterior"), objects=(("anterior", "posterior"),),
  on_error="skip",
)  # fmt: skip


def get_config(mode="full"):
  config = defaults("promptable", "prompted")
  config.model.name = "medsam_tiny"
  config.model.arguments.update(  # a stride of 4, since most nuclei are less than 8 pixels wide
    stride=4, features=64, hidden=256, trunk="unet",
    trunk_arguments={"widths": (8, 16, 32, 64, 128), "norm": "batch"},
  )  # fmt: skip
  config.data.update(
    name="prompts", batch_size=8, resize=(128, 128), channels=3, mean=(0.5,), std=(0.25,),
    validation=0.1, sampling="balanced",
    arguments=dict(
      sets=(
        ("nuclei", "instances", "nuclei"),
        ("white_blood_cells", "white_blood_cells", "white_blood_cells", CELLS),
        ("hippocampus", "volumes", "hippocampus", PARTS),
      ),
      most=4,
    ),
  )  # fmt: skip
  config.task.update(cross_entropy=1.0, dice=1.0)
  config.augment.update(
    flip=True, flip_vertical=True, rotate=180.0, scale=(0.8, 1.25), brightness=0.2, contrast=0.2
  )
  config.optim.update(learning_rate=1e-3, warmup_epochs=0.25, clip_norm=1.0)
  config.train.update(epochs=5.0, watch="validation", evaluate_every=1.0, log_every=50)
  config.checkpoint.best = "mean_dice"
  if mode == "quick":
    config.model.arguments.update(
      features=16, hidden=32, trunk_arguments={"widths": (4, 8, 16, 16, 16), "norm": "batch"}
    )
    config.data.update(batch_size=8, resize=(32, 32))
    config.data.arguments = dict(
      sets=(("digits", "scenes", "", dict(examples=40)), ("solids", "solids", "", dict(examples=8)))
    )
    config.train.update(epochs=2.0, evaluate_every=1.0, log_every=4)
  return config.lock()
