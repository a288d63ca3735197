"""The tables of operators: handler, layer, supported variants, inputs and attributes of each."""
