"""The operators that can be imported: one table, and one module for each kind of node.

:mod:`operators` joins the :mod:`tables`. An entry names the handler of an operator, for example in
:mod:`arithmetic`, and declares its inputs and attributes (:mod:`declarations`). :mod:`reader` calls
the handlers node after node. Adding an operator means one handler and one entry.
"""
