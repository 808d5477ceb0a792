"""What `configure` is helped by: what is seen in a set of volumes, and the plan that follows."""
