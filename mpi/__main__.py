"""`python -m mpi` is `mpi`."""

from mpi.cli import main

if __name__ == "__main__":
    main()
