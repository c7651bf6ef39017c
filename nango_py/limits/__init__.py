"""Rate limits: the budgets of calls, the stores that count them, and the limits in responses."""
