"""What a controller needs to know of a network, as data and in the forms that controllers read."""

from pytest_kinda.description.describing import SCHEMA, Description, describe
from pytest_kinda.description.schema import schema

__all__ = ["SCHEMA", "Description", "describe", "schema"]
