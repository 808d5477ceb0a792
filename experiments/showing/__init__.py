"""What the verbs print and draw."""
