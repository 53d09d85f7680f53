"""How a task adapts: inner rules, their steps, and their gradients."""
