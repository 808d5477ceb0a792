"""A search over hyper-parameters: the space, the study, its child processes, what it found."""
