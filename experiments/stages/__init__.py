"""Trainings that do not end with gradient descent: what follows it."""
