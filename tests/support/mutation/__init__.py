"""Mutation testing: change one detail of the code at a time, and run the tests that execute it.

A change that no test notices is a bug that could land today. ``python -m tests.support.mutation --help`` has the options.
"""
