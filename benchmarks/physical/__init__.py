"""What synthesis, place and route make of designs: clock, size, frames per second."""
