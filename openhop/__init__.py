"""OpenHop, a sparse-CNN accelerator: its command line and public Python API."""
