"""Documented, runnable cases."""
