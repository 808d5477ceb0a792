"""Tests of the course's claims, one file for each claim."""
