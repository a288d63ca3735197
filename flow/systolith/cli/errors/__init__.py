"""Errors and warnings on the command line: the user's mistakes, missing extras, faults."""
