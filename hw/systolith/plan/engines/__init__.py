"""Plans of single engines: how a layer is folded onto a PE array, a pool or an adder."""
