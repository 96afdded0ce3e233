"""From a topology to everything that will exist, without touching anything."""
