"""The networks of the zoo: through their door, against an independent executor, and in RTL."""
