"""Training as a function from configuration and shards to weights."""
