"""What a test holds: nodes, links, the cluster, captures and faults of a testbed that stands."""
