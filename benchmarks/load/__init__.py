"""What servers cost: the same pictures to the bare network, the predictor, TorchServe, router, and second server."""
