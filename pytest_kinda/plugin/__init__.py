"""The pytest plugin: hooks, options, fixtures, the marker and the reports. Thin by rule."""
