"""Measurements behind the numbers in the documentation.

Each module is one subcommand of ``tools/analysis_tools/benchmark.py``: it has a docstring, whose
first line is its help, ``add_arguments(parser)`` and ``run(arguments) -> list[Measurement]``.
"""
