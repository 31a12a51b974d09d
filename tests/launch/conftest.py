"""Drawn faces and cheap configurations, as the tests of training have them."""

from tests.train.conftest import command, drawn_shards, tiny, tiny_shards

__all__ = ["command", "drawn_shards", "tiny", "tiny_shards"]
