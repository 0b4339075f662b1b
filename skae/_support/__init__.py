"""What everything else may use: devices, random generators, warnings."""
