"""Speed of the Python side, compared with recorded figures."""
