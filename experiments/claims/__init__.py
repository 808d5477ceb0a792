"""What the course claims, a claim a file."""
