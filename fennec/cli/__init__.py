"""The `fennec` command: parse, call the library, print.

In: arguments. Out: the result on standard output, progress and messages on standard error, an exit code.
May import: everything.
"""
