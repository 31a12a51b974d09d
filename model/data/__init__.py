"""From raw benchmark to batches: readers, index, validation, codec, shards, loader."""
