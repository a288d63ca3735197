"""The operators that can be imported: one table, and one module for each kind of node."""
