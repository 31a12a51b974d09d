"""Kubeflow components: one file a step, each a thin door to one function of `model`."""
