"""Event tables, as NONMEM has them: read record by record, with doses at their times."""
