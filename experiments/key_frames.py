"""Summarises a video by its key frames: python -m experiments.key_frames VIDEO [--out=FILE.png].

A VIDEO is a file, or a folder of frames. The sheet has the frames in which most changes: by their
pixels, or with --workdir=RUN by what the trunk of that run's classifier of images sees.
"""

from pathlib import Path

import numpy as np
from absl import flags

import cnnjax
from cnnjax.data import video
from cnnjax.errors import UserError, say
from cnnjax.ops.clip import ClipPreprocessing
from cnnjax.visualise.figure import save
from cnnjax.visualise.key_frames import changes, features, summary

from . import launch

FLAGS = flags.FLAGS
MOST = 2000  # frames that are compared; of a longer video as many, spread evenly
SMALL = ClipPreprocessing(resize=256, channels=3)  # of the shorter side


def main(argv: list[str]) -> None:
  """Reads the frames, compares them, draws the sheet."""
  if len(argv) != 2:
    raise UserError(f"name one video; found {len(argv) - 1}")
  path, out = Path(argv[1]).expanduser(), Path(FLAGS.out).expanduser()
  if not path.exists() or not video.is_video(path):
    kinds = ", ".join(video.SUFFIXES)
    raise UserError(f"{path} is no video; expected {kinds}, or a folder of frames")
  if not out.absolute().parent.is_dir():
    raise UserError(f"--out {out} lies in no folder that exists")
  model, variables = None, None
  if FLAGS.workdir:
    run = cnnjax.restore(FLAGS.workdir, FLAGS.checkpoint, FLAGS.parameters)
    if run.config.data.input != "image" or not hasattr(run.model, "make_trunk"):
      raise UserError(f"{FLAGS.workdir} is no run of a network that reads images")
    model, variables = run.model, run.variables
  count = video.count(path)
  places = np.unique(np.linspace(0, count - 1, min(count, MOST)).round().astype(int))
  if len(places) < count:
    say(f"{path} has {count:,} frames: {len(places):,} of them, spread evenly, are compared")
  frames = video.read(path, places, SMALL)
  change = changes(features(frames, model, variables))
  figure = summary(frames, change, FLAGS.count, FLAGS.apart, numbers=places)
  save(figure, out)
  print(f"wrote {out}")


if __name__ == "__main__":
  launch.define_run_flags(required=False)
  flags.DEFINE_string("out", "key_frames.png", "PNG file")
  flags.DEFINE_integer("count", 12, "frames of the sheet, at most", lower_bound=1)
  flags.DEFINE_integer("apart", 5, "frames from one of them to the next, at least", lower_bound=1)
  launch.run(main)
