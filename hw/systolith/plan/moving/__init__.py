"""Plans of stages that move channels and pixels without computing."""
