"""What the tensors of a float graph stand for as integers, and the arithmetic of their scales."""
