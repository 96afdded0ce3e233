"""Drawings of topologies and plans."""

from pytest_kinda.drawing.draw import FORMATS, SUFFIXES, draw

__all__ = ["FORMATS", "SUFFIXES", "draw"]
