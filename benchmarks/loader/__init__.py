"""The loader of the training beside other ways to read the same pictures."""
