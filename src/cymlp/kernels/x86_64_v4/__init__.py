"""The kernels as compiled for x86_64_v4; they are built into this folder."""
