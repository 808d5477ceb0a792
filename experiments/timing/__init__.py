"""Helpers of `benchmark`: other libraries' networks, timing in turns, and breakdowns of a step."""
