"""Networks whose weights, heads or codes adapt to a task."""
