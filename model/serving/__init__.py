"""From one picture to an answer: predictor, detector, archive, server."""
