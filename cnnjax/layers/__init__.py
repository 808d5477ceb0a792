"""Layers that two papers or more use; each can say how many multiply-adds it costs."""

from cnnjax.layers.conv import Conv, Dense
from cnnjax.layers.norm import BatchNorm
from cnnjax.layers.pool import AvgPool, Flatten, MaxPool
