"""What plans of engines are computed from: work, windows, widths, memories, latencies."""
