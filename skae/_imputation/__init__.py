"""Filling missing entries."""
