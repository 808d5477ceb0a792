"""Helpers of the scripts that print tables and draw pictures."""
