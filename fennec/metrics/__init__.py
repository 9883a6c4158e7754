"""Forward-pass metrics."""
