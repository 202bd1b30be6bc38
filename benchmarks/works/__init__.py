"""What can be measured; each is a function (pool, settings, report)."""
