"""Measurements behind the numbers in the documentation.

``tools/analysis_tools/benchmark.py`` names the subcommands. Each is a function that takes parsed
arguments and gives a list of `Measurement`: ``run``, beside ``add_arguments(parser)``, or in a
module with several ``NAME``, beside ``add_NAME_arguments(parser)``. The first line of the module's
or the function's documentation is its help.
"""
