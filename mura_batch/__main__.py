"""`python -m mura_batch`: the same as the `mura-batch` command."""

from mura_batch.cli import main

if __name__ == "__main__":
    main()
