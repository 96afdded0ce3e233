"""A pytest plugin that builds a Kubernetes cluster whose network is yours."""
