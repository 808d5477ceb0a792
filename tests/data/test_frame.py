"""Images of any shape, brought to the few that a detector is compiled for."""

import numpy as np
import pytest

from cnnjax.data.frame import frames, resized
from cnnjax.errors import UserError
from cnnjax.models.detection.faster_rcnn import AT_800
from cnnjax.ops.preprocess import Preprocessing


@pytest.mark.parametrize("shape", [(2, 3000), (3000, 2), (1, 1), (1, 9000), (9000, 1, 3)])
def test_no_side_becomes_nothing(shape):
  (frame,) = frames([np.zeros(shape, np.uint8)], AT_800, 1)
  assert min(frame.image.shape) >= 1 and max(frame.image.shape) <= 1344
  assert (frame.extent >= 1).all() and np.isfinite(frame.scale).all()
  np.testing.assert_allclose(frame.extent, frame.scale * shape[:2])


def test_usual_sizes_are_torchvisions():
  assert resized((480, 640), AT_800) == (800, 1066) and resized((300, 1000), AT_800) == (399, 1333)
  assert resized((7, 9), Preprocessing()) == (7, 9)


@pytest.mark.parametrize("image", [np.zeros(3), np.zeros((0, 4)), np.zeros((2, 2, 2, 2)), 5])
def test_what_is_no_image(image):
  with pytest.raises(UserError, match=r"an image must be \[H, W\]"):
    list(frames([image], AT_800, 1))
  with pytest.raises(UserError, match="put it in a list"):
    list(frames(np.zeros((4, 4, 3), np.uint8), AT_800, 1))
