"""The kernels as compiled for aarch64; they are built into this folder."""
