"""The meaning of OpenHop: number formats, sparse maps, layers, networks and the cycle model."""
