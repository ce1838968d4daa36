"""Data sets, one file each. Installed as `benchmark.datasets`."""

if __name__ == "datasets":
    raise ImportError(
        "This folder is benchmark.datasets, and the repository root on sys.path makes it hide Hugging Face's package "
        "`datasets`. Call `bench …` instead of a module, or start Python or the notebook in another folder."
    )
