"""*A command line → one function call → a printed result.* Commands are listed in the order of the data's way."""

from alignrec.cli.app import main

__all__ = ["main"]
