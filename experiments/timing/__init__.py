"""Our steps timed beside others: the peers, the contests, where the time goes."""
