"""Report-generation models, one file each. Installed as `benchmark.models`."""
