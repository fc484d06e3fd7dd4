"""``python -m softmargin``."""

from softmargin.cli import main

if __name__ == "__main__":  # and not in a process that a local cluster starts
    main()
