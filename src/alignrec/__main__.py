"""`python -m alignrec` is the same as `alignrec`."""

from alignrec.cli import main

if __name__ == "__main__":
    main()
