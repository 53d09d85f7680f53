"""What was learned from many cases, as it is kept on disk and held against new data."""
