"""A second server for the same predictor: REST of the Open Inference Protocol, version 2, without TorchServe."""

from model.serving.v2.serve import serve

__all__ = ["serve"]
