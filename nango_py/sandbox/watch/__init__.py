"""The page of a sandbox that shows its requests and budgets."""
