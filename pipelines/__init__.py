"""Kubeflow pipelines, and the program that compiles and runs them."""
