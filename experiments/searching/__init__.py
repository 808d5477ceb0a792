"""Helpers of `sweep`: the search space, the study, its child processes, and the report."""
