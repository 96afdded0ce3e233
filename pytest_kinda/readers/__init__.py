"""Topologies from files: YAML and JSON, and back."""

from pytest_kinda.readers.reading import parse, read
from pytest_kinda.readers.schema import schema
from pytest_kinda.readers.writing import to_data, to_yaml

__all__ = ["parse", "read", "schema", "to_data", "to_yaml"]
