"""TFLite files of MLPerf Tiny: their integers beside those of TFLite's kernels, and in RTL."""
