"""From parameters to trained networks: a fit's stages, the loop, the two steps, solvers, monitoring."""
